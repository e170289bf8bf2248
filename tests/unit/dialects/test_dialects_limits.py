"""Output limits: lowered in place, put in where there is none."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.dialects.call import max_tokens
from pilotage_extproc.dialects.limits import OutputLimits
from pilotage_extproc.dialects.splice import edited
from pilotage_extproc.dialects.table import CALLS, DIALECTS
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import RequestRefused

LIMITED = [call for call in CALLS if call.output_limits]
CHAT = OutputLimits(DIALECTS[CallKind.CHAT])


def lowered(body: bytes, most: int) -> bytes:
    return edited(body, CHAT.lowered(body, orjson.loads(body), most))


def test_only_the_number_changes():
    assert lowered(b'{ "max_tokens" : 900, "x":1.50}', 256) == b'{ "max_tokens" : 256, "x":1.50}'
    assert lowered(b'{"max_tokens":9,"max_completion_tokens":900}', 256) == (
        b'{"max_tokens":9,"max_completion_tokens":256}'
    )


def test_a_lower_limit_stays():
    assert lowered(b'{"max_tokens":100}', 256) == b'{"max_tokens":100}'


@pytest.mark.parametrize(
    ("body", "after"),
    [
        (b"{}", b'{"max_tokens":5}'),
        (b'{"a":1}', b'{"max_tokens":5,"a":1}'),
        (b'{"max_tokens":null}', b'{"max_tokens":5}'),
        (b'{"max_completion_tokens":null}', b'{"max_tokens":5,"max_completion_tokens":null}'),
    ],
)
def test_one_is_put_in_where_there_is_none(body, after):
    assert lowered(body, 5) == after


@pytest.mark.parametrize(
    "body",
    [
        b'{"max_tokens":900,"max_tokens":900}',
        b'{"max_tokens":900,"max_tokens":2}',
        b'{"max_tokens":900,"max_tokens":null}',
        b'{"max_tokens":"900"}',
        b'{"max_tokens":9e2}',
        b'{"max_tokens":true}',
    ],
)
def test_a_limit_that_servers_may_read_in_more_than_one_way_is_refused(body):
    with pytest.raises(RequestRefused):
        lowered(body, 5)


@pytest.mark.parametrize(("limit", "sent"), [(-1, 5), (0, 1), (1, 1)])
def test_a_limit_that_servers_may_read_as_none_is_one(limit, sent):
    assert lowered(b'{"max_tokens":%d}' % limit, 5) == b'{"max_tokens":%d}' % sent


def test_a_call_without_output_has_no_limit():
    with pytest.raises(ValueError, match="no limit"):
        OutputLimits(DIALECTS[CallKind.EMBEDDINGS]).lowered(b"{}", {}, 5)


NAMES = st.sampled_from(["max_tokens", "max_completion_tokens", "max_output_tokens", "x", "n"])
VALUES = st.none() | st.integers(-5, 5000) | st.text(max_size=3)


@given(
    call=st.sampled_from(LIMITED),
    members=st.dictionaries(NAMES, VALUES, max_size=5),
    most=st.integers(1, 4096),
    indent=st.booleans(),
)
def test_afterwards_the_limit_holds_and_nothing_else_has_changed(call, members, most, indent):
    members = {
        name: value
        for name, value in members.items()
        if name not in call.output_limits or not isinstance(value, str)
    }
    body = orjson.dumps(members, option=orjson.OPT_INDENT_2 if indent else None)
    after = orjson.loads(edited(body, OutputLimits(call).lowered(body, members, most)))
    limit = max_tokens(call, after)
    assert limit is not None
    assert limit <= most
    said = [members[name] for name in call.output_limits if members.get(name) is not None]
    assert limit == min([most, *(max(1, one) for one in said if one >= 0)])
    others = {name: value for name, value in members.items() if name not in call.output_limits}
    assert {name: value for name, value in after.items() if name not in call.output_limits} == others
