"""The goals of agno_rt, every row of them, and the measurements that tell if they are reached. Values only.

The bounds that `agno-rt bench` shares are written there, those against peers beside the peers' rows. `page` writes
`docs/performance.md` from these goals.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from .peers.rows import GOALS as PEER_GOALS
from .peers.rows import PEERS
from .peers.rows import Goal as PeerGoal
from .reading import Value

__all__ = ["Against", "Goal", "Measured", "NotBuilt", "Recorded", "goals", "title_of"]


@attrs.frozen(kw_only=True)
class Measured:
    """A number that asv measures, and its bound in `unit`: an upper bound, or a lower one with `at_least`.

    With `over`, the number is divided by the other number. `also` is shown beside the number, in `also_unit`; `beside`
    is a row of the peers and a peer whose value is shown beside the number without a goal for their ratio. `why` is the
    reason if the number falls short: the floor that stops it, measured.
    """

    row: str
    what: str
    value: Value
    bound: float
    unit: str
    at_least: bool = False
    over: Value | None = None
    also: Value | None = None
    also_unit: str = ""
    beside: tuple[str, str] | None = None
    why: str = ""


@attrs.frozen(kw_only=True)
class Against:
    """A ratio to a peer, measured side by side: `goal` has the bound. `why` is the reason if the ratio falls short."""

    row: str
    what: str
    goal: PeerGoal
    why: str = ""


@attrs.frozen(kw_only=True)
class Recorded:
    """Exact counts, at most the recorded counts: `names` maps a count's subject to the name in the gate."""

    row: str
    what: str
    names: Mapping[str, str]
    why: str = ""


@attrs.frozen
class NotBuilt:
    """A goal for a part that is not built yet."""

    row: str
    goal: str
    what: str = ""


Goal: TypeAlias = Measured | Against | Recorded | NotBuilt

WHY: dict[str, str] = {
    "simple run, new agent: against Agno-Go": (
        "Agno-Go's time varies between runs of `make peers` on one machine: 2.4 and 2.9 µs, for ratios of 1.55 and "
        "1.25. A run now takes as long as the straightforward loop of `benchmarks/floor.py`, 1.5 checkpoints. The "
        "loop makes an agent, two messages, a request and a result, and passes one checkpoint."
    ),
    "simple run, memory of 100 messages: against Agno-Go": (
        "Two runs of `make peers` gave 0.42 and 0.44 x. The last hundred messages are copied three times: to load "
        "them, to show them to the model, and for the request, which a model may keep."
    ),
    "tool run: against Agno": (
        "A sixtieth of Agno's time is 6.8 µs. The straightforward loop, which decodes the arguments and calls the "
        "function, takes 5.2 µs."
    ),
    "tool run, memory of 100 messages: against Agno-Go": (
        "Two runs of `make peers` gave 0.49 and 0.62 x; Agno-Go took 32 and 26 µs. Both turns copy the history for "
        "the model. The copy begins at a user's message, and among tool calls the search for a user's message takes"
        " longer."
    ),
    "memory add: to 10 messages": (
        "Each append compares the user, and checks the added size against the bounds of `memory:`. Without these "
        "checks, an append took 0.1 µs less."
    ),
    "memory add: to 100,000 messages": "The same checks as for 10 messages.",
    "concurrent: 10,000 runs that wait 100 ms, against bare trio tasks": (
        "Two measurements gave 1.41 and 1.62 x. Python's garbage collector walks 13 objects of a waiting bare task,"
        " and 8 more of a run: coroutines, messages, state. With the collector off, a run takes 1.1 times the time "
        "of a bare task."
    ),
    "concurrent: a run at 50,000, against one at 1,000": (
        "Full collections of Python's garbage collector walk every waiting object. In CPU time, a bare trio task at"
        " 50,000 took 2.0 times as long as a bare task at 1,000. A row below has the settings of `agno-rt serve`, "
        "which your program may use too: see [below](#many-runs-at-once)."
    ),
    "concurrent: a run at 50,000, against one at 1,000, garbage collector of `agno-rt serve`": (
        "Two measurements gave 1.41 and 1.52 x. The remaining full collections take the time."
    ),
    "concurrent: against Agno-Go": (
        "A thousand goroutines begin, run and end in 3.3 µs each, on both cores. A bare trio task that does nothing"
        " takes 3.5 µs to begin and end."
    ),
    "team: a broadcast of 100, against 100 runs at once": (
        "A hundred runs at once make 4,800 Python calls, and 5,700 as a team, for places, names and the run around."
    ),
    "team: against Agno": (
        "A member's run is a simple run among many: in that row agno_rt is 11 times as fast. Agno's team also calls "
        "its leader's model twice. Other measurements gave 10 to 16 times."
    ),
    "workflow: 10 recorded steps, journal in memory": (
        "A stored run without steps makes 134 Python calls, not many fewer than ten steps: a cancel scope, a record "
        "and two entries. A step takes one checkpoint, and most of its time is not calls: a digest of its arguments, "
        "the value and the entry as JSON, two clocks."
    ),
    "workflow: against Agno": "Agno's steps are not recorded. The row below has both with nothing recorded.",
    "workflow: against LangGraph": (
        "A fiftieth of LangGraph's time is 61 µs. A stored run without steps takes eight checkpoints, more than half "
        "of that, and each recorded step one checkpoint more."
    ),
    "workflow: 10 agents one after another, against a simple run": (
        "A simple run makes 28 Python calls, and 32 within a workflow, for its place and its options; the run of the "
        "workflow itself makes 39."
    ),
    "durable workflow, on SQLite, fsync on: against DBOS": (
        "Each of twelve writes waits for the disk, one after another: 0.18 ms each on this machine, 2.1 ms in all, "
        "without any other work. DBOS waits as often, and takes its other time on a processor."
    ),
    "HTTP, simple run, two workers: against Agno": (
        "On this machine a process of Agno serves 819 runs/s, and a process of agno_rt 30,700. On the machine "
        "before, Agno served 472 runs/s, and the goal was reached. The two workers share two cores with the load."
    ),
}
"""Reasons of goals that are not reached, by row and part: the measured floor. The list only shrinks."""


@functools.cache
def goals() -> tuple[Goal, ...]:
    """Return all goals, in the order of the table."""
    found = (
        *_list_creation(),
        *_list_runs(),
        *_list_concurrency(),
        *_list_flows(),
        *_list_knowledge(),
        *_list_storage(),
        *_list_models(),
        *_list_tools(),
        *_list_serving(),
        *_list_startup(),
        *_list_counts(),
    )
    names = {f"{goal.row}: {goal.what}" for goal in found}
    assert len(names) == len(found), "two goals of a row say the same of what they are"
    assert names >= WHY.keys(), f"not goals any more: {WHY.keys() - names}"
    return found


def _find_bound(name: str) -> tuple[float, str]:
    # Imported here, because asv imports this file at commits that lack the module.
    from agno_rt_bench.goals import GOALS

    return GOALS[name].bound, GOALS[name].unit


def _make_at_most(row: str, what: str, bound: float | str, value: Value, **more: Any) -> Measured:
    """Make a goal with an upper bound: the name of a bound of `agno-rt bench`, or a number with a `unit` in `more`."""
    limit, unit = _find_bound(bound) if isinstance(bound, str) else (bound, more.pop("unit"))
    why = WHY.get(f"{row}: {what}", "")
    return Measured(row=row, what=what, value=value, bound=limit, unit=unit, why=why, **more)


def _make_at_least(row: str, what: str, bound: float, value: Value, **more: Any) -> Measured:
    return _make_at_most(row, what, bound, value, at_least=True, **more)


def _make_against(row: str, peer_row: str, peer: str) -> Against:
    """Make a goal from the peers' own table."""
    goal = next(goal for goal in PEER_GOALS if (goal.row, goal.peer) == (peer_row, peer))
    what = f"against {title_of(peer)}"
    return Against(row=row, what=what, goal=goal, why=WHY.get(f"{row}: {what}", ""))


def title_of(peer: str) -> str:
    """Return the title of a peer."""
    return next(kind.title for kind in PEERS if kind.name == peer)


def _list_creation() -> Iterator[Goal]:
    for agent, bound, peers_row in (
        ("simple", "create-simple", "create"),
        ("with tools", "create-tools", "create_tool"),
        ("with memory", "create-memory", "create_memory"),
    ):
        row = f"create: {agent}"
        value = Value("create.Create.track_ratio_to_bare_object", (agent,))
        yield _make_at_most(row, "against a bare slotted object", bound, value)
        yield _make_against(row, peers_row, "agno_go")
    for agent in ("simple", "with tools", "with memory"):
        beside = ("bytes", "agno_go") if agent == "simple" else None
        held = Value("create.Create.track_bytes", (agent,))
        yield _make_at_most("bytes an agent", agent, "agent-bytes", held, beside=beside)


def _list_runs() -> Iterator[Goal]:
    row, took = "simple run, new agent", Value("run.Run.time_1000_runs", ("simple",), 1e3)
    value = Value("run.Run.track_checkpoints_a_run", ("simple",))
    yield _make_at_most(
        row, "many in a row, whose model answers at once", "run-simple", value, also=took, also_unit="µs"
    )
    yield _make_against(row, "run", "agno_go")
    yield _make_against(row, "run", "agno")

    yield _make_against("simple run, memory of 100 messages", "run_history", "agno_go")

    row, took = "tool run", Value("run.Run.time_1000_runs", ("tool",), 1e3)
    value = Value("run.Run.track_checkpoints_a_run", ("tool",))
    yield _make_at_most(row, "one call, two turns", "run-tool", value, also=took, also_unit="µs")
    yield _make_against(row, "tool", "agno_go")
    yield _make_against(row, "tool", "agno")
    yield _make_against("tool run, memory of 100 messages", "tool_history", "agno_go")

    row, append, beside = "memory add", "memory.Append.time_1000_appends", ("memory_add", "agno_go")
    yield _make_at_most(row, "to 10 messages", "append-10", Value(append, (10,), 1e3), beside=beside)
    yield _make_at_most(row, "to 100,000 messages", "append-100000", Value(append, (100_000,), 1e3))
    # The ratio divides two values of the benchmark that takes turns with a checkpoint: the two above are minutes apart.
    few, many = (Value("growth.Messages.track_append", (messages, "memory")) for messages in (10, 100_000))
    yield _make_at_most(row, "to 100,000 messages, against one to 10", 1.15, many, over=few, unit="x")


def _list_concurrency() -> Iterator[Goal]:
    row = "concurrent"
    bare = Value("concurrent.Concurrent.track_ratio_to_bare_tasks", (10_000,))
    yield _make_at_most(row, "10,000 runs that wait 100 ms, against bare trio tasks", "waiting-10000", bare)
    more = Value("concurrent.Cost.track_ratio_50000_to_1000")
    yield _make_at_most(row, "a run at 50,000, against one at 1,000", 1.5, more, unit="x")
    yield _make_against(row, "concurrent", "agno_go")
    served = Value("concurrent.CostServed.track_ratio_50000_to_1000")
    yield _make_at_most(
        row, "a run at 50,000, against one at 1,000, garbage collector of `agno-rt serve`", 1.5, served, unit="x"
    )
    held = Value("concurrent.Waiting.track_bytes_a_waiting_run", (10_000,))
    yield _make_at_most(row, "memory a waiting run", "waiting-bytes", held)

    row, token = "streaming", "stream.Stream.track_microseconds_a_token"
    yield _make_at_most(row, "a token to a reader who keeps up", "token", Value(token, ("reader",)))
    yield _make_at_most(row, "a token to an observer", 0.5, Value(token, ("observer",)), unit="µs")
    # A run takes some microseconds, and this run has 10,000 tokens, so a hundredth is the run's own part.
    yield _make_at_most(row, "a token with nobody", 0.01, Value(token, ("nobody",)), unit="µs")


def _list_flows() -> Iterator[Goal]:
    row, hundred = "team", Value("team.Hundred.track_ratio_to_runs")
    yield _make_at_most(row, "a broadcast of 100, against 100 runs at once", 1.3, hundred, unit="x")
    yield _make_against(row, "team", "agno")

    row, beside = "workflow", "workflow.Beside.track_ratio_to"
    group = Value(f"{beside}_bare_nursery", ("unstored",))
    yield _make_at_most(row, "100 steps at once, against a bare nursery of 100", 2.2, group, unit="x")
    steps = Value("workflow.Workflow.track_checkpoints_a_run", ("10 steps", "stored"))
    yield _make_at_most(row, "10 recorded steps, journal in memory", 8, steps, unit="checkpoints")
    yield _make_against("workflow, nothing recorded", "steps_plain", "agno")
    yield _make_against(row, "steps", "agno")
    yield _make_against(row, "steps", "langgraph")
    agents = Value(f"{beside}_simple_runs", ("unstored",))
    yield _make_at_most(row, "10 agents one after another, against a simple run", 11, agents, unit="x")
    replayed = Value("workflow.Long.track_milliseconds_replayed", ("memory",))
    yield _make_at_most(row, "a journal of 1,000 steps, replayed", 50, replayed, unit="ms")
    elsewhere = Value("workflow.Elsewhere.track_seconds_to_resumed")
    yield _make_at_most(row, "from a pause to the end of the run in another process", 0.4, elsewhere, unit="s")

    row = "durable workflow, on SQLite, fsync on"
    durable = "workflow.Durable.track"
    yield _make_at_most(row, "10 steps one after another", 10, Value(f"{durable}_milliseconds"), unit="ms")
    yield _make_at_least(row, "steps of 100 at once", 15_000, Value(f"{durable}_steps_a_second"), unit="steps/s")
    yield _make_against(row, "steps_durable", "dbos")


def _list_knowledge() -> Iterator[Goal]:
    row, both = "knowledge", "knowledge.Searches.track_both"
    for chunks, bound in ((10_000, 5), (100_000, 25)):
        what = f"{chunks:,} chunks, words and vectors together: p50"
        yield _make_at_most(row, what, bound, Value(both, (chunks,)), unit="ms")


def _list_storage() -> Iterator[Goal]:
    value = Value("sqlite.Sessions.track_runs_a_second", ("full",))
    what = "100 at once, grouped commits, none lost"
    row = "durable, on SQLite, fsync on"
    yield _make_at_least(row, what, 10_000, value, unit="runs/s")
    steps = Value("sqlite.Journals.track_steps_a_second")
    yield _make_at_least(row, "steps of a journal, 100 runs at once", 15_000, steps, unit="steps/s")
    early, late = (Value("sqlite.Kept.track_bytes_a_turn", (turn,)) for turn in (10, 10_000))
    what = "bytes stored a turn at turn 10,000, against turn 10"
    yield _make_at_most(row, what, 1.05, late, over=early, unit="x", also=late, also_unit="bytes")


def _list_models() -> Iterator[Goal]:
    row = "models over HTTP"
    for api, title in (("chat", "chat completions"), ("responses", "responses"), ("messages", "Anthropic's messages")):
        ratio = Value("model_client.Request.track_times_bare_httpx2", (api,))
        yield _make_at_most(row, f"a request of {title}, against bare httpx2", 1.5, ratio, unit="x")
        token = Value("model_client.Token.track_microseconds", (api,))
        yield _make_at_most(row, f"a streamed token of {title}", 30, token, unit="µs")
    for form in ("numbers", "base64"):
        ratio = Value("embedders.Batch.track_times_bare_httpx2", (form,))
        yield _make_at_most(row, f"32 vectors as {form}, against bare httpx2", 1.5, ratio, unit="x")
    for plugin in ("sqlite", "files", "inspect", "serve", "llamacpp"):
        value = Value("model_client.Plugin.track_milliseconds", (plugin,))
        yield _make_at_most("loading a plugin", plugin, 5, value, unit="ms")


def _list_tools() -> Iterator[Goal]:
    row = "tools of MCP servers, over stdio"
    ratio = Value("mcp_tools.Calls.track_ratio_to_the_sdk")
    yield _make_at_most(row, "a call, against the official SDK's client", 1.5, ratio, unit="x")
    listed = Value("mcp_tools.Lists.track_milliseconds_to_list")
    yield _make_at_most(row, "1,000 tools, listed", 50, listed, unit="ms")


def _list_serving() -> Iterator[Goal]:
    row, value = "HTTP, simple run, two workers", Value("http.Served.track_runs_a_second", (2,))
    yield _make_at_least(row, "50 connections", 30_000, value, unit="runs/s")
    yield _make_against(row, "http_two", "agno")


def _list_startup() -> Iterator[Goal]:
    row, plugins = "import and command line", "startup.Plugins.track_milliseconds"
    yield _make_at_most(row, "`import agno_rt`, beyond trio's own", "import", Value(f"{plugins}_beyond_trio", (0,)))
    yield _make_at_most(row, "`agno-rt --version`", "command-version", Value(f"{plugins}_version", (0,)))
    yield _make_at_most(row, "`agno-rt plugins`, 25 plugins", "command-plugins", Value(f"{plugins}_plugins", (25,)))


def _list_counts() -> Iterator[Goal]:
    row, runs = "exact counts", ("simple", "tool", "session of 100 messages")
    for what, name in (("bytes an agent", "track_bytes"), ("allocations an agent", "track_allocations")):
        names = {agent: f"create.Create.{name}({agent})" for agent in ("simple", "with tools", "with memory")}
        yield Recorded(row=row, what=what, names=names, why=WHY.get(f"{row}: {what}", ""))
    for what in ("Python calls", "allocations", "scheduler steps", "bytes held"):
        names = {run: f"run.Run.track_{what.lower().replace(' ', '_')}({run})" for run in runs}
        yield Recorded(row=row, what=f"{what} a run", names=names, why=WHY.get(f"{row}: {what} a run", ""))
