"""The four backends beside each other: the contracts of each, and the same hostile text from all of them."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agno_rt.testing
from agno_rt import Agent, MemoryPolicy, Runtime, State, ToolCall, tool
from agno_rt.testing import ScriptedModel
from tests.real_servers import open_place

ROOT = Path(__file__).parents[2]

BACKENDS = {
    "memory:": ("tests", ("InProcess", "TestMemoryStore")),
    "sqlite:": ("tests", ("SQLite",)),
    "postgresql:": ("plugins/agno-rt-postgres/tests", ("Test",)),
    "redis:": ("plugins/agno-rt-redis/tests", ("Test",)),
}
"""The folder with the contract tests of each backend, and parts of the names of their classes."""

NOT_OF_BACKENDS = ("Model", "Embedder", "Reranker", "Wire")

LACKING = {
    ("memory:", "LockContract"): "nobody shares the sessions of a process",
    ("memory:", "MigrationContract"): "it has no schema",
    ("redis:", "MigrationContract"): "it has no schema",
}
"""The contracts that a backend need not keep, with the reason. The list only shrinks."""


def list_contracts() -> set[str]:
    """Return the names of the contracts for backends."""
    names = {name for name in dir(agno_rt.testing) if name.endswith("Contract")}
    return {name for name in names if not any(part in name for part in NOT_OF_BACKENDS)}


def list_kept(folder: str, parts: tuple[str, ...]) -> set[str]:
    """Return the contracts among the bases of the test classes whose names have one of the parts."""
    kept: set[str] = set()
    for file in (ROOT / folder).rglob("test_*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and any(part in node.name for part in parts):
                kept |= {base.id for base in node.bases if isinstance(base, ast.Name)}
    return kept & list_contracts()


def test_every_backend_keeps_every_contract() -> None:
    """Each of the four backends is tested by all contracts, but for those that make no sense for it."""
    lacking = {
        (backend, contract) for backend, place in BACKENDS.items() for contract in list_contracts() - list_kept(*place)
    }
    assert len(list_contracts()) >= 14
    assert lacking == LACKING.keys(), "\n".join(f"{backend} lacks {name}" for backend, name in lacking ^ LACKING.keys())


TEXT = "NUL \0, \ufffe\uffff, 😀 \U0010ffff, \x7f\x1b[2J\r\n, \u202e, 대화, a\0b\0"


@pytest.fixture
def urls(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return an empty memory of each backend."""
    with open_place("postgresql") as postgres, open_place("redis") as redis:
        yield {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/a.db", "postgresql": postgres, "redis": redis}


@tool
def read_binary(name: str, kept: State[dict[str, str]]) -> str:
    """Read a file with NUL in it."""
    kept[TEXT] = name
    return TEXT


def make_agent() -> Agent:
    """Make an agent that is told hostile text by a tool, calls it with such text, and repeats it."""
    call = ToolCall("c1", "read_binary", json.dumps({"name": TEXT}))
    replies: list[Any] = [call, TEXT, "again"]
    policy = MemoryPolicy(journal=True, events=True, state=dict)
    return Agent(ScriptedModel(replies), name="reader", tools=[read_binary], memory=policy)


async def read_all(url: str) -> dict[str, Any]:
    """Carry out two turns, close the runtime, and read everything back in another, as after a restart."""
    agent = make_agent()
    async with Runtime(memory=url) as first:
        results = [await first.run(agent, TEXT, session="s") for _ in range(2)]
        fact = await first.memory.remember("ann", f"Fact {TEXT}", topics=[f"t {TEXT}"])  # type: ignore[attr-defined]
        if url == "memory:":
            return await read_back(first, [each.run_id for each in results], fact.text)
    async with Runtime(memory=url) as second:
        return await read_back(second, [each.run_id for each in results], fact.text)


async def read_back(rt: Runtime, runs: list[str], fact: str) -> dict[str, Any]:
    """Return the stored text of each part."""
    store: Any = rt.memory
    session = await store.load("s")
    loaded = [await store.load_run(run) for run in runs]
    return {
        "messages": [
            (each.role, each.content, [call.arguments for call in each.tool_calls]) for each in session.messages
        ],
        "data": session.data,
        "title": (await store.session_info("s")).title,
        "runs": [(record.status, record.input, record.content) for record, _ in loaded],
        "steps": [[entry.kind for entry in entries] for _, entries in loaded],
        "facts": [(each.text, each.topics) for each in await store.facts("ann")],
        "kept": fact,
    }


async def test_hostile_text_is_the_same_from_all(urls: dict[str, str]) -> None:
    """A tool's text with NUL is stored, the next turn works, and all backends give the same text after a restart."""
    found = {kind: await read_all(url) for kind, url in urls.items()}
    tools = [content for role, content, _ in found["memory"]["messages"] if role == "tool"]

    assert tools == [TEXT]
    assert found["memory"]["runs"] == [("completed", TEXT, TEXT), ("completed", TEXT, "again")]
    for kind, each in found.items():
        assert each == found["memory"], kind
