"""The module that holds answers back, run outside Envoy."""

from pathlib import Path

import wasmtime

from pilotage_extproc.envoy.xds.header_hold import header_hold_module

WAT = Path(__file__).parents[3] / "extproc" / "pilotage_extproc" / "envoy" / "hold" / "first_event.wat"
CONTINUE, PAUSE = 0, 1


class HeldAnswers:
    """A host of the module: gives it bodies, and keeps the status it sets."""

    def __init__(self) -> None:
        engine = wasmtime.Engine()
        self._store = wasmtime.Store(engine)
        linker = wasmtime.Linker(engine)
        numbers = [wasmtime.ValType.i32()] * 5
        kind = wasmtime.FuncType(numbers, [wasmtime.ValType.i32()])
        linker.define_func("env", "proxy_get_buffer_bytes", kind, self._get)
        linker.define_func("env", "proxy_get_header_map_value", kind, self._header)
        linker.define_func("env", "proxy_replace_header_map_value", kind, self._set)
        instance = linker.instantiate(self._store, wasmtime.Module(engine, header_hold_module()))
        self._exports = instance.exports(self._store)
        self._memory = self._exports["memory"]
        self._streams = 1
        self._buffer = b""
        self._began_with = 200
        self.method = b"POST"
        self._content_type: bytes | None = None
        self.status: int | None = None

    def _get(self, which: int, start: int, size: int, where: int, count: int) -> int:
        assert which == 1
        return self._give(self._buffer[start : start + size], where, count)

    def _header(self, which: int, key: int, key_size: int, where: int, count: int) -> int:
        name = self._memory.read(self._store, key, key + key_size)
        if name == b":method":
            assert which == 0
            return self._give(self.method, where, count)
        assert which == 2
        if name == b"content-type":
            return 1 if self._content_type is None else self._give(self._content_type, where, count)
        assert name == b":status"
        return self._give(str(self._began_with).encode(), where, count)

    def _give(self, given: bytes, where: int, count: int) -> int:
        at = self._exports["proxy_on_memory_allocate"](self._store, len(given))
        self._memory.write(self._store, given, at)
        self._memory.write(self._store, at.to_bytes(4, "little"), where)
        self._memory.write(self._store, len(given).to_bytes(4, "little"), count)
        return 0

    def _set(self, which: int, key: int, key_size: int, value: int, value_size: int) -> int:
        assert which == 2
        assert self._memory.read(self._store, key, key + key_size) == b":status"
        self.status = int(self._memory.read(self._store, value, value + value_size))
        return 0

    def _asked(self) -> None:
        assert self._exports["proxy_on_request_headers"](self._store, self._streams, 3, 0) == CONTINUE

    def answered_without_body(self, status: int, content_type: bytes) -> int | None:
        """The status that an answer which is nothing but its headers is given; None is its own."""
        self._streams += 1
        self.status, self._began_with, self._content_type = None, status, content_type
        self._asked()
        headers = self._exports["proxy_on_response_headers"]
        assert headers(self._store, self._streams, 3, 1) == CONTINUE
        return self.status

    def answer(
        self, pieces: list[bytes], status: int = 200, content_type: bytes | None = None
    ) -> tuple[int, int | None]:
        """How many bytes came before it was let go, and the status it was given (None is its own)."""
        self._streams += 1
        self._buffer, self.status, self._began_with = b"", None, status
        self._content_type = content_type
        self._asked()
        body = self._exports["proxy_on_response_body"]
        assert self._exports["proxy_on_response_headers"](self._store, self._streams, 3, 0) == PAUSE
        for number, piece in enumerate(pieces):
            self._buffer += piece
            last = number == len(pieces) - 1
            if body(self._store, self._streams, len(self._buffer), last) == CONTINUE:
                held = len(self._buffer)
                for later in pieces[number + 1 :]:
                    self._buffer = later
                    assert body(self._store, self._streams, len(later), 0) == CONTINUE, "let go for good"
                return held, self.status
        raise AssertionError("an answer that has ended is never held")
