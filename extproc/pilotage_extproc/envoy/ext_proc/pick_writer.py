"""The answer that carries a pick, written as protobuf bytes.

It is the one large message of every request. Built with message objects it took 18 µs, so it is written
here, field by field, with its constant parts made once; a test compares it with the message classes.
Wire format: https://protobuf.dev/programming-guides/encoding/.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pilotage_extproc.envoy.ext_proc import messages

_MOST_KEPT = 4096
_OVERWRITE_ACTION = b"\x18\x02"  # HeaderValueOption.append_action (3): OVERWRITE_IF_EXISTS_OR_ADD
_CLEAR_ROUTE_CACHE = b"\x28\x01"  # CommonResponse.clear_route_cache (5): true


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    length = len(payload)
    if length < 128:
        return bytes((number << 3 | 2, length)) + payload
    return bytes((number << 3 | 2,)) + _varint(length) + payload


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def set_header(name: str, value: str) -> bytes:
    """HeaderMutation.set_headers (1): HeaderValueOption of HeaderValue key (1), raw_value (3)."""
    header = field(1, name.encode()) + field(3, value.encode())
    return field(1, field(1, header) + _OVERWRITE_ACTION)


def struct_entry(key: str, value: bytes) -> bytes:
    """Struct.fields (1): a map entry of key (1) and Value (2)."""
    return field(1, field(1, key.encode()) + field(2, value))


def string_value(text: str) -> bytes:
    """Value.string_value (3)."""
    return field(3, text.encode())


def struct_value(entries: bytes) -> bytes:
    """Value.struct_value (5)."""
    return field(5, entries)


class PickWriter:
    """Writes the picks of one process. What repeats from request to request is made once and kept."""

    def __init__(self, process_id: str) -> None:
        self._owner = struct_entry("owner", string_value(process_id))
        self._destinations = Kept(_destination)
        self._retry_headers = Kept(lambda attempts: set_header(messages.MAX_RETRIES, str(attempts - 1)))
        self._length_headers = Kept(lambda length: set_header("content-length", str(length)))
        # of a decision id, and of all our metadata, only the length shapes the bytes before it
        self._before_id = Kept(
            lambda length: _before(struct_entry("decision", string_value("x" * length)), length)
        )
        self._before_ours = Kept(_before_ours)

    def on_body(
        self,
        *,
        destination: str,
        attempts: int,
        decision_id: str,
        body: bytes | None,
        rebind: Mapping[str, str],
        told: Mapping[str, str],
        path: str | None = None,
    ) -> bytes:
        """The answer to a buffered body of the bundled Envoy.

        `destination` is the comma-separated list of addresses, `rebind` the upstream model by address
        where they differ, `told` response headers that tell of the decision, `path` a new path and query.
        """
        headers = self._retry_headers[attempts]
        changed = b""
        if path is not None:
            headers += set_header(":path", path)
        if body is not None:
            headers += self._length_headers[len(body)]
            changed = field(3, field(1, body))  # CommonResponse.body_mutation (3), BodyMutation.body (1)
        identity = decision_id.encode()
        ours = self._before_id[len(identity)] + identity + self._owner
        if rebind:
            models = b"".join([struct_entry(key, string_value(model)) for key, model in rebind.items()])
            ours += struct_entry("rebind", struct_value(models))
        for name, text in told.items():
            ours += struct_entry(name, string_value(text))
        metadata = self._destinations[destination] + self._before_ours[len(ours)] + ours
        # ProcessingResponse.request_body (3) of BodyResponse.response (1); dynamic_metadata (8)
        common = field(2, headers) + changed + _CLEAR_ROUTE_CACHE
        return field(3, field(1, common)) + field(8, metadata)


class Kept(dict[Any, bytes]):
    """Bytes by what they are made from; forgotten all at once when they are too many."""

    def __init__(self, make: Callable[[Any], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Any) -> bytes:
        if len(self) >= _MOST_KEPT:
            self.clear()
        made = self[key] = self._make(key)
        return made


def _destination(destination: str) -> bytes:
    pick = struct_entry(messages.DESTINATION, string_value(destination))
    return struct_entry(messages.LB_NAMESPACE, struct_value(pick))


def _before_ours(length: int) -> bytes:
    return _before(struct_entry(messages.PILOTAGE_NAMESPACE, struct_value(b"x" * length)), length)


def _before(written: bytes, length: int) -> bytes:
    """What stands before a last part of so many bytes."""
    return written[: len(written) - length]
