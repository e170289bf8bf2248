"""Priorities of InferenceObjectives; below 0 a request may be shed."""

from collections.abc import Mapping


class Objectives:
    """Priorities by pool and objective name, as they were last followed."""

    def __init__(self) -> None:
        self._priorities: Mapping[tuple[str, str], int] = {}

    def follow(self, priorities: Mapping[tuple[str, str], int]) -> None:
        """These are all there are from now on."""
        self._priorities = priorities

    def priority(self, pool: str, objective: str) -> int:
        """The priority of an objective of a pool; 0 where there is no such."""
        return self._priorities.get((pool, objective), 0)
