"""The official `openai` client, whole: chat, streams, tools, responses, structured answers, asynchronous too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest

from standards.response_streams import check_events
from standards.talkers import echo, thinker

CHAT_TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
TOOL: Any = {"type": "function", **CHAT_TOOL["function"]}


class Place(pydantic.BaseModel):
    """A city and the temperature."""

    city: str
    degrees: int


@pytest.fixture(scope="module")
def url(serve_in_thread: Any) -> str:
    """Serve the agents."""
    served: str = serve_in_thread(echo(), thinker())
    return served


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    """Open the client."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=30) as opened:
        yield opened


def ask(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


class TestChat:
    def test_parse(self, client: openai.OpenAI) -> None:
        """A pydantic model as `response_format` comes back as an instance."""
        made = client.chat.completions.parse(model="echo", messages=ask("Where?"), response_format=Place)

        assert made.choices[0].message.parsed == Place(city="Seoul", degrees=21)

    def test_stream_helper(self, client: openai.OpenAI) -> None:
        """The client's own accumulator makes the whole completion of the chunks, with calls and with usage."""
        with client.chat.completions.stream(
            model="echo", messages=ask("Weather?"), tools=[CHAT_TOOL], stream_options={"include_usage": True}
        ) as stream:
            done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
            whole = stream.get_final_completion()
        with client.chat.completions.stream(model="echo", messages=ask("Where?"), response_format=Place) as typed:
            parsed = typed.get_final_completion().choices[0].message.parsed

        assert [(event.name, event.arguments) for event in done] == [("weather", '{"city": "Seoul"}')]
        assert whole.choices[0].finish_reason == "tool_calls"
        assert whole.usage is not None
        assert whole.usage.total_tokens == 18
        assert parsed == Place(city="Seoul", degrees=21)


class TestResponses:
    def test_whole(self, client: openai.OpenAI) -> None:
        """A response has the text, the reasoning of each turn, and the usage."""
        made = client.responses.create(model="thinker", input="What time is it?", store=False)

        assert made.output_text == "It is noon."
        assert [item.type for item in made.output] == ["reasoning", "reasoning", "message"]
        assert made.usage is not None
        assert (made.usage.total_tokens, made.usage.output_tokens_details.reasoning_tokens) == (18, 3)

    def test_stream(self, client: openai.OpenAI) -> None:
        """The events pass the state machine after the client."""
        with client.responses.create(model="thinker", input="What time is it?", stream=True) as stream:
            events = [event.model_dump() for event in stream]
        response = check_events([_without_nothing(event) for event in events])

        assert response["output"][-1]["content"][0]["text"] == "It is noon."

    def test_stream_helper(self, client: openai.OpenAI) -> None:
        """The client's own accumulator makes the whole response of the events, typed too."""
        with client.responses.stream(model="echo", input="Where?", text_format=Place) as stream:
            pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
            typed = stream.get_final_response()
        with client.responses.stream(model="echo", input="Weather?", tools=[TOOL]) as stream:
            called = stream.until_done().get_final_response().output[0]

        assert "".join(pieces) == typed.output_text
        assert typed.output_parsed == Place(city="Seoul", degrees=21)
        assert called.type == "function_call"
        assert (called.name, called.arguments) == ("weather", '{"city": "Seoul"}')

    def test_a_conversation_with_tools(self, client: openai.OpenAI) -> None:
        """A call goes out and an output in, by the stored response and by the items alone; and then on."""
        first = client.responses.create(model="echo", input="Weather?", tools=[TOOL])
        [call] = first.output
        assert call.type == "function_call"
        output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny in Seoul"}
        stored = client.responses.create(model="echo", input=[output], tools=[TOOL], previous_response_id=first.id)
        items: Any = [*ask("Weather?"), *(item.to_dict() for item in first.output), output]
        alone = client.responses.create(model="echo", input=items, tools=[TOOL], store=False)

        assert stored.output_text == alone.output_text == "It is sunny in Seoul."
        after = client.responses.create(model="echo", input="And now?", previous_response_id=stored.id)
        assert after.output_text == (
            "[user] Weather? [assistant]  [tool] sunny in Seoul [assistant] It is sunny in Seoul. [user] And now?"
        )

    def test_kept(self, client: openai.OpenAI) -> None:
        """Responses are retrieved, listed with the input, and deleted; a deleted response is not found."""
        made = client.responses.create(model="echo", input="One.", instructions="Be brief.", metadata={"a": "b"})

        assert client.responses.retrieve(made.id) == made
        items = client.responses.input_items.list(made.id).data
        assert [item.type for item in items] == ["message"]
        with pytest.raises(openai.BadRequestError, match="completed already"):
            client.responses.cancel(made.id)
        client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)

    def test_refusals(self, client: openai.OpenAI) -> None:
        """A refusal is the client's own error, and names the parameter."""
        refused: list[tuple[dict[str, Any], str]] = [
            ({"top_p": 0.5}, "top_p"),
            ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
            ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ]
        for given, param in refused:
            with pytest.raises(openai.BadRequestError) as caught:
                client.responses.create(model="echo", input="One.", **given)
            assert caught.value.param == param


def test_asynchronous(url: str) -> None:
    """The asynchronous client does the same, many at once."""

    async def talk() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=30) as client:

            async def one(number: int) -> str:
                made = await client.responses.create(model="echo", input=f"{number}", store=False)
                return made.output_text

            return list(await asyncio.gather(*(one(number) for number in range(10))))

    assert asyncio.run(talk()) == [f"[user] {number}" for number in range(10)]


def _without_nothing(value: Any) -> Any:
    """Return the value without `None`, as added by the client's types."""
    if isinstance(value, dict):
        return {name: _without_nothing(each) for name, each in value.items() if each is not None}
    return [_without_nothing(each) for each in value] if isinstance(value, list) else value
