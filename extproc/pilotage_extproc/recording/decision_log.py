"""The last decisions of this process, so that each can be explained afterwards; bounded by bytes."""

from collections import OrderedDict, deque
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
        self._costs: deque[int] = deque()
        """Of the records, in their order."""
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def add(self, decision_id: str, record: Record) -> None:
        """Keep the record of a new decision."""
        cost = record.nbytes
        self._records[decision_id] = record
        self._costs.append(cost)
        self.held_bytes += cost
        while self.held_bytes > self._max_bytes and self._records:
            self._records.popitem(last=False)
            self.held_bytes -= self._costs.popleft()

    def find(self, decision_id: str) -> Record | None:
        """The record of a decision, while it is kept."""
        return self._records.get(decision_id)

    def newest(self) -> Iterator[Record]:
        """Records, newest first."""
        return reversed(self._records.values())
