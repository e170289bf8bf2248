"""Under which path a provider is asked: never one that a client's id of a stored response leads to."""

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.external_snapshot import ExternalSnapshot, ProviderDialect
from pilotage_extproc.dialects.provider_call import ProviderCall, target_path
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.stages.identify import identify

OPENAI = ExternalSnapshot(
    host="api.example.com", port=443, dialect=ProviderDialect.OPENAI, path_prefix="/team"
)
AZURE = ExternalSnapshot(host="x.example.com", port=443, dialect=ProviderDialect.AZURE, api_version="v1")


def asked(target: str, external: ExternalSnapshot = OPENAI) -> str:
    """The path for what a client asks of a stored response."""
    identity = identify("POST" if target.endswith("cancel") else "GET", target)
    assert identity.kind is CallKind.RESPONSE_OBJECT
    return target_path(external, ProviderCall(identity.path, identity.kind), "")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1/responses/resp_1", "/team/v1/responses/resp_1"),
        ("/v1/responses/resp_1/input_items?limit=2", "/team/v1/responses/resp_1/input_items"),
        ("/v1/responses/resp_1%3Ffile=2", "/team/v1/responses/resp_1%3Ffile=2"),
        ("/v1/responses/..%252Ffiles", "/team/v1/responses/..%252Ffiles"),
        ("/v1/responses/%0D%0Ahost:%20x", "/team/v1/responses/%0D%0Ahost:%20x"),
        ("/v1/responses/r%C3%A9sp", "/team/v1/responses/r%C3%A9sp"),
    ],
)
def test_an_id_is_one_segment_of_the_path_whatever_it_says(target, path):
    assert asked(target) == path


@pytest.mark.parametrize("external", [OPENAI, AZURE])
@pytest.mark.parametrize("target", ["/v1/responses/..", "/v1/responses/%2E%2e/cancel", "/v1/responses/."])
def test_dot_segments_are_no_responses(external, target):
    with pytest.raises(RequestRefused, match="no such response"):
        asked(target, external)


@given(st.text(min_size=1, max_size=20))
@settings(max_examples=examples(200), deadline=None)
def test_no_id_gets_out_of_its_segment(text):
    try:
        path = target_path(OPENAI, ProviderCall(f"/v1/responses/{text}", CallKind.RESPONSE_OBJECT), "")
    except RequestRefused:
        return
    assert path.startswith("/team/v1/responses/")
    assert path.isascii()
    assert not set(path) & set(" ?#\\\r\n\0")
    assert path.count("/") == 4 + text.count("/")
