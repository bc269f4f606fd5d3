"""The client against a server on loopback: signatures on the wire, failures, runs with tools, retries, the pool.

References: Amazon Bedrock's API reference, "Converse", "ConverseStream" and "Common Errors". botocore computes the
signatures again from the requests that arrived.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import attrs
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
import trio
from agno_rt_bedrock import BedrockModel, Server

from agno_rt import Agent, Message, ModelRequest, Retry, Runtime, tool
from agno_rt.errors import ModelError
from agno_rt.events import Delta, TextDelta, TurnRestarted
from agno_rt.testing import WireReply, WireRequest, WireServer, open_wire_server
from tests.servers.converse import KEY, event, exception, stream_events, whole_body

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ASKED = ModelRequest((Message("user", "Hi."),))
STREAM = "application/vnd.amazon.eventstream"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CALL = {"toolUse": {"toolUseId": "t1", "name": "look_up", "input": {"city": "Seoul"}}}
SIGNED_THOUGHT = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig-1"}}}

Make = Callable[..., BedrockModel]


@tool(inline=True)
def look_up(city: str) -> str:
    """Current weather in a city."""
    CITIES.append(city)
    return f"Sun in {city}"


CITIES: list[str] = []


@pytest.fixture
async def server() -> AsyncIterator[WireServer]:
    """A listening server."""
    CITIES.clear()
    async with open_wire_server() as server:
        yield server


@pytest.fixture
async def make(server: WireServer) -> AsyncIterator[Make]:
    """A factory of models of the server; the models are closed after the test."""
    models: list[BedrockModel] = []

    def make(model: str = MODEL, **settings: Any) -> BedrockModel:
        given = {"base_url": server.url, "api_key": KEY, "region": "us-west-2", "read_timeout": 30.0, **settings}
        models.append(BedrockModel(model, Server(**given)))
        return models[-1]

    yield make
    for model in models:
        await model.aclose()


def whole(*blocks: Any, reason: str = "end_turn") -> WireReply:
    """Return the reply with a whole answer."""
    return WireReply((whole_body(blocks, reason),), headers={"x-amzn-requestid": "req-1"})


def streamed(*blocks: Any, reason: str = "end_turn") -> WireReply:
    """Return the reply that streams an answer."""
    return WireReply(tuple(stream_events(blocks, reason)), content_type=STREAM, headers={"x-amzn-requestid": "req-1"})


HELLO = {"text": "Hello, you."}


class TestSignatures:
    """Signed requests, as they arrive."""

    @pytest.mark.parametrize("token", ["", "token-0123456789"])
    @pytest.mark.parametrize("model", [MODEL, "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.a.b-v1:0"])
    async def test_botocore_computes_the_same(
        self, server: WireServer, make: Make, monkeypatch: pytest.MonkeyPatch, model: str, token: str
    ) -> None:
        """The signature of a request that arrived is botocore's for its path, headers and body."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        server.play(whole(HELLO), streamed(HELLO))
        asking = make(model, api_key=None, headers={"X-Team": "blue  green"})
        await asking.respond(ASKED)
        await asking.respond(ASKED, ignore)
        for request, path in zip(server.requests, ("converse", "converse-stream"), strict=True):
            assert request.path.endswith(f"/{path}")
            assert ":" not in request.path
            assert request.headers["authorization"] == sign_again(request, monkeypatch, token)
            assert SECRET not in str(request)
            assert request.headers.get("x-amz-security-token", "") == token
            assert "x-team" in request.headers["authorization"]

    async def test_an_api_key(self, server: WireServer, make: Make) -> None:
        """An API key is sent as a bearer token, without a signature."""
        server.play(whole(HELLO))
        response = await make().respond(ASKED)
        assert (response.content, response.request_id) == ("Hello, you.", "req-1")
        [request] = server.requests
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert "x-amz-date" not in request.headers


def sign_again(request: WireRequest, monkeypatch: pytest.MonkeyPatch, token: str) -> str:
    """Return the header that botocore computes for the request that arrived."""
    authorization = request.headers["authorization"]
    names = re.search(r"SignedHeaders=([^,]+),", authorization)
    assert names is not None
    own = ("host", "x-amz-date", "x-amz-security-token")
    headers = {name: request.headers[name] for name in names[1].split(";") if name not in own}
    now = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: now)
    url = f"http://{request.headers['host']}{request.path}"
    again = botocore.awsrequest.AWSRequest("POST", url, headers, request.body)
    credentials = botocore.credentials.Credentials("AKIDEXAMPLE", SECRET, token or None)
    botocore.auth.SigV4Auth(credentials, "bedrock", "us-west-2").add_auth(again)
    return str(again.headers["Authorization"])


async def ignore(delta: Delta) -> None:
    """Ignore the delta."""


class TestFailures:
    """Failures beyond those of the contract."""

    @pytest.mark.parametrize(
        ("status", "message", "retryable"),
        [
            (400, "Invocation of model ID x with on-demand throughput isn't supported.", False),
            (403, "The security token included in the request is invalid.", False),
            (424, "The model failed.", False),
            (429, "Too many requests, please wait before trying again.", True),
        ],
    )
    async def test_refusals(
        self, server: WireServer, make: Make, status: int, message: str, *, retryable: bool
    ) -> None:
        """The words of the service are in the error, in both spellings, with the source of the key."""
        for spelling in ("message", "Message"):
            body = b'{"%b": "%b"}' % (spelling.encode(), message.encode())
            server.play(WireReply((body,), status, headers={"x-amzn-requestid": "req-9"}))
            with pytest.raises(ModelError, match=re.escape(message)) as caught:
                await make().respond(ASKED)
            assert (caught.value.status, caught.value.retryable) == (status, retryable)
            assert caught.value.request_id == "req-9"
            if status == 403:
                assert "api_key" in caught.value.hint

    @pytest.mark.parametrize("reason", ["malformed_tool_use", "malformed_model_output"])
    async def test_malformed_answers(self, server: WireServer, make: Make, reason: str) -> None:
        """An answer that the service calls malformed is an error that names the reason, and may be tried again."""
        server.play(whole({"text": "Half"}, reason=reason), streamed({"text": "Half"}, reason=reason))
        model = make()
        for emit in (None, ignore):
            with pytest.raises(ModelError, match=reason) as caught:
                await model.respond(ASKED, emit)
            assert caught.value.retryable

    async def test_a_damaged_stream(self, server: WireServer, make: Make) -> None:
        """A flipped bit in a stream is an error to try again, and the pool is as before."""
        reply = streamed({"text": "One two three."})
        pieces = list(reply.pieces)
        pieces[2] = pieces[2].replace(b"two", b"tvo")
        server.play(attrs.evolve(reply, pieces=tuple(pieces)), streamed(HELLO))
        model = make()
        with pytest.raises(ModelError, match="checksum") as caught:
            await model.respond(ASKED, ignore)
        assert caught.value.retryable
        assert (await model.respond(ASKED, ignore)).content == "Hello, you."
        assert model.statistics()[0].in_use == 0

    async def test_a_small_pool_survives_a_crowd(self, server: WireServer, make: Make) -> None:
        """Fifty streams over two connections that are refused, left or cancelled leave both connections free."""
        refused = WireReply((b'{"message": "slow down"}',), 429)
        server.play(*(refused, attrs.evolve(streamed(HELLO), ending="stall")) * 25)
        model = make(max_connections=2)

        async def leave(delta: Delta) -> None:
            raise EOFError

        async def ask() -> None:
            with pytest.raises((ModelError, EOFError)):
                await model.respond(ASKED, leave)

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(ask)
        server.play(attrs.evolve(streamed(HELLO), ending="silent"))
        stalls = len(server.requests)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(model.respond, ASKED, ignore)
            await server.wait_requested(stalls + 1)
            nursery.cancel_scope.cancel()
        server.play(whole(HELLO))
        assert (await model.respond(ASKED)).content == "Hello, you."
        await server.wait_idle()
        [places] = model.statistics()
        assert (places.total, places.in_use, places.waiting) == (2, 0, 0)


class TestRuns:
    """Agents on a model of Bedrock."""

    async def test_a_run_with_a_tool(self, server: WireServer, make: Make) -> None:
        """A call is answered, and the second request has the thought, the call and the result in order."""
        server.play(streamed(SIGNED_THOUGHT, CALL, reason="tool_use"), streamed({"text": "Sunny."}))
        agent = Agent(make(), instructions="Be brief.", tools=[look_up])
        async with Runtime() as rt, rt.stream(agent, "Weather in Seoul?") as events:
            said = "".join([each.text async for each in events if isinstance(each, TextDelta)])
        assert (said, CITIES) == ("Sunny.", ["Seoul"])
        messages = server.requests[1].json()["messages"]
        blocks = [block for each in messages for block in each["content"] if "cachePoint" not in block]
        assert blocks[1:3] == [SIGNED_THOUGHT, CALL]
        assert blocks[3]["toolResult"] == {"toolUseId": "t1", "content": [{"text": "Sun in Seoul"}]}

    async def test_a_stream_that_breaks_within_a_call(self, server: WireServer, make: Make) -> None:
        """A cut call never runs; with retries the listener hears of the restart, and the answer is stored once."""
        events = list(stream_events(({"text": "I look."}, CALL), "tool_use"))
        half = next(at for at, each in enumerate(events) if b"Seoul" in each)
        cut = WireReply((*events[:half], exception("modelStreamErrorException", "oh")), content_type=STREAM)
        server.play(cut, streamed({"text": "I look."}, CALL, reason="tool_use"), streamed({"text": "Sunny."}))
        agent = Agent(Retry(make(), attempts=2, wait=0.0), tools=[look_up])
        async with Runtime() as rt, rt.stream(agent, "Weather in Seoul?") as stream:
            heard = [each async for each in stream]
            result = await stream.run.wait()
        assert (result.content, CITIES) == ("Sunny.", ["Seoul"])
        assert [message.text for message in result.messages if message.text == "I look."] == ["I look."]
        last = max(at for at, each in enumerate(heard) if isinstance(each, TurnRestarted))
        assert "".join(each.text for each in heard[last:] if isinstance(each, TextDelta)) == "I look.Sunny."

    async def test_an_agent_without_tools_takes_over(self, server: WireServer, make: Make) -> None:
        """A session with calls goes on with an agent without tools: the request has a `toolConfig` all the same."""
        server.play(whole(CALL, reason="tool_use"), whole({"text": "Sunny."}), whole({"text": "It was sunny."}))
        model = make()
        async with Runtime() as rt:
            await rt.run(Agent(model, tools=[look_up]), "Weather?", session="s")
            result = await rt.run(Agent(model), "Sum up.", session="s")
        assert result.content == "It was sunny."
        body = server.requests[-1].json()
        assert body["toolConfig"]["tools"][0]["toolSpec"]["name"] == "look_up"

    async def test_a_service_that_does_not_stream(self, server: WireServer, make: Make) -> None:
        """A gateway that answers whole in place of a stream is read as a whole answer."""
        server.play(whole(HELLO))
        deltas: list[Delta] = []

        async def collect(delta: Delta) -> None:
            deltas.append(delta)

        assert (await make().respond(ASKED, collect)).content == "Hello, you."
        assert deltas == [TextDelta("Hello, you.")]

    async def test_warming_up(self, server: WireServer, make: Make) -> None:
        """Warming opens the connection for the first request, and sends no key."""
        server.play(WireReply((), 404), whole(HELLO))
        model = make()
        await model.warm()
        await model.respond(ASKED)
        assert server.connections == 1
        assert "authorization" not in server.requests[0].headers

    async def test_events_after_the_stop(self, server: WireServer, make: Make) -> None:
        """Counts that never come do not cost the answer."""
        events = list(stream_events((HELLO,)))[:-1]
        server.play(WireReply((*events, event("somethingNew", {})), content_type=STREAM))
        assert (await make().respond(ASKED, ignore)).content == "Hello, you."
