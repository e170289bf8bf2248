"""Conditions: what is taken, what is refused and where, and what they read."""

import fnmatch

import pytest
from api_manifests import load, only, policy
from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.conditions import library
from pilotage_api.conditions.check import check
from pilotage_api.conditions.globs import glob, glob_problem
from pilotage_api.conditions.problems import ConditionError, ConditionProblem
from pilotage_api.conditions.variables import (
    POOL_FUNCTIONS,
    VARIABLES,
    ValueType,
    header_of,
    header_read,
    pool_of,
    pool_read,
)


def problems(text: str) -> tuple[ConditionProblem, ...]:
    with pytest.raises(ConditionError) as error:
        check(text)
    return error.value.problems


def value(text: str, **given_values: object) -> object:
    """Of a condition whose variables are given as `request_model`."""
    data = {name.replace("_", ".", 1): one for name, one in given_values.items()}
    return library.program(check(text).program).eval(data=data).value()


LITERALS = {
    ValueType.BOOL: "true",
    ValueType.INT: "1",
    ValueType.DOUBLE: "1.0",
    ValueType.STRING: "'a'",
    ValueType.STRINGS: "['a']",
}


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_has_the_type_the_table_says(name):
    assert check(f"{name} == {LITERALS[VARIABLES[name].type]}").reads == (name,)
    wrong = next(one for kind, one in LITERALS.items() if kind is not VARIABLES[name].type)
    assert "does not take" in problems(f"{name} == {wrong}")[0].message


@pytest.mark.parametrize("name", POOL_FUNCTIONS)
def test_every_function_of_pools_has_the_type_the_table_says(name):
    checked = check(f"{name}('p') == {LITERALS[POOL_FUNCTIONS[name].type]}", "team")
    assert checked.reads == (f'{name}("team/p")',)
    assert checked.text.startswith(f"{name}('team/p')")


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "fix"),
    [
        ("request.modl == 'a'", 1, 1, "unknown variable 'request.modl'", "did you mean 'request.model'?"),
        ("request.stream ||\n  request.turn > 1", 2, 3, "unknown variable 'request.turn'", "request.turns"),
        ("'é' == request.model && request.pth == ''", 1, 25, "unknown variable", "request.path"),
        ("request.model == 3", 1, 15, "'==' does not take (string, int)", "one type"),
        ("poolSaturation('a') > 1", 1, 21, "'>' does not take (double, int)", "such as 1.0"),
        ("request.model ==", 1, 17, "Syntax error", "correct it"),
        ("poolRedy('a')", 1, 1, "'poolRedy' is not available", "did you mean 'poolReady'?"),
        ("poolReady(request.model)", 1, 1, "the name of a pool is a literal", "write poolReady('pool')"),
        ("poolReady('A b')", 1, 11, "'A b' is no pool's name", "namespace/name"),
        ("request.contextTokens", 1, 1, "is a value of type int", "compare it"),
        ("headers.x == 'a'", 1, 1, "one by one", 'headers["x"]'),
        ("headers[request.model] == 'a'", 1, 16, "the name of a header is a literal", "x-user"),
        ("size(headers) > 1", 1, 6, "one by one", "headers"),
        ("has(headers.x)", 1, 4, "has() is not available", '"name" in headers'),
        ("request.model.matches('(a*)*b')", 1, 15, "'matches' is not available", "glob"),
        ("request.toolNames.map(t, t) == []", 1, 22, "map and filter are not available", "exists"),
        ("request.toolNames.filter(t, t == 'a') == []", 1, 25, "map and filter", "exists"),
        ("'a' + request.model == 'ab'", 1, 5, "+ joins no texts and lists", "one by one"),
        ("request.toolNames + ['a'] == []", 1, 19, "+ joins no texts and lists", "one by one"),
        ("['a'].exists(x, ['b'].exists(y, x == y))", 1, 29, "loops cannot stand in loops", "rules"),
        ("request.model in [" + "'a'," * 64 + "'b']", 1, 18, "more than 64 items", "pattern"),
        ("request.model == '" + "a" * 1025 + "'", 1, 18, "longer than 1024 bytes", "shorter"),
        ("[1, 'a'].exists(x, true)", 1, 1, "literals of one type", "only"),
        ("{'a': 1}['a'] == 1", 1, 1, "maps and messages are not available", "one by one"),
        ("request.model == null", 1, 18, "nothing is null", "text"),
        ("b'a' == b'a'", 1, 1, "literal of this type", "text"),
        ("glob(request.model, 'a*?*b')", 1, 21, "has a ? between two *", "simpler"),
        ("glob(request.model, request.path)", 1, 28, "takes a literal", "pattern"),
        ("glob(request.model)", 1, 1, "is not called so", "glob(text, 'pattern')"),
        ("request.toolNames.exists(t, t in request.toolsUsed)", 1, 1, "could take", "fewer loops"),
        ("9223372036854775807 + 1 == 0", 1, 1, "fails whatever the request is", "variable"),
        ("timestamp('2026-01-01T00:00:00Z') > timestamp('')", 1, 1, "'timestamp' is not available", "known"),
        ("(" * 40 + "true" + ")" * 40, 1, 1, "nested too deeply", "several rules"),
        ("request.hour" + " + 1" * 200 + " > 3", 1, 1, "nested too deeply", "several rules"),
        ("request.stream || " * 220 + "true", 1, 1, "more than 400 parts", "several rules"),
        ('"\ud800" == request.model', 1, 1, "is no Unicode text", "correct it"),
        ("\x00", 1, 1, "Syntax error", "correct it"),
    ],
)
def test_what_is_refused_is_told_with_its_place_and_a_way_out(text, line, column, message, fix):
    found = problems(text)[0]
    assert (found.line, found.column) == (line, column)
    assert message in found.message
    assert fix in found.fix


@pytest.mark.parametrize(
    "header", ["Authorization", "proxy-authorization", "COOKIE", "x-api-key", "api-key", "x-goog-api-key"]
)
@pytest.mark.parametrize("text", ['headers["{}"] == "a"', '"{}" in headers', 'headers["{}"].startsWith("a")'])
def test_credentials_cannot_be_read(header, text):
    assert problems(text.format(header))[0].code == "credential-header"


def test_a_condition_says_what_it_reads_once_and_sorted():
    text = """headers["X-User"] == 'a' && "x-user" in headers && request.turns > 1
      && (poolReady('b') || poolQueue("other/c") > 5) && request.turns < 9"""
    assert check(text, "team").reads == (
        'headers["x-user"]',
        'poolQueue("other/c")',
        'poolReady("team/b")',
        "request.turns",
    )


def test_names_of_readings_say_what_they_are_of():
    assert header_of(header_read("X-User")) == "x-user"
    assert pool_of(pool_read("poolReady", "a/b")) == ("poolReady", "a/b")
    assert header_of("request.model") is pool_of("request.model") is pool_of('headers["a"]') is None


@pytest.mark.parametrize(
    ("text", "constant"),
    [
        ("false", False),
        ("1 > 2", False),
        ("false && request.stream", False),
        ("request.stream || true", True),
        ("request.stream", None),
    ],
)
def test_what_holds_for_all_requests_or_none_is_known(text, constant):
    assert check(text).constant is constant


def test_equal_conditions_are_known_whatever_their_spacing():
    one, other = check("request.turns>1 && request.stream"), check("request.turns > 1\n && (request.stream)")
    assert one.same_as == other.same_as
    assert one.same_as != check("request.turns>2 && request.stream").same_as
    assert check("poolReady('a')", "x").same_as != check("poolReady('a')", "y").same_as


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        (
            "request.toolNames.exists(t, glob(t, 'search_*'))",
            {"request_toolNames": ["x", "search_web"]},
            True,
        ),
        ("request.toolNames.all(t, t.startsWith('a'))", {"request_toolNames": ["ab", "b"]}, False),
        ("request.toolNames.exists_one(t, t == 'a')", {"request_toolNames": ["a", "a"]}, False),
        ("'web' in request.toolsUsed", {"request_toolsUsed": ["web"]}, True),
        ("request.model in ['a', 'b']", {"request_model": "b"}, True),
        ("request.turns * 2 + 1 == 7", {"request_turns": 3}, True),
        ("request.stream ? request.turns > 2 : false", {"request_stream": True, "request_turns": 3}, True),
        ("request.toolNames[0] == 'a'", {"request_toolNames": ["a"]}, True),
        ("size(request.toolNames) == 2", {"request_toolNames": ["a", "b"]}, True),
        ("double(request.turns) / 2.0 > 1.2", {"request_turns": 3}, True),
    ],
)
def test_conditions_evaluate_as_cel_does(text, values, expected):
    assert value(text, **values) is expected


def test_a_header_is_read_by_its_lower_case_name_and_may_be_missing():
    program = library.program(check('headers["X-A"] == "1" && !("X-B" in headers)').program)
    assert program.eval(data={'headers["x-a"]': "1", '"x-b" in headers': False}).value() is True
    assert program.eval(data={'headers["x-a"]': "2", '"x-b" in headers': False}).value() is False


def test_a_header_can_be_matched_with_a_glob():
    program = library.program(check("glob(headers['x-a'], 'a*') && glob(headers['x-a'], 'a*b')").program)
    assert program.eval(data={'headers["x-a"]': "aab"}).value() is True


patterns = st.text(alphabet="ab*?", max_size=8).filter(lambda one: glob_problem(one) is None)


@given(st.text(alphabet="ab\n", max_size=12), patterns)
def test_globs_fit_what_fnmatch_says(text, pattern):
    expected = fnmatch.fnmatchcase(text, pattern)
    assert glob(text, pattern) is expected
    assert value(f"glob(request.model, '{pattern}')", request_model=text) is expected


def test_an_invalid_condition_refuses_its_policy_and_says_where():
    rules = [{"candidates": [{"model": "m"}], "when": "request.modl == 'a'"}]
    finding = only(load(policy("auto", rules=rules)).findings)
    assert (finding.code, finding.path) == ("invalid-condition", "spec.rules[0].when")
    assert finding.message == "line 1, column 1: unknown variable 'request.modl'"
    assert finding.fix == "did you mean 'request.model'?"


def test_where_the_library_is_not_there_conditions_are_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(library, "available", lambda: False)
    rules = [{"candidates": [{"model": "m"}], "when": "request.turns > 12345"}]
    finding = only(load(policy("auto", rules=rules)).findings)
    assert finding.code == "not-supported"
    assert "cel-expr-python" in finding.message


@given(st.text(max_size=200) | st.text(alphabet="request.model[](){}'\"<>=&|!?:+-*/ 01\\\n", max_size=200))
def test_any_text_is_taken_or_refused_with_a_place(text):
    try:
        check(text)
    except ConditionError as error:
        assert all(1 <= one.line <= text.count("\n") + 1 and one.column >= 1 for one in error.problems)
