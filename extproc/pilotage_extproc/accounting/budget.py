"""One budget of one party in one period: settled, estimated and held nano-dollars."""


class Budget:
    """The three figures; a request's money is in one of them at a time."""

    __slots__ = ("estimated", "held", "settled")

    def __init__(self) -> None:
        self.settled = 0
        """Of requests whose usage is known."""
        self.estimated = 0
        """Of requests that have ended with a usage that is not known."""
        self.held = 0
        """Of requests under way."""

    @property
    def booked(self) -> int:
        """What the ledger says was spent."""
        return self.settled + self.estimated

    @property
    def taken(self) -> int:
        """What no further request can have."""
        return self.settled + self.estimated + self.held

    def hold(self, amount: int) -> None:
        """A request has been admitted."""
        self.held += amount

    def release(self, amount: int) -> None:
        """It holds no more."""
        self.held -= amount

    def book(self, amount: int, *, exact: bool) -> None:
        """It has ended."""
        if exact:
            self.settled += amount
        else:
            self.estimated += amount

    def correct(self, estimate: int, amount: int) -> None:
        """What was estimated is known now."""
        self.estimated -= estimate
        self.settled += amount
