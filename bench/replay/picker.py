"""The picker in this process: its real services on the real transport, but for the socket."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from bench.replay import messages
from bench.stack import manifest
from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.envoy.access_log import access_log_service
from pilotage_extproc.server.garbage import tune_garbage_collection
from pilotage_extproc.server.grpc_port import ext_proc_service
from pilotage_extproc.server.runtime import Runtime
from pilotage_extproc.transport.connection import Connection
from pilotage_extproc.transport.frames import DATA, FRAME_HEAD, HEAD_BYTES, PREFIX_BYTES
from pilotage_extproc.transport.limits import Limits
from pilotage_extproc.transport.server import BuiltinPort

_MOST_STREAMS: Final = 20_000


class Wire(asyncio.Transport):
    """Takes all that is written, and gives out the answers on a stream."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def take(self, stream: int) -> list[bytes]:
        """The messages that were written on a stream; all else that was written is forgotten."""
        data = b"".join(self.written)
        self.written.clear()
        content = bytearray()
        at = 0
        while at < len(data):
            high, low, kind, _, of = FRAME_HEAD.unpack_from(data, at)
            start = at + HEAD_BYTES
            at = start + (high << 8 | low)
            if kind == DATA and of == stream:
                content += data[start:at]
        return _messages(bytes(content))


def _messages(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at + 1 : at + PREFIX_BYTES], "big")
        at += PREFIX_BYTES
        found.append(data[at : at + length])
        at += length
    return found


async def picker(
    endpoints: int, resources: str | None = None, compiled_for: GatewaySettings | None = None
) -> tuple[Connection, Wire, Callable[[], float]]:
    """A picker with so many endpoints, an Envoy's connection to it, and how many requests it has settled.

    `resources` takes the place of the usual ones; `compiled_for` are the settings they are read for.
    """
    settings = GatewaySettings()
    runtime = Runtime(settings, process_id="replay", resolve=_as_written)
    text = manifest(endpoints, 8000, engine="openai") if resources is None else resources
    compiled = compile_resources(load_texts([("pool.yaml", text)]), compiled_for or settings)
    assert not compiled.has_errors, compiled.findings
    await runtime.following.apply(compiled.snapshot)
    table = runtime.state.table
    table.admit(table.rows())
    for row in table.rows().values():
        table.measured(row, runtime.clock(), row % 3, row % 5, 0.1 * (row % 7))
    port = BuiltinPort(limits=Limits(streams_a_connection=_MOST_STREAMS))
    port.add(
        ext_proc_service(runtime.processor, runtime.rewriter, runtime.hop),
        access_log_service(runtime.take_log_entry, runtime.take_failed_attempt),
    )
    wire = Wire()
    connection = Connection(port, asyncio.get_running_loop())
    connection.connection_made(wire)
    connection.data_received(messages.preface())
    tune_garbage_collection()
    return connection, wire, lambda: runtime.telemetry.settlements.value("settled")


async def _as_written(name: str) -> list[str]:
    return [name]
