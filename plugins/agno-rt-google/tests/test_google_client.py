"""The client against a server over a real socket: addresses, headers, waits, tokens of Vertex AI, whole runs.

References: the Gemini API reference, "Generating content"; Google's "Using OAuth 2.0 for server to server
applications"; RFC 6749, section 6, and RFC 7523.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import attrs
import jwt
import pytest
import trio
from agno_rt_google import GoogleModel, Server
from agno_rt_google.credentials import SCOPE
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agno_rt import Agent, Message, ModelRequest, Retry, Runtime, tool
from agno_rt.errors import ConfigError, ModelError
from agno_rt.events import Delta, ReasoningDelta, TextDelta
from agno_rt.models import Price
from agno_rt.testing import WireReply, WireServer, open_wire_server

KEY = "AIza-0123456789abcdef"
HI = ModelRequest((Message("user", "Hi."),))
RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
SECRET = RSA_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def make_value(*parts: Any, reason: str = "STOP", **usage: int) -> dict[str, Any]:
    """Return an answer."""
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": reason}
    return {"candidates": [candidate], "responseId": "r1", "usageMetadata": usage}


def reply(value: Any, status: int = 200) -> WireReply:
    """Return the reply with a whole body."""
    return WireReply((json.dumps(value).encode(),), status)


def stream(*values: Any) -> WireReply:
    """Return the reply with a stream."""
    events = tuple(b"data: %b\r\n\r\n" % json.dumps(value).encode() for value in values)
    return WireReply(events, content_type="text/event-stream")


HELLO = reply(make_value({"text": "Hello."}))


BODY = re.compile(rb"(?is)content-length: ([0-9]+).*?\r\n\r\n(.*)")


async def discard(delta: Delta) -> None:
    """Drop the delta."""


async def test_the_gemini_api() -> None:
    """The key goes into its header, never into the address; a stream has an address of its own."""
    async with open_wire_server(HELLO) as server:
        model = GoogleModel("gemini-x", Server(base_url=f"{server.url}/proxy?tenant=t-1", api_key=KEY))
        assert (await model.respond(HI)).content == "Hello."
        server.play(stream(make_value({"text": "Hello."})))
        assert (await model.respond(HI, discard)).content == "Hello."
        await model.aclose()
    whole, streamed = server.requests
    assert whole.path == "/proxy/v1beta/models/gemini-x:generateContent?tenant=t-1"
    assert streamed.path == "/proxy/v1beta/models/gemini-x:streamGenerateContent?tenant=t-1&alt=sse"
    assert whole.headers["x-goog-api-key"] == streamed.headers["x-goog-api-key"] == KEY
    assert "authorization" not in whole.headers


async def test_a_run_with_tools_thoughts_and_signatures() -> None:
    """A run calls one tool twice without ids, keeps thoughts apart, and sends the signature back byte for byte."""

    @tool(inline=True)
    def weather(city: str) -> str:
        """Current weather in a city."""
        asked.append(city)
        return f"Sun in {city}"

    asked: list[str] = []
    calls = [{"functionCall": {"name": "weather", "args": {"city": city}}} for city in ("Seoul", "Oslo")]
    calls[0]["thoughtSignature"] = "c2ln+/=="  # type: ignore[assignment]
    first = stream(make_value({"text": "Two calls.", "thought": True}, reason=""), make_value(*calls))
    async with open_wire_server(first, stream(make_value({"text": "Sun."}))) as server, Runtime() as rt:
        model = GoogleModel("gemini-x", base_url=server.url, api_key=KEY)
        async with rt.stream(Agent(model, tools=[weather]), "Weather?") as events:
            deltas = [each async for each in events]
            assert events.result is not None
            assert events.result.content == "Sun."
        await model.aclose()
    assert sorted(asked) == ["Oslo", "Seoul"]
    [_, said, results] = server.requests[1].json()["contents"]
    assert said == {"role": "model", "parts": calls}
    outputs = [part["functionResponse"]["response"]["output"] for part in results["parts"]]
    assert outputs == ["Sun in Seoul", "Sun in Oslo"]
    assert any(isinstance(each, ReasoningDelta) for each in deltas)
    assert any(isinstance(each, TextDelta) for each in deltas)


async def test_a_refusal_says_how_long_to_wait() -> None:
    """The wait in the body of a refusal is in the error, and the connection serves the next request."""
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}]
    refused = reply({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}}, 429)
    async with open_wire_server(refused, HELLO) as server:
        model = GoogleModel("m", base_url=server.url, api_key=KEY)
        with pytest.raises(ModelError) as caught:
            await model.respond(HI)
        assert (await model.respond(HI)).content == "Hello."
        await model.aclose()
        assert server.connections == 1
    error = caught.value
    assert (error.status, error.retryable, error.retry_after) == (429, True, 17.0)


async def test_a_stream_that_breaks_is_begun_again_without_a_trace() -> None:
    """With retries, a call of the cut stream never runs, and the text after the restart is there once (M11)."""

    @tool(inline=True)
    def note(text: str) -> str:
        """Keep a note."""
        noted.append(text)
        return "kept"

    noted: list[str] = []
    call = {"functionCall": {"name": "note", "args": {"text": "A"}}}
    whole = stream(make_value({"text": "One. "}, reason=""), make_value(call))
    cut = WireReply((*whole.pieces[:1], stream(make_value(call, reason="")).pieces[0]), 200, whole.content_type)
    last = stream(make_value({"text": "Done."}))
    async with open_wire_server(attrs.evolve(cut, ending="cut"), whole, last) as server, Runtime() as rt:
        model = GoogleModel("m", base_url=server.url, api_key=KEY)
        async with rt.stream(Agent(Retry(model, attempts=3, wait=0.01), tools=[note]), "Go.") as events:
            seen = [each async for each in events]
        await model.aclose()
    assert noted == ["A"]
    restarted = [type(each).__name__ for each in seen].index("TurnRestarted")
    assert "".join(each.text for each in seen[restarted:] if isinstance(each, TextDelta)) == "One. Done."


async def test_a_pool_of_two_survives_a_crowd() -> None:
    """Refused streams, streams left after a piece and requests cancelled before any byte leave their places (M12)."""
    refused = reply({"error": {"code": 429, "message": "Slow down."}}, 429)
    long = stream(*(make_value({"text": f"{at} "}, reason="") for at in range(50)), make_value({"text": "End."}))
    left: list[Exception] = []
    async with open_wire_server(*(refused, long) * 20) as server:
        model = GoogleModel("m", Server(base_url=server.url, api_key=KEY, max_connections=2))

        async def leave(delta: Delta) -> None:
            raise ZeroDivisionError

        async def ask_once() -> None:
            with pytest.raises((ModelError, ZeroDivisionError)) as caught:
                await model.respond(HI, leave)
            left.append(caught.value)

        async with trio.open_nursery() as crowd:
            for _ in range(40):
                crowd.start_soon(ask_once)
        assert len(left) == 40
        server.play(WireReply(ending="silent"))
        async with trio.open_nursery() as crowd:
            for _ in range(10):
                crowd.start_soon(model.respond, HI, discard)
            await server.wait_stalled(2)
            crowd.cancel_scope.cancel()
        await server.wait_idle()
        server.play(HELLO)
        assert (await model.respond(HI)).content == "Hello."
        await server.wait_idle()
        assert server.most_connections <= 2
        assert [limit.in_use for limit in model.statistics()] == [0]
        await model.aclose()


async def test_the_cost_of_long_prompts() -> None:
    """A run counts the whole of a long prompt at the model's price for long prompts."""
    async with open_wire_server(reply(make_value({"text": "A"}, promptTokenCount=300_000))) as server:
        price = Price(1, 1, long_from=200_000, long=Price(2, 2))
        model = GoogleModel("m", Server(base_url=server.url, api_key=KEY, price=price))
        async with Runtime() as runtime:
            assert (await runtime.run(Agent(model), "?")).usage.cost == pytest.approx(0.6)
        await model.aclose()


# Vertex AI: tokens.

Write = Callable[..., str]


@pytest.fixture
def write_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A function that writes a file of credentials for a token server, and returns its path."""
    for name in ("GOOGLE_OAUTH_ACCESS_TOKEN", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"):
        monkeypatch.delenv(name, raising=False)

    def write(token_url: str, **changes: Any) -> str:
        value = {
            "type": "service_account",
            "project_id": "p-1",
            "private_key_id": "kid-1",
            "private_key": SECRET,
            "client_email": "robot@p-1.iam.gserviceaccount.com",
            "token_uri": token_url,
            **changes,
        }
        path = tmp_path / "credentials.json"
        path.write_text(json.dumps({name: each for name, each in value.items() if each is not None}))
        return str(path)

    return write


def make_vertex(server: WireServer, path: str) -> GoogleModel:
    """Return a model of Vertex AI at the server."""
    return GoogleModel("m", Server(base_url=server.url, vertex=True, location="us", credentials_file=path))


def grant(token: str, expires_in: Any = 3_600) -> WireReply:
    """Return the reply with a token."""
    return reply({"access_token": token, "expires_in": expires_in, "token_type": "Bearer"})


async def test_a_service_account(write_file: Write) -> None:
    """The signed assertion has the documented claims, and the token goes along with the request."""
    async with open_wire_server(grant("ya29.one")) as tokens, open_wire_server(HELLO) as server:
        path = write_file(f"{tokens.url}/token")
        model = make_vertex(server, path)
        model.check_ready()
        assert (await model.respond(HI)).content == "Hello."
        await model.aclose()
        await model.aclose()
    [asked] = tokens.requests
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    form = parse_qs(asked.body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    [assertion] = form["assertion"]
    claims = jwt.decode(assertion, RSA_KEY.public_key(), algorithms=["RS256"], audience=f"{tokens.url}/token")
    assert (claims["iss"], claims["scope"]) == ("robot@p-1.iam.gserviceaccount.com", SCOPE)
    assert claims["exp"] - claims["iat"] == 3_600
    assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "kid": "kid-1", "typ": "JWT"}
    [request] = server.requests
    assert request.headers["authorization"] == "Bearer ya29.one"
    assert request.path == "/v1/projects/p-1/locations/us/publishers/google/models/m:generateContent"


@pytest.mark.parametrize("told", [pytest.param(10**400, id="huge"), -1, 0, None, "soon", True])
async def test_an_odd_lifetime_counts_as_an_hour(write_file: Write, told: Any) -> None:
    """A token whose lifetime is not a number of seconds is used, and kept for the next request."""
    async with open_wire_server(grant("ya29.one", told)) as tokens, open_wire_server(HELLO) as server:
        model = make_vertex(server, write_file(tokens.url))
        assert [(await model.respond(HI)).content for _ in range(2)] == ["Hello."] * 2
        await model.aclose()
    assert len(tokens.requests) == 1


async def test_one_token_for_many(write_file: Write) -> None:
    """Requests at once share one fetch, and later ones share its token; a cancelled fetch leaves it to the next."""
    async with open_wire_server(WireReply(ending="silent")) as tokens, open_wire_server(HELLO) as server:
        model = make_vertex(server, write_file(tokens.url))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(model.respond, HI)
            await tokens.wait_stalled()
            nursery.cancel_scope.cancel()
        tokens.play(grant("ya29.one"))
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(model.respond, HI)
        await model.respond(HI, None)
        await model.aclose()
    assert len(tokens.requests) == 2
    assert {each.headers["authorization"] for each in server.requests} == {"Bearer ya29.one"}
    assert len(server.requests) == 21


async def test_tokens_are_replaced_before_their_end_and_after_a_refusal(write_file: Write) -> None:
    """A token near its end, and one that the service refuses, are replaced; a refused new token is the error."""
    refused = reply({"error": {"code": 401, "message": "no", "status": "UNAUTHENTICATED"}}, 401)
    async with open_wire_server(grant("a", 59), grant("b"), grant("c")) as tokens, open_wire_server(HELLO) as server:
        model = make_vertex(server, write_file(tokens.url))
        for _ in range(3):
            await model.respond(HI)
        server.play(refused, HELLO)
        assert (await model.respond(HI)).content == "Hello."
        server.play(refused)
        with pytest.raises(ModelError) as caught:
            await model.respond(HI, discard)
        await model.aclose()
    sent = [each.headers["authorization"].removeprefix("Bearer ") for each in server.requests]
    assert sent == ["a", "b", "b", "b", "c", "c", "c"]
    assert caught.value.status == 401


async def test_credentials_of_a_person(write_file: Write) -> None:
    """The refresh token of `gcloud auth application-default login` is exchanged for an access token."""
    person = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "1//r"}
    async with open_wire_server(grant("ya29.two")) as tokens, open_wire_server(HELLO) as server:
        path = write_file(tokens.url, quota_project_id="p-2", project_id=None, private_key=None, **person)
        model = make_vertex(server, path)
        await model.respond(HI)
        await model.aclose()
    form = parse_qs(tokens.requests[0].body.decode())
    assert form == {
        "grant_type": ["refresh_token"],
        "client_id": ["c"],
        "client_secret": ["s"],
        "refresh_token": ["1//r"],
    }
    assert "/projects/p-2/" in server.requests[0].path
    assert server.requests[0].headers["x-goog-user-project"] == "p-2"


@pytest.mark.parametrize(
    ("answer", "said", "retryable"),
    [
        (reply({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400), "Invalid JWT", False),
        (reply({"error": "busy"}, 503), "busy", True),
        (WireReply((b"<html>",), 200), "without a token", True),
        (reply({"access_token": "a b\n"}), "without a token", True),
        (WireReply((), ending="cut"), "broke", True),
    ],
)
async def test_a_token_server_that_fails(write_file: Write, answer: WireReply, said: str, retryable: bool) -> None:
    """Every failure of the token server is a `ModelError` without secrets, and the model is not asked."""
    async with open_wire_server(answer) as tokens, open_wire_server(HELLO) as server:
        model = make_vertex(server, write_file(tokens.url))
        with pytest.raises(ModelError) as caught:
            await model.respond(HI)
        await model.aclose()
    error = caught.value
    assert said in error.message
    assert error.retryable == retryable
    assert "PRIVATE" not in f"{error!r} {error.hint}"
    assert server.requests == []


async def test_a_token_server_that_quotes_the_assertion(write_file: Write, nursery: trio.Nursery) -> None:
    """The signed assertion, with which anyone could get a token, is cut out of errors."""
    seen: list[str] = []

    async def quote(connection: trio.SocketStream) -> None:
        async with connection:
            received = b""
            while not (whole := BODY.search(received)) or len(whole[2]) < int(whole[1]):
                received += await connection.receive_some()
            seen.append(whole[2].decode().rpartition("=")[2])
            body = json.dumps({"error": "invalid_grant", "error_description": f"bad {seen[0]}"}).encode()
            await connection.send_all(b"HTTP/1.1 400 Bad\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    listeners = await nursery.start(partial(trio.serve_tcp, quote, 0, host="127.0.0.1"))
    path = write_file(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}")
    model = GoogleModel("m", Server(vertex=True, credentials_file=path))
    with pytest.raises(ModelError, match="invalid_grant: bad") as caught:
        await model.respond(HI)
    await model.aclose()
    # Errors quote the server shortened, so look for the beginning.
    assert seen[0][:100] not in f"{caught.value!r} {caught.value.hint}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": "external_account"}, "external_account"),
        ({"private_key": None}, "private_key"),
        ({"private_key": "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"}, "cannot be used"),
        ({"token_uri": "http://example.com/token"}, "https"),
        ({"project_id": "../x"}, "project_id"),
    ],
)
async def test_unusable_files_of_credentials(write_file: Write, changes: dict[str, Any], said: str) -> None:
    """A file of another type, without a key, with a broken key or with an open token server is a `ConfigError`."""
    async with open_wire_server(HELLO) as server:
        model = make_vertex(server, write_file("https://oauth2.example.com/token", **changes))
        with pytest.raises(ConfigError, match=said) as caught:
            await model.respond(HI)
        await model.aclose()
    assert caught.value.hint
    assert "c2VjcmV0" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_missing_files_of_credentials(tmp_path: Path) -> None:
    """A missing file, and one that is not JSON, are `ConfigError`s with the path."""
    for path in (tmp_path / "none.json", Path(__file__)):
        model = GoogleModel("m", Server(vertex=True, project="p", credentials_file=str(path)))
        with pytest.raises(ConfigError, match=path.name):
            model.check_ready()
