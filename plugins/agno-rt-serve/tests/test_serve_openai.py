"""The official client talks to agents as if they were models."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import httpx2
import openai
import pytest
import trio

from agno_rt import Agent, Media, ModelRequest, ModelResponse, ToolCall, Usage, tool
from agno_rt.errors import ModelError
from agno_rt.events import TextDelta, TurnRestarted
from agno_rt.models import Emit
from agno_rt.testing import ScriptedModel

T = TypeVar("T")
URL = "/v1/chat/completions"
GIF = b"GIF89a\1\0\1\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
WAV = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0@\x1f\0\0\1\0\x08\0data\0\0\0\0"
PDF = base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()


@tool
def weather(city: str) -> str:
    """Current weather in a city."""
    return f"Sun in {city}"


@pytest.fixture
def ask() -> Callable[..., Any]:
    """Run a function of the official client against a server, in a thread, since the client is synchronous."""

    async def call(served: Any, function: Callable[[openai.OpenAI], T]) -> T:
        def work() -> T:
            with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=30) as client:
                return function(client)

        return await trio.to_thread.run_sync(work)

    return call


def question(text: str = "Weather?") -> list[Any]:
    return [{"role": "user", "content": text}]


class TestOfficialClient:
    async def test_a_completion(self, serve_agents: Any, ask: Any) -> None:
        """An agent answers like a model, with its usage; calls of the agent's own tools are not shown."""
        model = ScriptedModel([ToolCall("c1", "weather", '{"city": "Seoul"}'), "Sunny."])
        served = await serve_agents(Agent(model, "forecaster", "Be brief.", tools=[weather]))
        conversation = [
            {"role": "developer", "content": "Speak plainly."},
            {"role": "user", "content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "there"}]},
            {"role": "assistant", "content": "Hello."},
            *question(),
        ]
        answer = await ask(
            served,
            lambda client: client.chat.completions.create(
                model="forecaster", messages=conversation, temperature=0.1, max_tokens=9, user="ann"
            ),
        )

        choice = answer.choices[0]
        assert (choice.message.content, choice.message.role, choice.finish_reason) == ("Sunny.", "assistant", "stop")
        assert choice.message.tool_calls is None
        assert answer.model == "forecaster"
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens == 4
        asked = [(message.role, message.content) for message in model.requests[0].messages]
        assert asked[-4:] == [
            ("system", "Speak plainly."),
            ("user", "Hi there"),
            ("assistant", "Hello."),
            ("user", "Weather?"),
        ]
        assert asked[0] == ("system", "Be brief.")

    @pytest.mark.parametrize("user", ["bob", "", None])
    async def test_nothing_is_kept_between_requests(self, serve_agents: Any, ask: Any, user: Any) -> None:
        """A request sees nothing of other requests, whoever the user: the messages are the conversation."""
        model = ScriptedModel(["Noted.", "?"])
        served = await serve_agents(Agent(model, "a"))

        def both(client: openai.OpenAI) -> None:
            first = question("The code is 4711.")
            client.chat.completions.create(model="a", messages=first, user="ann")
            client.chat.completions.create(model="a", messages=question(), user=user)

        await ask(served, both)

        assert [message.content for message in model.requests[1].messages] == ["Weather?"]
        assert [request.user for request in model.requests] == ["ann", user or None]

    async def test_an_answer_that_was_cut_off_says_so(self, serve_agents: Any, ask: Any) -> None:
        """The model's own reason to stop comes through, whole and streamed."""
        cut = ModelResponse("And so", finish_reason="length")
        served = await serve_agents(Agent(ScriptedModel([cut, cut]), "a"))

        def both(client: openai.OpenAI) -> list[Any]:
            whole = client.chat.completions.create(model="a", messages=question())
            chunks = list(client.chat.completions.create(model="a", messages=question(), stream=True))
            return [whole.choices[0].finish_reason, chunks[-1].choices[0].finish_reason]

        assert await ask(served, both) == ["length", "length"]

    async def test_a_stream(self, serve_agents: Any, ask: Any) -> None:
        """Text streams as it is written; the usage comes last if asked for."""
        first = ModelResponse("I look.", (ToolCall("c1", "weather", '{"city": "Seoul"}'),), usage=Usage(2, 3))
        served = await serve_agents(Agent(ScriptedModel([first, "It is sunny."]), "a", tools=[weather]))

        def stream(client: openai.OpenAI) -> list[Any]:
            options: Any = {"include_usage": True}
            return list(
                client.chat.completions.create(model="a", messages=question(), stream=True, stream_options=options)
            )

        chunks = await ask(served, stream)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == "I look.\n\nIt is sunny."
        assert chunks[0].choices[0].delta.role == "assistant"
        assert not any(choice.delta.tool_calls for chunk in chunks for choice in chunk.choices)
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
        assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 9)
        assert len({chunk.id for chunk in chunks}) == 1

    async def test_media(self, serve_agents: Any, ask: Any) -> None:
        """Images, sound and files of a client's messages reach the agent's model, in their order."""
        model = ScriptedModel(["Much."])
        served = await serve_agents(Agent(model, "a"))
        gif, wav = base64.b64encode(GIF).decode(), base64.b64encode(WAV).decode()
        content = [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{gif}", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://host/cat.png"}},
            {"type": "input_audio", "input_audio": {"data": wav, "format": "wav"}},
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_data": PDF, "filename": "b.pdf"}},
            {"type": "video_url", "video_url": {"url": "https://host/cat.mp4"}},
        ]
        messages = [{"role": "user", "content": content}]
        answer = await ask(served, lambda client: client.chat.completions.create(model="a", messages=messages))

        assert answer.choices[0].message.content == "Much."
        pdf = base64.b64decode(PDF)
        assert model.requests[0].messages[-1].content == (
            "What is this?",
            Media("image", "image/gif", GIF),
            Media("image", "image/png", None, "https://host/cat.png", "cat.png"),
            Media("audio", "audio/wav", WAV),
            Media("file", "application/pdf", pdf, None, "a.pdf"),
            Media("file", "application/pdf", pdf, None, "b.pdf"),
            Media("video", "video/mp4", None, "https://host/cat.mp4", "cat.mp4"),
        )

    async def test_large_media(self, serve_agents: Any, ask: Any) -> None:
        """A part that is too large is a 413, in the client's own exception."""
        served = await serve_agents(Agent(ScriptedModel([]), "a"), max_media=10)
        part = {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}
        messages = [{"role": "user", "content": [part]}]
        with pytest.raises(openai.APIStatusError, match="has more than 10 bytes") as caught:
            await ask(served, lambda client: client.chat.completions.create(model="a", messages=messages))

        assert caught.value.status_code == 413

    async def test_reasoning(self, serve_agents: Any, ask: Any) -> None:
        """Reasoning comes in a separate field, whole and streamed, and its tokens are counted."""
        thinks = ModelResponse("So.", reasoning="Hm.", usage=Usage(9, 5, 3, 8))
        served = await serve_agents(Agent(ScriptedModel([thinks, thinks]), "a"))
        whole = await ask(served, lambda client: client.chat.completions.create(model="a", messages=question()))
        chunks = await ask(
            served,
            lambda client: list(client.chat.completions.create(model="a", messages=question(), stream=True)),
        )

        assert (whole.choices[0].message.content, whole.choices[0].message.reasoning_content) == ("So.", "Hm.")
        assert whole.usage.completion_tokens_details.reasoning_tokens == 3
        assert whole.usage.prompt_tokens_details.cached_tokens == 8
        deltas = [chunk.choices[0].delta for chunk in chunks]
        assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "Hm."
        assert "".join(delta.content or "" for delta in deltas) == "So."

    @pytest.mark.parametrize(
        ("first", "then"),
        [(["Rig"], ["Right", "."]), (["Right", "."], ["Right."]), (["Rig"], []), ([], ["Right."])],
    )
    async def test_a_turn_that_begins_anew_with_the_same(
        self, serve_agents: Any, ask: Any, first: list[str], then: list[str]
    ) -> None:
        """A turn that is asked again and says the same is one text to the client."""
        served = await serve_agents(Agent(Restarting(first, then, "Right."), "a"))

        def stream(client: openai.OpenAI) -> str:
            chunks = client.chat.completions.create(model="a", messages=question(), stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

        assert await ask(served, stream) == "Right."

    @pytest.mark.parametrize(
        ("first", "then"), [(["Wro"], ["Right."]), (["Right. Or"], ["Right."]), (["Right.", "x"], [])]
    )
    async def test_a_turn_that_begins_anew_with_something_else(
        self, serve_agents: Any, ask: Any, first: list[str], then: list[str]
    ) -> None:
        """The stream ends with an error, not with a wrong answer: the format cannot take text back."""
        served = await serve_agents(Agent(Restarting(first, then, "Right."), "a"))

        def stream(client: openai.OpenAI) -> Any:
            return list(client.chat.completions.create(model="a", messages=question(), stream=True))

        with pytest.raises(openai.APIError, match="began its answer anew"):
            await ask(served, stream)
        whole = await ask(served, lambda client: client.chat.completions.create(model="a", messages=question()))
        assert whole.choices[0].message.content == "Right."

    async def test_a_model_that_does_not_stream(self, serve_agents: Any, ask: Any) -> None:
        """An answer in one piece is streamed in one piece."""
        served = await serve_agents(Agent(InOnePiece(), "a"))

        def stream(client: openai.OpenAI) -> list[str | None]:
            chunks = client.chat.completions.create(model="a", messages=question(), stream=True)
            return [chunk.choices[0].delta.content for chunk in chunks]

        assert "All at once." in await ask(served, stream)

    async def test_models(self, serve_agents: Any, ask: Any) -> None:
        """The agents are listed as models, and each can be looked up."""
        served = await serve_agents(Agent(ScriptedModel([]), "a"), Agent(ScriptedModel([]), "b"))

        listed = await ask(served, lambda client: [model.id for model in client.models.list()])
        assert listed == ["a", "b"]
        assert (await ask(served, lambda client: client.models.retrieve("b"))).id == "b"

    async def test_errors(self, serve_agents: Any, ask: Any) -> None:
        """Errors come as the client's own exceptions, with a remedy."""
        failure = ModelError("the model is away", hint="Wait for it.")
        served = await serve_agents(Agent(ScriptedModel([failure, failure]), "agent"))

        def create(client: openai.OpenAI, **more: Any) -> Any:
            return client.chat.completions.create(**({"model": "agent", "messages": question()} | more))

        with pytest.raises(openai.NotFoundError, match="Did you mean 'agent'") as missing:
            await ask(served, lambda client: create(client, model="agemt"))
        assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.BadRequestError, match="top_p is not supported") as refused:
            await ask(served, lambda client: create(client, top_p=0.5))
        assert (refused.value.type, refused.value.param) == ("invalid_request_error", "top_p")
        with pytest.raises(openai.InternalServerError, match="the model gave no answer") as away:
            await ask(served, create)
        assert (away.value.status_code, away.value.code) == (502, "model")
        with pytest.raises(openai.APIError, match="the model gave no answer"):
            await ask(served, lambda client: list(create(client, stream=True)))

    async def test_a_run_that_waits_for_a_person(self, serve_agents: Any, ask: Any) -> None:
        """A paused run has no answer: an error names the tools it waits for, whole and streamed."""

        @tool(approve=True)
        def pay() -> str:
            """Pay."""
            return "paid"

        served = await serve_agents(Agent(ScriptedModel([ToolCall("1", "pay")] * 2), "a", tools=[pay]))
        for stream in (False, True):

            def create(client: openai.OpenAI, stream: bool = stream) -> Any:
                made: Any = client.chat.completions.create(model="a", messages=question(), stream=stream)
                return list(made)

            with pytest.raises(openai.APIError, match="waits for a person, about pay") as caught:
                await ask(served, create)
            assert caught.value.code == "paused"

    async def test_hanging_up_cancels_the_run(self, serve_agents: Any) -> None:
        """A client that stops reading a stream cancels the run."""
        cancelled = trio.Event()

        async def never(request: ModelRequest) -> str:
            try:
                await trio.sleep_forever()
            finally:
                cancelled.set()

        served = await serve_agents(Agent(ScriptedModel([never]), "a"))
        body = json.dumps({"model": "a", "messages": question(), "stream": True}).encode()
        async with await served.dial() as wire:
            head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % URL.encode()
            await wire.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert (await wire.answer(head_only=True)).status == 200
        with trio.fail_after(30):
            await cancelled.wait()


@attrs.define
class Restarting:
    """A model that says something, takes back the text, and says something else."""

    first: list[str]
    then: list[str]
    answer: str
    name: str = "restarting"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        if emit is not None:
            for text in self.first:
                await emit(TextDelta(text))
            await emit(TurnRestarted("the line was cut"))
            for text in self.then:
                await emit(TextDelta(text))
        return ModelResponse(self.answer)


class InOnePiece:
    """A model that emits nothing."""

    name = "in-one-piece"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        return ModelResponse("All at once.")


@pytest.mark.parametrize(
    ("body", "param", "named"),
    [
        ({"messages": []}, "messages", "no messages"),
        ({"messages": "hi"}, "messages", "array"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[].content", "content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0]", "'robot'"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]}, "messages[0]", "'tool'"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]},
            "messages[0].tool_calls[0].function",
            "function",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x.png"}}]}]},
            "messages[0].content[0]",
            "not of http, https or data",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0]",
            "'image_url', or lacks",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f1"}}]}]},
            "messages[0].content[0]",
            "'file', or lacks",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}}],
                    }
                ]
            },
            "messages[0].content[0]",
            "not base64",
        ),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": "https://host/a"}]}]},
            "messages[0]",
            "in messages of the user",
        ),
        ({"n": 2}, "n", "n is 2"),
        ({"functions": [{"name": "f"}]}, "functions", "functions"),
        ({"response_format": {"type": "grammar"}}, "response_format", "grammar"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "no schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}}},
            "response_format",
            "object",
        ),
        ({"stream_options": {"include_usage": True}}, "stream_options", "stream is not"),
        (
            {"stream": True, "stream_options": {"include_obfuscation": True}},
            "stream_options.include_obfuscation",
            "is not",
        ),
        ({"modalities": ["text", "audio"]}, "modalities", "text"),
        ({"model": None}, "model", "str"),
    ],
)
async def test_what_is_refused(serve_agents: Any, body: dict[str, Any], param: str, named: str) -> None:
    """Unsupported requests are refused by name, in OpenAI's shape for errors."""
    served = await serve_agents(Agent(ScriptedModel([]), "a"))
    async with httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False) as http:
        answer = await http.post(URL, json={"model": "a", "messages": question()} | body)

    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert set(error) == {"message", "type", "code", "param"}
    assert error["param"].replace("[0].content", "[].content") == param.replace("[0].content", "[].content")
    assert named in error["message"]


async def test_broken_requests(serve_agents: Any) -> None:
    """Broken JSON, a wrong content type, method or path are answered in the same shape."""
    served = await serve_agents(Agent(ScriptedModel([]), "a"))
    async with httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False) as http:
        as_json = {"Content-Type": "application/json"}
        answers = [
            await http.post(URL, content=b"{", headers=as_json),
            await http.post(URL, content=b"{}", headers={"Content-Type": "text/plain"}),
            await http.get(URL),
            await http.get("/v1/nothing"),
        ]

    assert [answer.status_code for answer in answers] == [400, 415, 405, 404]
    assert all(set(answer.json()["error"]) == {"message", "type", "code", "param"} for answer in answers)
