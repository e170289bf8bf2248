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
        (b'{"max_tokens":"many"}', b'{"max_tokens":"many"}'),
    ],
)
def test_one_is_put_in_where_there_is_none(body, after):
    assert lowered(body, 5) == after


def test_a_limit_that_stands_twice_is_refused():
    with pytest.raises(RequestRefused):
        lowered(b'{"max_tokens":900,"max_tokens":900}', 5)


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
    before = max_tokens(call, members)
    assert limit == (most if before is None else min(before, most))
    others = {name: value for name, value in members.items() if name not in call.output_limits}
    assert {name: value for name, value in after.items() if name not in call.output_limits} == others
