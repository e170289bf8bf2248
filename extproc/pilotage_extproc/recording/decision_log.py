"""The last decisions of this process, so that each can be explained afterwards; bounded by bytes."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """A record that knows what it costs to keep."""

    @property
    def nbytes(self) -> int:
        """Bytes, near enough to bound memory by."""


Record = TypeVar("Record", bound=Sized)


class DecisionLog(Generic[Record]):
    """Records by decision id; the oldest go first when memory is used up."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._records: OrderedDict[str, Record] = OrderedDict()
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def add(self, decision_id: str, record: Record) -> None:
        """Keep a record."""
        self._records[decision_id] = record
        self.held_bytes += record.nbytes
        while self.held_bytes > self._max_bytes and self._records:
            _, oldest = self._records.popitem(last=False)
            self.held_bytes -= oldest.nbytes

    def find(self, decision_id: str) -> Record | None:
        """The record of a decision, while it is kept."""
        return self._records.get(decision_id)

    def newest(self) -> Iterator[Record]:
        """Records, newest first."""
        return reversed(self._records.values())
