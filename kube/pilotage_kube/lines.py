"""Lines out of a stream that arrives in arbitrary pieces."""

from collections.abc import Iterator

from pilotage_kube.errors import InvalidResponse


class LineBuffer:
    """Collects pieces; gives each whole line once, without its newline."""

    def __init__(self, max_line_bytes: int) -> None:
        self._max = max_line_bytes
        self._pieces: list[bytes] = []
        self._held = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Lines that this piece completes, without empty ones. Raises InvalidResponse past the bound."""
        begin = 0
        while (end := piece.find(b"\n", begin)) >= 0:
            self._pieces.append(piece[begin:end])
            line = b"".join(self._pieces)
            self._pieces.clear()
            self._held = 0
            begin = end + 1
            self._check(len(line))
            if line:
                yield line
        if begin < len(piece):
            self._pieces.append(piece[begin:])
            self._held += len(piece) - begin
            self._check(self._held)

    def _check(self, size: int) -> None:
        if size > self._max:
            raise InvalidResponse(f"a line of the watch is longer than {self._max} bytes")
