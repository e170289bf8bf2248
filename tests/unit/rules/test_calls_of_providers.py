"""Which candidates of a rule can be asked a call at all: providers have calls of their own."""

import pytest

from pilotage_api.external_snapshot import ExternalSnapshot, ProviderDialect
from pilotage_api.snapshot import Binding, Engine, NameKind, PoolSnapshot, StreamUsage
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.rules.candidate_sets import CandidateSets
from pilotage_extproc.scheduling.candidates import CandidateSet
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable

OWN, HOSTED = "ns/own", "ns/hosted"
ADDRESSES = {OWN: ("10.0.0.1:80", "10.0.0.2:80"), HOSTED: ("provider:ns/hosted",)}


def pool(key: str, dialect: ProviderDialect | None = None) -> PoolSnapshot:
    return PoolSnapshot(
        key=key,
        engine=Engine.OPENAI,
        endpoints=(),
        stream_usage=StreamUsage.LEAVE,
        models=("m",),
        external=None if dialect is None else ExternalSnapshot(host="p.example", port=443, dialect=dialect),
    )


class Sets:
    def __init__(self) -> None:
        self.table = EndpointTable()
        self.table.sync(
            {one: EndpointFacts(Engine.OPENAI, (key,)) for key, found in ADDRESSES.items() for one in found}
        )
        self.sets = CandidateSets()

    def of(self, *pools: PoolSnapshot) -> CandidateSet:
        self.sets.begin(ADDRESSES, self.table)
        tiers = tuple((Binding(pool=one.key, upstream_model="m", kind=NameKind.MODEL),) for one in pools)
        return self.sets.of(tiers, {one.key: one for one in pools})


@pytest.mark.parametrize(
    ("dialect", "has", "lacks"),
    [
        (
            ProviderDialect.ANTHROPIC,
            (CallKind.CHAT, CallKind.MESSAGES, CallKind.RESPONSES, CallKind.COUNT_TOKENS),
            (CallKind.EMBEDDINGS, CallKind.COMPLETIONS, CallKind.RERANK, CallKind.TRANSCRIPTIONS),
        ),
        (
            ProviderDialect.OPENAI_CHAT,
            (CallKind.CHAT, CallKind.MESSAGES, CallKind.RESPONSES, CallKind.EMBEDDINGS),
            (CallKind.COUNT_TOKENS, CallKind.RERANK, CallKind.TOKENIZE),
        ),
    ],
)
def test_a_provider_lacks_what_it_neither_speaks_nor_is_told_by_translation(dialect, has, lacks):
    found = Sets().of(pool(OWN), pool(HOSTED, dialect)).lacking
    assert not set(has) & found.keys()
    assert {tuple(found[kind]) for kind in lacks} == {(False, False, True)}


def test_servers_of_ones_own_are_asked_anything():
    assert Sets().of(pool(OWN)).lacking == {}


def test_a_pool_that_becomes_another_apis_has_that_apis_calls():
    sets = Sets()
    before = sets.of(pool(OWN), pool(HOSTED, ProviderDialect.ANTHROPIC))
    after = sets.of(pool(OWN), pool(HOSTED, ProviderDialect.OPENAI))
    assert CallKind.EMBEDDINGS in before.lacking
    assert CallKind.EMBEDDINGS not in after.lacking
