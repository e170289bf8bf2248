"""Prompts of stateless Responses calls, and of Claude Code."""

from typing import Any

from pilotage_extproc.dialects.prompt_text import read_prompt
from pilotage_extproc.domain.head import CallKind

USER = {"role": "user", "content": "Look it up."}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "found"}
ANSWER = {
    "type": "message",
    "id": "msg_1",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "There.", "annotations": [], "logprobs": None}],
}


def responses(*items: dict[str, Any], **more: Any) -> bytes:
    return read_prompt(CallKind.RESPONSES, {"store": False, "input": list(items), **more}).text


def test_a_later_stateless_turn_begins_with_all_of_the_earlier_one():
    turns = [[USER], [USER, REASONING, CALL, RESULT], [USER, REASONING, CALL, RESULT, ANSWER, USER]]
    texts = [responses(*items, instructions="Be brief.", tools=[{"name": "look"}]) for items in turns]
    assert texts[1].startswith(texts[0])
    assert texts[2].startswith(texts[1])


def test_an_answer_sent_back_as_it_came_and_as_a_plain_message_are_one_prompt():
    assert responses(USER, ANSWER) == responses(USER, {"role": "assistant", "content": "There."})


def test_what_only_the_api_counts_by_is_no_part_of_the_prompt():
    bare = {name: value for name, value in CALL.items() if name != "id"}
    assert responses(USER, CALL | {"status": "completed"}) == responses(USER, bare)
    assert responses(USER, CALL) != responses(USER, CALL | {"arguments": '{"a":1}'})
    assert responses(USER, RESULT) != responses(USER, RESULT | {"output": "lost"})


def test_text_alone_is_a_message_of_the_user():
    alone = read_prompt(CallKind.RESPONSES, {"input": "hello", "instructions": "Be brief."}).text
    assert alone == responses({"role": "user", "content": "hello"}, instructions="Be brief.")


def test_a_stateless_conversation_reads_like_its_chat():
    messages = [{"role": "system", "content": "Be brief."}, USER, {"role": "assistant", "content": "There."}]
    chat = read_prompt(CallKind.CHAT, {"messages": messages}).text
    assert responses(USER, ANSWER, instructions="Be brief.") == chat


def test_a_billing_line_that_is_new_each_time_is_no_part_of_the_prompt():
    def claude(header: str) -> bytes:
        system = [{"type": "text", "text": header}, {"type": "text", "text": "You are a helper."}]
        return read_prompt(CallKind.MESSAGES, {"system": system, "messages": [USER]}).text

    one = claude("x-anthropic-billing-header: cc_version=2; cch=a1b2;")
    assert one == claude("x-anthropic-billing-header: cc_version=2; cch=ffff;")
    assert one != claude("You are new.")
