"""The rows, the peers and the goals of the measurement side by side: values only.

Processes know a row by its name (see `protocol.py`); its wording for readers is here.
"""

from __future__ import annotations

import attrs

from .protocol import AT_ONCE, BRANCHES, HISTORY, STEPS

__all__ = ["GOALS", "HTTP_ROWS", "OURS", "PEERS", "ROWS", "Goal", "PeerKind", "Row"]

OURS = "agno_rt"
"""The name of the column that the others are compared with."""


@attrs.frozen
class Row:
    """One row of the measurement.

    `unit` is `seconds`, `bytes`, or `a second`, where more is better. The time of one operation is divided by `parts`,
    if the operation has many of the row's subject. `base` is agno_rt's row to compare with, if agno_rt has no such row.
    `table` is the table that shows the row, since few peers have both agents and workflows.
    """

    name: str
    text: str
    unit: str = "seconds"
    parts: int = 1
    base: str = ""
    table: str = "agents"


@attrs.frozen
class PeerKind:
    """A peer: the name in files and on the command line, the title in the table, and the way of measuring."""

    name: str
    title: str
    how: str


@attrs.frozen
class Goal:
    """A goal of a row against a peer.

    With `at_most`, agno_rt takes at most so many times as long as the peer; with `at_least`, agno_rt is at least so
    many times as fast. `peer_row` is the peer's row, if it differs from agno_rt's.
    """

    row: str
    peer: str
    at_most: float | None = None
    at_least: float | None = None
    peer_row: str = ""


ROWS = (
    Row("import", "import, in a fresh process"),
    Row("create", "create an agent"),
    Row("create_quiet", "create an agent, a logger given", base="create"),
    Row("create_tool", "create an agent with one tool"),
    Row("create_memory", "create an agent with memory"),
    Row("bytes", "memory an agent holds", unit="bytes"),
    Row("run", "simple run of a new agent"),
    Row("run_logging", "simple run of a new agent, logging on"),
    Row("run_again", "simple run, the same agent again"),
    Row("run_history", f"simple run, {HISTORY} messages of history"),
    Row("run_history_logging", f"simple run, {HISTORY} messages of history, logging on"),
    Row("tool", "tool run of a new agent: one call, two turns"),
    Row("tool_history", f"tool run, {HISTORY} messages of history"),
    Row("memory_add", f"add a message to a memory of {HISTORY}"),
    Row("concurrent", f"{AT_ONCE:,} simple runs at once, each", parts=AT_ONCE),
    Row("steps_plain", f"workflow of {STEPS} steps, nothing recorded", table="workflows"),
    Row("steps", f"workflow of {STEPS} recorded steps, in memory", table="workflows"),
    Row("branches", f"workflow of {BRANCHES} recorded steps at once, in memory", table="workflows"),
    Row("team", f"team of {BRANCHES} agents, all asked at once", table="workflows"),
    Row("steps_durable", f"workflow of {STEPS} durable steps, on SQLite", table="workflows"),
    Row("http", "HTTP: simple runs a second, one process", unit="a second"),
    Row("http_two", "HTTP: simple runs a second, two processes", unit="a second"),
)

HTTP_ROWS = {"http": 1, "http_two": 2}
"""Number of server processes in the rows over HTTP."""

PEERS = (
    PeerKind(OURS, "agno_rt", "`Runtime.run` under trio; the history is a session of the in-process memory."),
    PeerKind(
        "agno_go",
        "Agno-Go",
        "`agent.New` and `Run` in a compiled program; the history is its `InMemory(100)`, which is full. Logging off "
        "is a logger that discards; logging on is its default, JSON to standard output; so are its agents created. "
        "Its garbage collector may run on another core.",
    ),
    PeerKind(
        "agno",
        "Agno",
        "`Agent.arun` under asyncio; the history is a session of its `InMemoryDb`, added to the context. Over HTTP it "
        "is its AgentOS on uvicorn with uvloop and httptools.",
    ),
    PeerKind(
        "pydantic_ai",
        "pydantic-ai",
        "`Agent.run` under asyncio with its `FunctionModel`; the history is `message_history=`, which a program keeps.",
    ),
    PeerKind(
        "openai_agents",
        "openai-agents",
        "`Runner.run` under asyncio, tracing off; the history is its `SQLiteSession` in memory, the last 100 items.",
    ),
    PeerKind(
        "langgraph",
        "LangGraph",
        "`create_agent` of LangChain, run by `ainvoke` under asyncio; the history is its `InMemorySaver`.",
    ),
    PeerKind(
        "pydantic_graph",
        "pydantic-graph",
        "a graph of `GraphBuilder`, run under asyncio; nothing is recorded.",
    ),
    PeerKind(
        "dbos",
        "DBOS",
        "`@DBOS.workflow` and `@DBOS.step` under asyncio, on its SQLite file with its own settings.",
    ),
    PeerKind(
        "smolagents",
        "smolagents",
        "`ToolCallingAgent.run`, whose answer is a call of `final_answer`; the history is its memory of steps. "
        "Logging on is its default, to the terminal.",
    ),
)

GOALS = (
    *(Goal(row, "agno_go", at_most=0.6) for row in ("create", "create_tool", "create_memory")),
    Goal("run", "agno_go", at_most=1.2),
    Goal("run", "agno", at_least=30),
    Goal("run_history", "agno_go", at_most=0.4),
    Goal("tool", "agno_go", at_most=1.2),
    Goal("tool_history", "agno_go", at_most=0.4),
    Goal("tool", "agno", at_least=60),
    Goal("concurrent", "agno_go", at_most=1.5),
    Goal("team", "agno", at_least=20),
    Goal("steps_plain", "agno", at_least=10),
    Goal("steps", "agno", at_least=10, peer_row="steps_plain"),
    Goal("steps", "langgraph", at_least=50),
    Goal("steps_durable", "dbos", at_least=15),
    Goal("http_two", "agno", at_least=70, peer_row="http"),
)
