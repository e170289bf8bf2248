"""Fleets to rank: endpoints, freshly scraped as idle, and a scheduler over them."""

import numpy as np

from pilotage_api.snapshot import Engine, ProfileSnapshot, SaturationSnapshot
from pilotage_extproc.domain.features import NO_FEATURES
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.scheduling.candidates import CandidateSet, Knowledge, candidate_set, group_of
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.scheduling.scheduler import Ranking, Scheduler
from pilotage_extproc.state.affinity import AdapterSlots, Sessions
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.inflight import InflightCounts
from pilotage_extproc.state.prefix_index import PrefixIndex

FACTS = EndpointFacts(Engine.VLLM, ("default/a",))
NOW = 1000.0


class Fleet:
    """`count` endpoints a tier, all admitted and freshly scraped as idle."""

    def __init__(
        self,
        count: int,
        tiers: int = 1,
        *,
        adapter: str | None = None,
        saturation: SaturationSnapshot | None = None,
        plugins=None,
        seed: int = 1,
    ) -> None:
        self.table = EndpointTable()
        names = [
            [f"10.{tier}.{index // 250}.{index % 250}:80" for index in range(count)] for tier in range(tiers)
        ]
        flat = [name for tier in names for name in tier]
        self.table.sync(dict.fromkeys(flat, FACTS))
        self.table.admit(flat)
        self.table.scraped_at[:] = NOW
        bounds = saturation or SaturationSnapshot()
        self.candidates: CandidateSet = candidate_set(
            [
                group_of(
                    names[tier],
                    self.table,
                    tier=tier,
                    pool="default/a",
                    upstream_model=adapter or f"m{tier}",
                    is_adapter=adapter is not None,
                    saturation=bounds,
                )
                for tier in range(tiers)
            ],
            tiers,
        )
        self.knowledge = Knowledge(PrefixIndex(max_bytes=1 << 26), AdapterSlots(), Sessions())
        self.scheduler = Scheduler(self.table, self.knowledge)
        self.inflight = InflightCounts(self.table)
        self.clock = lambda: self.now
        self.now = NOW
        self.troubles: list[tuple[str, str]] = []
        self.profiles = ProfileBook(
            clock=lambda: self.now,
            on_plugin_trouble=lambda name, what: self.troubles.append((name, what)),
            plugins=plugins or {},
            seed=seed,
        )

    def hosted(self, *indices: int, needs: Reach = Reach.PROVIDERS) -> None:
        """Make candidates hosted providers."""
        facts = EndpointFacts(Engine.OPENAI, ("default/h",), needs=needs)
        targets = self.candidates.targets
        changed = {targets[index].address: facts for index in indices}
        self.table.prepare({**dict.fromkeys(self.table.rows(), FACTS), **changed})

    def set(self, figure: str, *values: float) -> None:
        """Set a column of the first candidates."""
        getattr(self.table, figure)[self.candidates.rows[: len(values)]] = values

    def rank(self, profile: ProfileSnapshot | None = None, **options) -> Ranking:
        values = {"request": NO_FEATURES, "subset": None, "limit": 3, "tier_order": None, "now": self.now}
        return self.scheduler.rank(
            self.candidates, self.profiles.profile(profile or ProfileSnapshot()), **(values | options)
        )

    def term(self, ranking: Ranking, name: str, profile: ProfileSnapshot | None = None) -> list[float]:
        """A scorer's column."""
        scorers = self.profiles.profile(profile or ProfileSnapshot()).scorers
        index = [weighted.scorer.name for weighted in scorers].index(name)
        return np.asarray(ranking.terms[index]).tolist()
