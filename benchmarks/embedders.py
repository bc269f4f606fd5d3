"""Embedders: the processor time of a batch over loopback, beside bare httpx2's, and of a text of `llamacpp:minilm`.

The server is another process, and always sends the same vectors. `python -m benchmarks.embedders` prints all numbers.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import ssl
import subprocess
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from .common import Parts, few, measured_in

with Parts() as setup:
    import httpx2
    import msgspec
    from agno_rt_llamacpp.embedder import LlamaEmbedder
    from agno_rt_llamacpp.profile import MINILM
    from agno_rt_llamacpp.weights import cache_folder, pull
    from agno_rt_openai import OpenAIEmbedder
    from agno_rt_openai.embedding_facts import SERVICES

    from agno_rt.wrappers.batches import Batches

TEXTS = [f"Page {number}: the quick brown fox jumps over the lazy dog near the river." for number in range(32)]
NUMBERS = 384
REQUESTS = 30
ROUNDS = few(7)
_ROOT = Path(__file__).parents[1]
_CHUNK = "The chapter tells how a runtime holds resources open while agents run, and how it closes them. " * 6

Times = Callable[[int], Awaitable[None]]


class Batch:
    """Requests for 32 vectors of 384 numbers, one after another over one connection."""

    params = ("numbers", "base64")
    param_names = ("form",)
    timeout = 120

    @measured_in("x")
    def track_times_bare_httpx2(self, form: str) -> float:
        """A batch by a request of bare httpx2 that decodes the same answer to vectors: the best of rounds."""
        with _serve(form) as url:
            return round(trio.run(_compare, url, form)[0], 2)

    @measured_in("µs")
    def track_microseconds_a_text(self, form: str) -> float:
        """The processor time of a text in the batch, with its vector checked and made a unit vector."""
        with _serve(form) as url:
            return round(trio.run(_compare, url, form)[1] / len(TEXTS), 1)


class MiniLM:
    """`llamacpp:minilm` with chunks of 570 characters, on one thread."""

    timeout = 600

    @measured_in("ms")
    def track_milliseconds_a_text(self) -> float:
        """The processor time of a text; other work on the machine does not count."""
        return round(trio.run(_time_minilm), 1)


async def _compare(url: str, form: str) -> tuple[float, float]:
    service = SERVICES["" if form == "base64" else "vllm"]
    embedder = Batches(OpenAIEmbedder("m", base_url=url, api_key="k", service=service))
    body = json.dumps({"model": "m", "input": TEXTS}).encode()
    headers = {"content-type": "application/json", "accept": "application/json", "authorization": "Bearer k"}
    async with httpx2.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False) as client:

        async def ask_bare(times: int) -> None:
            for _ in itertools.repeat(None, times):
                answer = await client.post(f"{url}/embeddings", content=body, headers=headers)
                _read_bare(msgspec.json.decode(answer.content)["data"])

        async def ask(times: int) -> None:
            for _ in itertools.repeat(None, times):
                await embedder.embed(TEXTS)

        # In turns, so that a busy machine slows both.
        pairs = [(await _take_time(ask, REQUESTS), await _take_time(ask_bare, REQUESTS)) for _ in range(ROUNDS + 1)]
    await embedder.aclose()
    own, bare = zip(*pairs[1:], strict=True)
    return min(own) / min(bare), min(own)


def _read_bare(entries: list[dict[str, Any]]) -> list[array[float]]:
    """Return the vectors as they are in the answer, unchecked: the least that a caller needs of it."""
    said = [entry["embedding"] for entry in entries]
    return [array("f", base64.b64decode(each) if isinstance(each, str) else each) for each in said]


async def _time_minilm() -> float:
    await trio.to_thread.run_sync(pull, MINILM, cache_folder(), lambda step, done, total: None)
    from agno_rt_llamacpp.profile import Settings

    embedder = LlamaEmbedder("minilm", Settings(threads=1))
    await embedder.embed(["warm"])

    async def embed(times: int) -> None:
        await embedder.embed([f"{number} {_CHUNK}" for number in range(times)])

    taken = min([await _take_time(embed, 8) for _ in range(3)])
    await embedder.aclose()
    return taken / 1000


async def _take_time(body: Times, times: int) -> float:
    """Return the processor time of one of the repetitions, in microseconds."""
    start = time.process_time()
    await body(times)
    return (time.process_time() - start) / times * 1e6


@contextmanager
def _serve(form: str) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.embedders", form]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def _run_server(form: str) -> None:
    """Answer every request with the same vectors, as numbers or as base64, until killed."""
    vector = array("f", [NUMBERS**-0.5] * NUMBERS)  # of length 1, as services send it
    told = base64.b64encode(vector.tobytes()).decode() if form == "base64" else list(vector)
    data = [{"object": "embedding", "index": at, "embedding": told} for at in range(len(TEXTS))]
    body = json.dumps({"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 9}}).encode()
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    async def handle(stream: trio.SocketStream) -> None:
        received = bytearray()
        async for data in stream:
            received += data
            head, found, rest = bytes(received).partition(b"\r\n\r\n")
            if not found:
                continue
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or b"0")
            if len(rest) >= length:
                received.clear()
                await stream.send_all(answer)

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1", flush=True)
    await trio.serve_listeners(handle, [listener])


def main() -> None:
    """Print all numbers; with a form, serve it."""
    if sys.argv[1:]:
        trio.run(_run_server, sys.argv[1])
        return
    for form in Batch.params:
        batch = Batch()
        print(
            f"{form}: {batch.track_times_bare_httpx2(form)} x httpx2, {batch.track_microseconds_a_text(form)} µs a text"
        )
    print(f"llamacpp:minilm: {MiniLM().track_milliseconds_a_text()} ms a text, on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
