"""The plugin over a socket: missing models, lists and downloads.

Reference: Ollama's documentation, "API", sections "List local models" and "Pull a model", and "Errors".
"""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import attrs
import pytest
import trio
from agno_rt_ollama import OllamaModel, Server, _list_examples
from agno_rt_ollama.library import ListedModel, list_quickly

from agno_rt import Message, ModelRequest
from agno_rt.errors import ModelError
from agno_rt.testing.wire.server import WireReply, WireServer, open_wire_server

ASKED = ModelRequest((Message("user", "Hi."),))
TAGS = {
    "models": [
        {
            "name": "qwen3:8b",
            "model": "qwen3:8b",
            "modified_at": "2026-11-30T08:00:00Z",
            "size": 5_200_000_000,
            "digest": "d1",
            "details": {"format": "gguf", "family": "qwen3", "parameter_size": "8.2B", "quantization_level": "Q4_K_M"},
        },
        {"name": "llama3.2:latest", "model": "llama3.2:latest", "size": 2_000_000_000, "details": None},
        {"size": 1},
    ]
}
MISSING = WireReply((json.dumps({"error": 'model "qwen3:8" not found'}).encode(),), 404)


def play(value: Any, status: int = 200) -> WireReply:
    """Return the reply with a value."""
    return WireReply((json.dumps(value).encode(),), status)


def play_lines(*values: dict[str, Any]) -> WireReply:
    """Return the reply with a value in each line."""
    return WireReply(tuple(json.dumps(value).encode() + b"\n" for value in values), content_type="application/x-ndjson")


@pytest.fixture
async def server() -> AsyncIterator[WireServer]:
    """A listening server."""
    async with open_wire_server() as wire_server:
        yield wire_server


async def fail(model: OllamaModel) -> ModelError:
    """Ask the model, and return its error."""
    async with aclosing(model):
        with pytest.raises(ModelError) as caught:
            await model.respond(ASKED)
    return caught.value


class TestMissingModels:
    """The error for a model that the server does not have."""

    async def test_names_the_nearest_and_the_command(self, server: WireServer) -> None:
        """The hint has the command to fetch the model, and the nearest of the models that are there."""
        server.play(MISSING, play(TAGS))
        error = await fail(OllamaModel("qwen3:8", base_url=server.url))
        assert (error.status, error.retryable, error.provider) == (404, False, "ollama")
        assert 'model "qwen3:8" not found' in error.message
        assert error.hint.startswith("Run: agno-rt ollama pull qwen3:8.")
        assert "Did you mean 'qwen3:8b'?" in error.hint
        assert [each.path for each in server.requests] == ["/api/chat", "/api/tags"]

    async def test_comes_without_the_list(self, server: WireServer) -> None:
        """If the list cannot be had, the hint has the command alone."""
        server.play(MISSING, play({"error": "no"}, 500))
        assert (await fail(OllamaModel("qwen3:8", base_url=server.url))).hint == "Run: agno-rt ollama pull qwen3:8"

    async def test_another_404_is_a_wrong_address(self, server: WireServer) -> None:
        """A server without the path does not miss a model."""
        server.play(WireReply((b"404 page not found",), 404, "text/plain"))
        error = await fail(OllamaModel("qwen3:8", base_url=server.url))
        assert "base_url" in error.hint
        assert "pull" not in error.hint
        assert len(server.requests) == 1


class TestList:
    """Models of the server."""

    async def test_sorts_and_reads_details(self, server: WireServer) -> None:
        """Entries without a name or with other types do not spoil the list."""
        server.play(play(TAGS))
        assert await with_library(server, lambda library: library.list()) == [
            ListedModel("llama3.2:latest", 2_000_000_000),
            ListedModel("qwen3:8b", 5_200_000_000, "8.2B", "Q4_K_M"),
        ]

    async def test_quickly(self, server: WireServer) -> None:
        """Examples are the models of a server on this machine."""
        server.play(play(TAGS))
        settings = {"base_url": server.url, "servers": {"far": {"base_url": "http://192.0.2.1:1"}}}
        listed = await trio.to_thread.run_sync(lambda: list(_list_examples(settings)))
        assert listed == ["llama3.2:latest", "qwen3:8b", "far:MODEL"]

    @pytest.mark.parametrize(
        "reply",
        [WireReply((b"busy",), 503), WireReply((b"[]",)), WireReply((b"<html>",)), WireReply(ending="silent")],
    )
    async def test_quickly_nothing(self, server: WireServer, reply: WireReply) -> None:
        """A server that is busy, silent or another program has no examples."""
        server.play(reply)
        asked = Server(base_url=server.url)
        assert await trio.to_thread.run_sync(list_quickly, asked) == []

    async def test_quickly_without_a_server(self) -> None:
        """A server that is not running has no examples."""
        async with open_wire_server() as gone:
            url = gone.url
        asked = Server(base_url=url)
        assert await trio.to_thread.run_sync(list_quickly, asked) == []


class TestReadiness:
    """The check before the first run."""

    async def test_a_server_that_runs(self, server: WireServer) -> None:
        """A server on this machine that listens is ready, and gets no request."""
        await trio.to_thread.run_sync(OllamaModel("m", base_url=server.url).check_ready)
        assert server.requests == []

    async def test_a_server_that_does_not_run(self) -> None:
        """The error says how to start the server."""
        async with open_wire_server() as gone:
            url = gone.url
        with pytest.raises(ModelError, match=f"no Ollama server listens at {url}") as caught:
            await trio.to_thread.run_sync(OllamaModel("m", base_url=url).check_ready)
        assert "ollama serve" in caught.value.hint

    def test_a_server_elsewhere(self) -> None:
        """A server on another machine is not asked."""
        OllamaModel("m", base_url="http://192.0.2.1:1").check_ready()


async def with_library(server: WireServer, work: Any) -> Any:
    """Run the work with the models of the server."""
    async with aclosing(OllamaModel("m", base_url=server.url)) as model:
        return await work(model.open_library())


class TestPull:
    """Downloads."""

    async def test_tells_the_progress(self, server: WireServer) -> None:
        """Each line is a step; the last is `success`."""
        layer = {"status": "pulling 74701a8c35f6", "digest": "sha256:74701a8c35f6", "total": 100}
        ends = ({"status": "verifying sha256 digest"}, {"status": "success"})
        server.play(play_lines({"status": "pulling manifest"}, layer, {**layer, "completed": 60}, *ends))
        steps: list[tuple[str, int, int]] = []
        await with_library(server, lambda library: library.pull("m", lambda *step: steps.append(step)))
        assert steps == [
            ("pulling manifest", 0, 0),
            ("pulling 74701a8c35f6", 0, 100),
            ("pulling 74701a8c35f6", 60, 100),
            ("verifying sha256 digest", 0, 0),
            ("success", 0, 0),
        ]
        assert server.requests[0].json() == {"model": "m", "stream": True}

    @pytest.mark.parametrize(
        ("reply", "said"),
        [
            (play_lines({"status": "pulling manifest"}, {"error": "file does not exist"}), "file does not exist"),
            (play_lines({"status": "pulling manifest"}), "before the model was there"),
            (play({"error": "no space left"}, 500), "no space left"),
        ],
    )
    async def test_tells_what_failed(self, server: WireServer, reply: WireReply, said: str) -> None:
        """An error in a line, an early end and a refusal are errors."""
        server.play(reply)
        with pytest.raises(ModelError, match=said):
            await with_library(server, lambda library: library.pull("m", lambda *_: None))

    async def test_a_cancelled_download_leaves_at_once(self, server: WireServer) -> None:
        """Cancelling closes the connection, by which the server knows to stop."""
        server.play(attrs.evolve(play_lines({"status": "pulling manifest"}), ending="stall"))
        async with trio.open_nursery() as nursery:
            pull = functools.partial(with_library, server, lambda library: library.pull("m", lambda *_: None))
            nursery.start_soon(pull)
            await server.wait_stalled()
            nursery.cancel_scope.cancel()
        await server.wait_idle()
