"""A model behind HTTP: the processor time of a request and of a streamed token, beside bare httpx2's.

The server is another process on loopback, and always sends the same bytes, so only the client is measured. `python -m
benchmarks.model_client` prints all numbers.
"""

from __future__ import annotations

import itertools
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from agno_rt import Emit, Message, ModelRequest
from agno_rt.events import Delta

from .common import Parts, few, measured_in

with Parts() as setup:
    import httpx2
    import msgspec
    from agno_rt_anthropic import AnthropicModel
    from agno_rt_openai import OpenAIModel, Server

TOKENS = 1_000
REQUESTS = 200
ROUNDS = few(7)
KEY = "sk-0123456789"
PATHS = {"chat": "chat/completions", "responses": "responses", "messages": "messages"}
"""The address of each API, below the server's."""
PLUGINS = (
    "anthropic",
    "bedrock",
    "cohere",
    "files",
    "google",
    "inspect",
    "llamacpp",
    "ollama",
    "openai",
    "otel",
    "prometheus",
    "redis",
    "serve",
    "sqlite",
)
_ROOT = Path(__file__).parents[1]
_ASKED = ModelRequest((Message("system", "You are brief."), Message("user", "Name three rivers.")))
_BODY = (
    b'{"model":"m","messages":[{"role":"system","content":"You are brief."},{"role":"user","content":"Name three."}]}'
)

Times = Callable[[int], Awaitable[None]]


class Request:
    """One request after another over one connection, not streamed."""

    params = tuple(PATHS)
    param_names = ("api",)
    timeout = 120

    @measured_in("x")
    def track_times_bare_httpx2(self, api: str) -> float:
        """A request of the plugin, by a request of bare httpx2 that decodes the same answer: the best of rounds."""
        with _serve() as url:
            return round(trio.run(_compare_requests, url, api), 2)


class Token:
    """Tokens of a streamed answer, each in an event and a chunk of its own."""

    params = tuple(PATHS)
    param_names = ("api",)
    timeout = 120

    @measured_in("µs")
    def track_microseconds(self, api: str) -> float:
        """The processor time of a token from the socket to the listener, the HTTP library's own included."""
        with _serve() as url:
            return round(trio.run(_time_tokens, url, api), 1)

    @measured_in("µs")
    def track_microseconds_beyond_httpx2(self, api: str) -> float:
        """The part of a token's time that bare httpx2, which hands out the raw chunks, does not take."""
        with _serve() as url:
            return round(trio.run(_time_tokens, url, api) - trio.run(_time_chunks, url, api), 1)


class Plugin:
    """The modules that a plugin's entry point names, each imported in processes of its own."""

    params = PLUGINS
    param_names = ("plugin",)

    @measured_in("ms")
    def track_milliseconds(self, plugin: str) -> float:
        """The import, after agno_rt: the best of several."""
        code = (
            "import time, importlib.metadata, agno_rt.runtime; "
            f"[point] = importlib.metadata.entry_points(group='agno_rt', name={plugin!r}); "
            "start = time.perf_counter(); point.load(); print(time.perf_counter() - start)"
        )
        command = [sys.executable, "-c", code]
        times = (float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(ROUNDS))
        return round(1000 * min(times), 2)


async def _compare_requests(url: str, api: str) -> float:
    path = f"{url}/{PATHS[api]}"
    headers = {"content-type": "application/json", "accept": "application/json", "authorization": f"Bearer {KEY}"}
    model = _make_model(url, api)
    async with _open_bare() as client:

        async def ask_bare(times: int) -> None:
            for _ in itertools.repeat(None, times):
                msgspec.json.decode((await client.post(path, content=_BODY, headers=headers)).content)

        async def ask(times: int) -> None:
            for _ in itertools.repeat(None, times):
                await model.respond(_ASKED)

        # In turns, so that a busy machine slows both.
        pairs = [(await _take_time(ask, REQUESTS), await _take_time(ask_bare, REQUESTS)) for _ in range(ROUNDS + 1)]
    await model.aclose()
    own, bare = zip(*pairs[1:], strict=True)
    return float(min(own) / min(bare))


async def _time_tokens(url: str, api: str) -> float:
    model = _make_model(url, api)

    async def read(times: int) -> None:
        for _ in itertools.repeat(None, times):
            await model.respond(_ASKED, _ignore)

    best = min([await _take_time(read, 2) for _ in range(ROUNDS + 1)][1:])
    await model.aclose()
    return best / TOKENS


async def _time_chunks(url: str, api: str) -> float:
    path = f"{url}/{PATHS[api]}"
    body = b'{"stream":true}'
    async with _open_bare() as client:

        async def read(times: int) -> None:
            for _ in itertools.repeat(None, times):
                async with client.stream("POST", path, content=body) as answer:
                    async for _ in answer.aiter_raw():
                        pass

        return min([await _take_time(read, 2) for _ in range(ROUNDS + 1)][1:]) / TOKENS


async def _take_time(body: Times, times: int) -> float:
    """Return the processor time of one of the repetitions, in microseconds."""
    start = time.process_time()
    await body(times)
    return (time.process_time() - start) / times * 1e6


def _make_model(url: str, api: str) -> OpenAIModel | AnthropicModel:
    if api == "messages":
        return AnthropicModel("m", base_url=url.removesuffix("/v1"), api_key=KEY)
    return OpenAIModel("m", Server(base_url=url, api_key=KEY, api="responses" if api == "responses" else "chat"))


def _open_bare() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False)


async def _ignore(delta: Delta) -> None:
    """Drop the delta."""


_: Emit = _ignore


@contextmanager
def _serve() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.model_client", "serve"]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def _run_server() -> None:
    """Answer requests until killed: whole, or in a chunk for each token if the body asks for a stream."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1", flush=True)
    answers = {(api, stream): _render(api, stream=stream) for api in PATHS for stream in (True, False)}

    async def talk(stream: trio.SocketStream) -> None:
        received = b""
        while data := await stream.receive_some():
            received += data
            head, blank, body = received.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
            if not blank or len(body) < length:
                continue
            received = b""
            api = next(api for api, path in PATHS.items() if f"/{path} ".encode() in head)
            for piece in answers[api, b'"stream":true' in body]:
                await stream.send_all(piece)

    await trio.serve_listeners(talk, [listener])


def _render(api: str, *, stream: bool) -> list[bytes]:
    """Return the pieces of an answer, as they are sent."""
    if not stream:
        body = json.dumps(_ANSWERS[api](2)).encode()
        return [
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        ]
    lines = [_render_event(event) for event in _EVENTS[api]()]
    if api == "chat":
        lines.append("data: [DONE]\n\n")
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return [head, *(b"%x\r\n%b\r\n" % (len(line), line.encode()) for line in lines), b"0\r\n\r\n"]


def _render_event(event: dict[str, object]) -> str:
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event)}\n\n"


def _make_chunks() -> list[dict[str, object]]:
    ids = {"id": "chatcmpl-0123456789", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "m"}
    token = {"index": 0, "delta": {"content": " one"}, "finish_reason": None}
    end = {**token, "delta": {}, "finish_reason": "stop"}
    return [{**ids, "choices": [choice]} for choice in [token] * TOKENS + [end]]


def _make_response_events() -> list[dict[str, object]]:
    place = {"item_id": "msg_0123456789abcdef", "output_index": 0, "content_index": 0}
    delta = {"type": "response.output_text.delta", "sequence_number": 7, **place, "delta": " one", "logprobs": []}
    return [delta] * TOKENS + [{"type": "response.completed", "response": _make_response(TOKENS)}]


def _make_message_events() -> list[dict[str, object]]:
    message = {**_make_message(0), "content": [], "stop_reason": None}
    block = {"type": "text", "text": ""}
    delta: dict[str, object] = {"type": "content_block_delta", "index": 0}
    delta["delta"] = {"type": "text_delta", "text": " one"}
    end: dict[str, object] = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": TOKENS},
    }
    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *[delta] * TOKENS,
        {"type": "content_block_stop", "index": 0},
        end,
        {"type": "message_stop"},
    ]


def _make_completion(tokens: int) -> dict[str, object]:
    message = {"role": "assistant", "content": " one" * tokens}
    usage = {"prompt_tokens": 20, "completion_tokens": tokens, "total_tokens": 20 + tokens}
    return {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}


def _make_response(tokens: int) -> dict[str, object]:
    text = {"type": "output_text", "text": " one" * tokens, "annotations": []}
    output = [{"id": "msg_1", "type": "message", "role": "assistant", "content": [text]}]
    usage = {"input_tokens": 20, "output_tokens": tokens, "total_tokens": 20 + tokens}
    return {"id": "resp_1", "object": "response", "status": "completed", "output": output, "usage": usage}


def _make_message(tokens: int) -> dict[str, object]:
    content = [{"type": "text", "text": " one" * tokens}]
    usage = {"input_tokens": 20, "output_tokens": tokens}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content}
    return {**message, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}


_ANSWERS: dict[str, Callable[[int], dict[str, object]]] = {
    "chat": _make_completion,
    "responses": _make_response,
    "messages": _make_message,
}
_EVENTS: dict[str, Callable[[], list[dict[str, object]]]] = {
    "chat": _make_chunks,
    "responses": _make_response_events,
    "messages": _make_message_events,
}


def _print_all() -> None:
    for api in Request.params:
        print(f"{api}: a request {Request().track_times_bare_httpx2(api)} x bare httpx2")
        print(f"{api}: a token {Token().track_microseconds(api)} µs")
        print(f"{api}: a token beyond httpx2 {Token().track_microseconds_beyond_httpx2(api)} µs")
    for plugin in PLUGINS:
        print(f"import {plugin}: {Plugin().track_milliseconds(plugin)} ms")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        trio.run(_run_server)
    else:
        _print_all()
