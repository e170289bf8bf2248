"""Names of tools and numbers of stop sequences that a provider would refuse: its attempt is not made."""

from typing import Any

import orjson
import pytest

from pilotage_api.external_snapshot import ProviderDialect
from pilotage_extproc.dialects.provider_call import Asked
from pilotage_extproc.dialects.translation.translator import ProviderTranslator
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

C, M, R = CallKind.CHAT, CallKind.MESSAGES, CallKind.RESPONSES
HI = {"role": "user", "content": "hi"}


def written(kind: CallKind, dialect: ProviderDialect, **members: Any) -> dict[str, Any]:
    asked = Asked(kind, "", orjson.dumps({"model": "m", "max_tokens": 9, **members}), {})
    body = ProviderTranslator().translate(asked, dialect, "x", None).body
    assert body is not None
    made: dict[str, Any] = orjson.loads(body)
    return made


def refused(kind: CallKind, dialect: ProviderDialect, **members: Any) -> str | None:
    """The field that the refusal names."""
    with pytest.raises(RequestRefused) as found:
        written(kind, dialect, **members)
    assert found.value.reason is Refusal.NOT_TRANSLATABLE
    return found.value.param


@pytest.mark.parametrize("dialect", [ProviderDialect.OPENAI, ProviderDialect.AZURE])
def test_openai_takes_four_stop_sequences(dialect):
    stops = ["a", "b", "c", "d"]
    assert written(M, dialect, messages=[HI], stop_sequences=stops)["stop"] == stops
    assert refused(M, dialect, messages=[HI], stop_sequences=[*stops, "e"]) == "stop_sequences"


def test_of_other_servers_with_chats_nobody_knows_how_many_they_take():
    stops = [str(number) for number in range(16)]
    made = written(M, ProviderDialect.OPENAI_CHAT, messages=[HI], stop_sequences=stops)
    assert made["stop"] == stops
    assert written(C, ProviderDialect.ANTHROPIC, messages=[HI], stop=stops)["stop_sequences"] == stops


CHATS = [ProviderDialect.OPENAI, ProviderDialect.AZURE, ProviderDialect.OPENAI_CHAT]


@pytest.mark.parametrize("dialect", CHATS)
@pytest.mark.parametrize("name", ["n" * 65, "fs.read", "read file", "größe", ""])
def test_tools_of_messages_have_names_that_chats_take(dialect, name):
    longest = "mcp__server__" + "n" * 51
    tools = [{"name": longest, "input_schema": {}}]
    assert written(M, dialect, messages=[HI], tools=tools)["tools"][0]["function"]["name"] == longest
    tools.append({"name": name, "input_schema": {}})
    assert refused(M, dialect, messages=[HI], tools=tools) == "tools.1.name"


@pytest.mark.parametrize("name", ["n" * 129, "fs.read", "", "größe"])
def test_tools_of_chats_and_responses_have_names_that_anthropic_takes(name):
    tool = {"type": "function", "function": {"name": name}}
    assert refused(C, ProviderDialect.ANTHROPIC, messages=[HI], tools=[tool]) == "tools.0.function.name"
    tool = {"type": "function", "name": name}
    assert refused(R, ProviderDialect.ANTHROPIC, input="hi", store=False, tools=[tool]) == "tools.0.name"


def test_a_name_that_anthropic_takes_and_openai_does_not_goes_to_anthropic():
    tool = {"type": "function", "function": {"name": "n" * 128}}
    made = written(C, ProviderDialect.ANTHROPIC, messages=[HI], tools=[tool])
    assert made["tools"][0]["name"] == "n" * 128


def test_names_in_earlier_calls_are_looked_at_too():
    use = {"type": "tool_use", "id": "a", "name": "fs.read", "input": {}}
    said = [HI, {"role": "assistant", "content": [use]}]
    assert refused(M, ProviderDialect.OPENAI, messages=said) == "messages.1.content.0.name"
    call = {"id": "a", "type": "function", "function": {"name": "fs.read", "arguments": "{}"}}
    said = [HI, {"role": "assistant", "tool_calls": [call]}]
    path = "messages.1.tool_calls.0.function.name"
    assert refused(C, ProviderDialect.ANTHROPIC, messages=said) == path
    call = {"type": "function_call", "call_id": "a", "name": "n" * 65, "arguments": "{}"}
    assert refused(R, ProviderDialect.OPENAI_CHAT, input=[call], store=False) == "input.0.name"
    made = written(R, ProviderDialect.ANTHROPIC, input=[call], store=False, max_output_tokens=9)
    assert made["messages"][0]["content"][0]["name"] == "n" * 65
