"""`agno-rt models` lists embedders and rerankers, too, and `agno-rt models check` asks one of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import trio

from agno_rt.testing import WireReply, open_wire_server
from tests.servers.vector_formats import OpenAIVectors

Agno: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
WIRE = OpenAIVectors()
VECTORS = WIRE.render_vectors([[0.6, 0.8], [0.8, 0.6]], [0, 1], 11)


def write_server(project: Path, url: str) -> None:
    """Write a project with a server of the test."""
    (project / "agno-rt.toml").write_text(f'[plugins.openai.servers.local]\nbase_url = "{url}/v1"\n')


def test_embedders_are_listed(agno: Agno, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The list has embedders and rerankers with their lengths, prices and what they lack; JSON tells their kind."""
    monkeypatch.setenv("AGNO_RT_CACHE", str(tmp_path / "empty"))
    write_server(project, "http://127.0.0.1:9")
    rows = {(row["kind"], row["spec"]): row for row in map(json.loads, agno("models", "--json").stdout.splitlines())}
    small = rows["embedder", "openai:text-embedding-3-small"]
    assert (small["dimensions"], small["price"]["input"]) == (1536, 0.02)
    assert rows["reranker", "cohere:rerank-v3.5"]["plugin"] == "cohere"
    assert ("model", "openai:gpt-5") in rows
    minilm = rows["embedder", "llamacpp:minilm"]
    assert not minilm["ready"]
    assert (minilm["price"]["input"], minilm["price"]["output"]) == (0.0, 0.0)
    assert "agno-rt llamacpp pull minilm" in minilm["hint"]
    shown = agno("models")
    assert "EMBEDDER, RERANKER" in shown.stdout
    assert "1536" in shown.stdout


async def test_an_embedder_is_checked(agno: Agno, project: Path) -> None:
    """A name with `embed` is asked for vectors; another name needs the option; the exit code tells the result."""
    async with open_wire_server(WireReply((VECTORS,))) as server:
        write_server(project, server.url)
        shown = await trio.to_thread.run_sync(agno, "models", "check", "openai:local:my-embed")
        assert "openai:local:my-embed, an embedder, made 2 vectors of 2 numbers, 11 tokens in" in shown.stdout
        named = await trio.to_thread.run_sync(
            agno, "models", "check", "openai:local:bge-m3", "--kind", "embedder", "--json"
        )
        told = json.loads(named.stdout)
        assert (told["kind"], told["dimensions"], told["tokens"], told["error"]) == ("embedder", 2, 11, None)
        server.play(WireReply((WIRE.render_error(404, "no such model"),), 404))
        failed = await trio.to_thread.run_sync(agno, "models", "check", "openai:local:my-embed")
        assert failed.returncode == 1
        assert "no such model" in failed.stderr


async def test_a_reranker_is_checked(agno: Agno, project: Path) -> None:
    """A name with `rerank` is asked to rank."""
    async with open_wire_server(WireReply((WIRE.render_ranking([(0, 0.9), (1, 0.1)]),))) as server:
        write_server(project, server.url)
        shown = await trio.to_thread.run_sync(agno, "models", "check", "openai:local:my-reranker")
        assert "a reranker, ranked 2 texts in" in shown.stdout
        assert [request.path for request in server.requests] == ["/v1/rerank"]


def test_an_unknown_embedder_is_a_wrong_word(agno: Agno) -> None:
    """An unknown embedder is a usage error with the known names."""
    done = agno("models", "check", "llamacpp:embedd")
    assert done.returncode == 2
    assert "Known: minilm" in done.stderr
