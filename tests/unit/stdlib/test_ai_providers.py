"""The shapes of OpenAI and of Anthropic, without a service; and what a memory's messages are mended to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara.agents import AgentError
from runtara.agents.retry_after import retry_after_ms
from runtara.stdlib.ai.memory import sanitised
from runtara.stdlib.ai.providers import provider_of
from runtara.stdlib.ai.providers.anthropic import Anthropic
from runtara.stdlib.ai.providers.base import AnswerUnreadable, Ask, Message, Provider, ToolCall, ToolSpec, Turn
from runtara.stdlib.ai.providers.openai import OpenAi

PROVIDERS: tuple[Provider, ...] = (OpenAi(), Anthropic())


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str = "", *ids: str) -> Message:
    calls = tuple(ToolCall(id=one, name="look", arguments={}) for one in ids)
    return Message(role="assistant", content=text, tool_calls=calls)


def result(call_id: str | None) -> Message:
    return Message(role="tool", content="seen", tool_call_id=call_id, name="look")


def body_of(provider: Provider, ask: Ask, base_url: str | None = None) -> Any:
    return provider.request(ask, api_key="k", base_url=base_url).body


# ---- where and with what


@pytest.mark.parametrize(
    ("provider", "base_url", "url"),
    [
        (OpenAi(), None, "https://api.openai.com/v1/chat/completions"),
        (OpenAi(), "http://x/v1/", "http://x/v1/chat/completions"),
        (Anthropic(), None, "https://api.anthropic.com/v1/messages"),
        (Anthropic(), "http://x", "http://x/v1/messages"),
    ],
)
def test_a_provider_has_an_address_of_its_own_and_takes_another(
    provider: Provider, base_url: str | None, url: str
) -> None:
    request = provider.request(Ask(messages=[user("x")]), api_key="secret", base_url=base_url)
    assert request.url == url
    assert "secret" in "".join(request.headers.values())
    assert "secret" not in repr(request)


def test_a_step_that_names_no_model_gets_the_provider_s() -> None:
    ask = Ask(messages=[user("x")])
    assert body_of(OpenAi(), ask)["model"] == "gpt-4o"
    assert body_of(Anthropic(), ask)["model"].startswith("claude-")


def test_the_bound_of_an_answer_has_the_name_that_the_service_knows() -> None:
    ask = Ask(messages=[user("x")], max_tokens=7)
    assert body_of(OpenAi(), ask)["max_completion_tokens"] == 7
    assert body_of(OpenAi(), ask, "http://x")["max_tokens"] == 7
    assert body_of(Anthropic(), ask)["max_tokens"] == 7


@pytest.mark.parametrize(
    ("name", "integration_id", "expected"),
    [
        (None, "openai_api_key", "openai"),
        (None, "anthropic_api_key", "anthropic"),
        ("anthropic", "openai_api_key", "anthropic"),
        ("openai", None, "openai"),
    ],
)
def test_a_provider_is_named_by_the_step_or_by_the_connection(
    name: str | None, integration_id: str | None, expected: str
) -> None:
    assert provider_of(name, integration_id).name == expected


@pytest.mark.parametrize(("name", "integration_id"), [(None, None), ("bedrock", "openai_api_key"), (None, "smtp")])
def test_there_are_providers_that_nobody_knows(name: str | None, integration_id: str | None) -> None:
    with pytest.raises(AgentError, match="known are: openai, anthropic") as caught:
        provider_of(name, integration_id)
    assert caught.value.code == "AI_PROVIDER_UNKNOWN"


# ---- messages


def test_anthropic_gets_a_conversation_that_begins_with_the_user_and_alternates() -> None:
    messages = [assistant("a"), assistant("b", "1"), result("1"), user("c"), assistant("  "), user("d")]
    roles = [message["role"] for message in body_of(Anthropic(), Ask(messages=messages))["messages"]]
    assert roles == ["user", "assistant", "user"]
    last = body_of(Anthropic(), Ask(messages=messages))["messages"][-1]["content"]
    assert [block["type"] for block in last] == ["tool_result", "text", "text"]


def test_anthropic_takes_a_call_whose_arguments_were_no_object() -> None:
    call = ToolCall(id="1", name="look", arguments="{broken")
    messages = [user("x"), Message(role="assistant", tool_calls=(call,)), result("1")]
    (block,) = body_of(Anthropic(), Ask(messages=messages))["messages"][1]["content"]
    assert block == {"type": "tool_use", "id": "1", "name": "look", "input": {}}


TEXT = {"type": "string"}


def whole(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": sorted(properties), "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (whole(a=TEXT), True),
        (whole(a=whole(b=TEXT)), True),
        (whole(a={"type": "array", "items": TEXT}), True),
        (whole(a={"type": "array"}), False),
        (whole(a={"type": "object"}), False),
        (whole(a=TEXT | {"minLength": 1}), False),
        (whole(a={"type": "array", "items": {"type": "object"}}), False),
        (whole(a=TEXT) | {"required": []}, False),
        (whole(), False),
    ],
)
def test_openai_is_strict_about_schemas_that_it_takes_so(schema: Any, strict: bool) -> None:
    asked = body_of(OpenAi(), Ask(messages=[user("x")], output_schema=schema))["response_format"]
    assert asked["json_schema"]["strict"] is strict


def test_no_tools_are_not_mentioned() -> None:
    for provider in PROVIDERS:
        assert not {"tools", "tool_choice"} & body_of(provider, Ask(messages=[user("x")])).keys()


def test_tools_may_be_called_and_need_not() -> None:
    ask = Ask(messages=[user("x")], tools=[ToolSpec(name="look", description="Look.", parameters=whole())])
    assert body_of(OpenAi(), ask)["tool_choice"] == "auto"
    assert body_of(Anthropic(), ask)["tool_choice"] == {"type": "auto"}


# ---- answers


def chat(**message: Any) -> Any:
    return {"choices": [{"message": message}]}


@pytest.mark.parametrize(
    ("body", "turn"),
    [
        (chat(content="Hi"), Turn(text="Hi")),
        (chat(content=None), Turn()),
        (chat(content=[{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]), Turn(text="Hi")),
        (chat(content=None, refusal="No."), Turn(text="No.")),
        (
            chat(tool_calls=[{"function": {"name": "look", "arguments": ""}}]),
            Turn(tool_calls=(ToolCall(id="call_0", name="look", arguments={}),)),
        ),
        (
            chat(tool_calls=[{"id": "7", "function": {"name": "look", "arguments": {"a": 1}}}]),
            Turn(tool_calls=(ToolCall(id="7", name="look", arguments={"a": 1}),)),
        ),
        (
            chat(tool_calls=[{"id": "7", "function": {"name": "look", "arguments": "[1]"}}]),
            Turn(tool_calls=(ToolCall(id="7", name="look", arguments="[1]"),)),
        ),
    ],
)
def test_a_turn_of_openai_is_read(body: Any, turn: Turn) -> None:
    assert OpenAi().turn(body) == turn


def blocks(*content: Any) -> Any:
    return {"content": list(content)}


def use(name: str, given: Any, call_id: str | None = "7") -> Any:
    return {"type": "tool_use", "id": call_id, "name": name, "input": given}


@pytest.mark.parametrize(
    ("body", "turn"),
    [
        (blocks({"type": "text", "text": "H"}, {"type": "text", "text": "i"}), Turn(text="Hi")),
        (blocks(), Turn()),
        (blocks({"type": "thinking", "thinking": "…"}, {"type": "text", "text": "Hi"}), Turn(text="Hi")),
        (
            blocks({"type": "text", "text": "Hm"}, use("look", {"a": 1})),
            Turn(text="Hm", tool_calls=(ToolCall(id="7", name="look", arguments={"a": 1}),)),
        ),
        (blocks(use("look", None, None)), Turn(tool_calls=(ToolCall(id="call_0", name="look", arguments={}),))),
        (blocks({"type": "text", "text": "So:"}, use("final-answer", {"a": 1})), Turn(text='{"a":1}')),
        (
            blocks(use("final-answer", {"a": 1}), use("look", {})),
            Turn(tool_calls=(ToolCall(id="7", name="look", arguments={}),)),
        ),
    ],
)
def test_a_turn_of_anthropic_is_read(body: Any, turn: Turn) -> None:
    assert Anthropic().turn(body) == turn


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "type", "tool_calls", "function", "name", "input", "text"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_answer_is_a_turn_or_unreadable(body: Any) -> None:
    for provider in PROVIDERS:
        try:
            turn = provider.turn(body)
        except AnswerUnreadable:
            continue
        assert isinstance(turn, Turn)


# ---- how long a service wants to be left alone

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("20", 20_000),
        (" 7 ", 7_000),
        ("soon", None),
        ("-1", None),
        ("9" * 5000, None),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60_000),
        ("Thu, 01 Jan 2026 00:01:00", 60_000),
        ("Wed, 31 Dec 2025 23:59:59 GMT", 0),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_date(header: str | None, expected: int | None) -> None:
    assert retry_after_ms(header, NOW) == expected


# ---- memory


def test_a_whole_conversation_stays_as_it_is() -> None:
    messages = [user("a"), assistant("b", "1", "2"), result("2"), result("1"), assistant("c")]
    assert sanitised(messages) == messages


def test_calls_without_all_their_results_go_and_results_without_a_call_become_text() -> None:
    messages = [result("0"), user("a"), assistant("b", "1", "2"), result("1"), user("c"), assistant("d", "3")]
    orphan = user("Result of the tool look: seen")
    assert sanitised(messages) == [orphan, user("a"), orphan, user("c")]


def test_a_second_result_of_a_call_is_text() -> None:
    messages = [assistant("b", "1"), result("1"), result("1")]
    assert sanitised(messages) == [*messages[:2], user("Result of the tool look: seen")]


def test_a_stray_result_does_not_stand_between_a_call_and_its_result() -> None:
    messages = [assistant("b", "1"), result("0"), result("1")]
    assert sanitised(messages) == [messages[0], messages[2], user("Result of the tool look: seen")]


MESSAGES = st.lists(
    st.one_of(
        st.just(user("u")),
        st.lists(st.sampled_from("123"), unique=True).map(lambda ids: assistant("a", *ids)),
        st.sampled_from(["1", "2", "3", None]).map(result),
    ),
    max_size=12,
)


@given(MESSAGES)
def test_what_was_mended_is_what_services_take(messages: list[Message]) -> None:
    mended = sanitised(messages)
    expected: set[str | None] = set()
    for message in mended:
        if message.role == "tool":
            assert message.tool_call_id in expected
            expected.remove(message.tool_call_id)
        else:
            assert not expected, "a call has no result"
            expected = {call.id for call in message.tool_calls}
    assert not expected
    assert sanitised(mended) == mended
    users = [message for message in messages if message.role == "user"]
    assert [message for message in mended if message == user("u")] == users


@given(MESSAGES)
def test_a_conversation_survives_being_kept_as_json(messages: list[Message]) -> None:
    kept = msgspec.json.encode(messages)
    assert msgspec.json.decode(kept, type=list[Message]) == messages
