"""`agno-rt bench`: rows, verdicts, and no side effects."""

from __future__ import annotations

import datetime as dt
import enum
import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from agno_rt_bench.answers import make_up_answer
from agno_rt_bench.goals import GOALS, Goal
from agno_rt_bench.rows import Case, Effort, Figure, Measured, Row, Unmeasured, choose_cases, measure_case, rate_case
from agno_rt_bench.show import describe_measured, describe_verdict, format_figure

from agno_rt.errors import NotFound, UsageError
from agno_rt.output import Output
from tests.cli.conftest import SECONDS

Agno = Callable[..., subprocess.CompletedProcess[str]]

ONCE = Effort(batches=1, rounds=1, processes=1)
GOAL = Goal(10, "ms", "at most 10 ms")

KERNEL = "create-*,agent-bytes,run-*,append-*,token,waiting-1000,waiting-bytes,counts-*,import,command-*"
"""The rows that do not depend on the project; the one with 10,000 runs is left out, for it takes seconds."""

HOOKED = """
import sys
import trio
from agno_rt import Agent, Guard, Hook, MemoryPolicy, ModelResponse, tool
from agno_rt_guardrails import Moderation


class Costly:
    name = "costly"

    async def respond(self, request, emit=None):
        open("asked", "w").close()
        return ModelResponse("{}")


class Loud(Hook):
    async def before_run(self, context, input):
        print("out loud")
        print("out loud", file=sys.stderr)


class Hanging(Hook):
    async def before_run(self, context, input):
        await trio.sleep_forever()


class Refusing(Hook):
    async def before_run(self, context, input):
        raise ZeroDivisionError("by nothing")


@tool
def spend(amount: int) -> str:
    \"\"\"Spend money.\"\"\"
    open("spent", "w").close()
    return "gone"


loud = Agent(Costly(), hooks=[Loud()], tools=[spend], instructions="Be brief.")
judged = Agent(Costly(), hooks=[Loud(), Moderation(Costly())])
hanging = Agent(Costly(), hooks=[Hanging()])
refusing = Agent(Costly(), hooks=[Refusing()])
stored = Agent(Costly(), memory=MemoryPolicy(journal=True))
"""


def reported(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    """Return the output of `--json`."""
    assert done.returncode == code, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def by_name(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows by name."""
    return {row["name"]: row for row in report["rows"]}


def case(goal: Goal | None = GOAL, name: str = "row", group: str = "kernel") -> Case:
    """Make a case with a result of seven milliseconds."""

    async def measure(effort: Effort) -> Measured:
        return Measured.exact(7, "ms")

    return Case(name, group, "a thing", measure, goal)


def row(value: float, low: float, high: float, goal: Goal | None = GOAL) -> Row:
    """Make a row with a result in milliseconds."""
    return rate_case(case(goal), Measured(value, "ms", low, high))


@pytest.fixture
def hooked(project: Path) -> Path:
    """A project with hooks, and with a memory in a file."""
    (project / "hooked.py").write_text(HOOKED)
    (project / "agno-rt.toml").write_text('[runtime]\nload = ["hooked.py"]\nmemory = "sqlite:///own.db"\n')
    return project


def counts(path: Path) -> dict[str, int]:
    """Count the rows of each table with sessions or runs in a memory file."""
    with closing(sqlite3.connect(path)) as database:
        tables = ("sessions", "messages", "runs", "entries")
        return {name: database.execute(f"select count(*) from {name}").fetchone()[0] for name in tables}


class TestVerdict:
    """Verdicts on figures."""

    @pytest.mark.parametrize(
        ("value", "low", "high", "verdict", "clear", "words"),
        [
            (8, 7, 9, "holds", True, "holds"),
            (10, 10, 10, "holds", True, "holds"),
            (9, 8, 11, "holds", False, "holds, within the noise"),
            (12.5, 12, 13, "short", True, "short by 25 %"),
            (11, 9.5, 12, "short", False, "short by 10 %, within the noise"),
            (10.05, 10.05, 10.05, "short", True, "short by less than 1 %"),
            (250, 240, 260, "short", True, "short by 2,400 %"),
        ],
    )
    def test_with_a_goal(self, value: float, low: float, high: float, verdict: str, clear: bool, words: str) -> None:
        """A figure holds up to the bound; a contradicting batch makes the verdict uncertain."""
        made = row(value, low, high)

        assert (made.verdict, made.clear, describe_verdict(made)) == (verdict, clear, words)
        assert made.falls_short == (verdict == "short")

    def test_without_a_goal(self) -> None:
        """Without a goal, no figure falls short."""
        made = row(1e9, 1, 1e9, goal=None)

        assert (describe_verdict(made), made.falls_short, made.short_by) == ("no goal", False, None)

    @pytest.mark.parametrize(
        ("raised", "reason"),
        [
            (Unmeasured("there is no CPU"), "there is no CPU"),
            (UsageError("no such agent", hint="Name it."), "no such agent"),
            (ZeroDivisionError("by\nnothing"), "ZeroDivisionError: by nothing"),
        ],
    )
    async def test_of_what_cannot_be_measured(self, raised: Exception, reason: str) -> None:
        """The row has the reason in one line; with a goal, the row counts as not reached."""

        async def measure(effort: Effort) -> Measured:
            raise raised

        failed = await measure_case(Case("row", "kernel", "a thing", measure, GOAL), ONCE)

        assert describe_verdict(failed) == f"not measured: {reason}"
        assert describe_measured(failed) == []
        assert failed.falls_short
        assert not attrs.evolve(failed, goal=None).falls_short

    async def test_the_goal_is_that_of_the_name(self) -> None:
        """A case without a goal of its own has the goal of its row's name, if any."""
        known = await measure_case(Case("import", "startup", "", case().measure), ONCE)

        assert known.goal == GOALS["import"]
        assert Case("token-of-love", "kernel", "", case().measure).goal is None

    def test_figures(self) -> None:
        """Numbers have significant digits only, and their spread."""
        shown = rate_case(case(None), Measured(2.412, "checkpoints", 2.3, 2.6, also=(Figure(1, "Python calls"),)))

        assert describe_measured(shown) == ["2.41 checkpoints ± 8 %", "1 Python call"]
        assert [format_figure(*given) for given in ((10.4, "µs"), (1234.5, "ms"), (104, "bytes"))] == [
            "10.4 µs",
            "1,234 ms",
            "104 bytes",
        ]


def test_rows_are_chosen() -> None:
    """Rows are chosen by name, pattern or group, in the order of the table; an unknown row is an error."""
    cases = [case(name="create-a"), case(name="run-a"), case(name="agent:a", group="agents")]

    assert choose_cases(cases, ()) == cases
    assert [each.name for each in choose_cases(cases, ("agents, create-*",))] == ["create-a", "agent:a"]
    assert [each.name for each in choose_cases(cases, ("run-a", "agent:*"))] == ["run-a", "agent:a"]
    with pytest.raises(NotFound, match="unknown row 'agent'"):
        choose_cases(cases, ("agent",))


class Color(enum.Enum):
    """An enumeration."""

    RED = "red"


@attrs.define
class Line:
    """A type with values of many kinds."""

    item: str
    count: int
    color: Color
    kind: Literal["a", "b"]
    day: dt.date
    pair: tuple[int, str]
    price: float | None = None


@attrs.define
class Endless:
    """A type that contains itself."""

    inner: Endless


@pytest.mark.parametrize(
    "output",
    [
        None,
        str,
        int,
        bool,
        Color,
        Line,
        list[Line],
        dict[str, int],
        dt.datetime,
        int | str,
        Output(Line, mode="prompt"),
    ],
    ids=str,
)
async def test_answers_are_made_up(output: Any) -> None:
    """Made-up answers fit the types of agents' outputs: a run accepts them."""
    assert await make_up_answer(output)


async def test_an_answer_that_cannot_be_made_up() -> None:
    """The error describes the kind of type."""
    with pytest.raises(Unmeasured, match="it contains itself"):
        await make_up_answer(Endless)


def test_the_kernel(agno: Agno) -> None:
    """Each row is measured; JSON has all columns of the table, and the machine."""
    report = reported(agno("bench", "--quick", "--json", "--rows", KERNEL))
    rows = by_name(report)

    assert rows.keys() == (GOALS.keys() - {"waiting-10000", "plugin"}) | {"run-session", "counts-simple", "counts-tool"}
    assert [row["reason"] for row in report["rows"] if row["verdict"] == "failed"] == []
    assert all(row["value"] > 0 for row in report["rows"] if row["name"] != "import")
    bare = {"bound": 1.1, "unit": "x", "text": "at most 1.1 x"}
    assert (rows["create-simple"]["goal"], rows["create-simple"]["unit"]) == (bare, "x")
    assert rows["run-session"]["goal"] is None
    assert rows["run-session"]["verdict"] == "none"
    assert [also["unit"] for also in rows["counts-simple"]["also"]] == ["scheduler steps", "bytes held"]
    assert report["machine"].keys() == {"agno_rt", "cpu", "cpus", "load", "python", "system", "trio"}
    assert report["source"] == "agno-rt.toml"


def test_a_pipe(agno: Agno) -> None:
    """The table is plain text, with its explanations below."""
    done = agno("bench", "--quick", "--rows", "agent-bytes,counts-simple,agent:echo,agent:lost")

    assert (done.returncode, done.stderr) == (0, "")
    title, memory, counted, echo, lost, *about = done.stdout.splitlines()
    assert title.split() == ["ROW", "WHAT", "IT", "IS", "TO", "REACH", "MEASURED", "VERDICT"]
    assert memory.split("  ")[0] == "agent-bytes"
    assert memory.endswith("  holds")
    assert "  at most 112 bytes  " in memory
    assert counted.endswith("no goal")
    assert echo.split("  ")[0] == "agent:echo"
    assert "checkpoints" in echo
    assert "not measured: agno-rt.toml, agent 'lost': unknown plugin 'opena'" in lost
    assert "\x1b" not in done.stdout
    assert any(line.startswith("Measured on ") and "CPython" in line and "agno_rt" in line for line in about)
    assert about[-1] == (
        "How the figures have changed: docs/performance.md, and `make bench` in a checkout of agno_rt."
    )


def test_agents(agno: Agno, hooked: Path) -> None:
    """Hooks are called, and their output is hidden; no model is asked, no tool called, nothing stored."""
    done = agno("bench", "--quick", "--json", "--rows", "agents")
    rows = by_name(reported(done))

    assert done.stderr == ""
    assert all(rows[f"agent:{name}"]["unit"] == "checkpoints" for name in ("loud", "judged", "stored"))
    assert [also["unit"] for also in rows["agent:loud"]["also"]] == ["µs", "Python calls"]
    assert rows["agent:judged"]["note"] == "without 1 of its 2 hooks, since a model would be asked"
    assert rows["agent:hanging"]["reason"] == "a run did not end within 3 s"
    assert "by nothing" in rows["agent:refusing"]["reason"]
    made = {path.name for path in hooked.iterdir()}
    assert made.isdisjoint({"asked", "spent", "own.db"})


def test_agents_of_a_file(agno: Agno, hooked: Path) -> None:
    """A named file is measured instead of agno-rt.toml."""
    rows = by_name(reported(agno("bench", "hooked.py", "--quick", "--json", "--rows", "agent:l*")))

    assert rows.keys() == {"agent:loud"}


def test_observers(agno: Agno, project: Path) -> None:
    """The project's observers listen, and their lines stay out of the table."""
    (project / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\n')
    alone = by_name(reported(agno("bench", "--quick", "--json", "--rows", "agent:echo")))
    (project / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\nobservers = ["log"]\n')
    heard = by_name(reported(agno("bench", "--quick", "--json", "--rows", "agent:echo")))

    calls = [rows["agent:echo"]["also"][1]["value"] for rows in (alone, heard)]
    assert calls[1] > calls[0]


def test_a_runtime_that_does_not_open(agno: Agno, project: Path) -> None:
    """The rows that need the runtime have the reason; the other rows are measured."""
    (project / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\nobservers = ["lgo"]\n')
    rows = by_name(reported(agno("bench", "--quick", "--json", "--rows", "agent-bytes,agent:echo,agent:slow")))

    assert rows["agent-bytes"]["verdict"] == "holds"
    assert all("unknown plugin 'lgo'" in rows[f"agent:{name}"]["reason"] for name in ("echo", "slow"))


def test_sessions(agno: Agno, hooked: Path) -> None:
    """`--sessions` measures the memory, and leaves the memory unchanged."""
    line = '{"format": 1, "kind": "session", "id": "mine", "messages": [{"role": "user", "content": "hi"}]}\n'
    said = agno("sessions", "import", "-", input=line)
    assert said.returncode == 0, said.stderr
    before = counts(hooked / "own.db")
    sessions = "session:loud,session:judged,session:stored,session:refusing"
    rows = by_name(reported(agno("bench", "--quick", "--json", "--sessions", "--rows", f"append,{sessions}")))

    assert {name for name, row in rows.items() if row["value"]} == {
        "append",
        "session:loud",
        "session:judged",
        "session:stored",
    }
    assert rows["append"]["unit"] == "µs"
    assert "by nothing" in rows["session:refusing"]["reason"]
    assert before == counts(hooked / "own.db") == {"sessions": 1, "messages": 1, "runs": 0, "entries": 0}


def test_rows_that_would_write(agno: Agno, hooked: Path) -> None:
    """Rows that write need `--sessions`."""
    done = agno("bench", "--rows", "memory")

    assert (done.returncode, done.stdout) == (2, "")
    assert "hint: Add --sessions." in done.stderr
    assert not (hooked / "own.db").exists()


def test_interrupted(hooked: Path, started: Callable[..., subprocess.Popen[str]]) -> None:
    """Ctrl-C ends the command without a traceback, after deleting its sessions."""
    bench = started("bench", "--thorough", "--sessions", "--rows", "append,session:stored")
    deadline = time.monotonic() + SECONDS
    while not _has_written(hooked / "own.db"):
        assert bench.poll() is None, bench.communicate()
        assert time.monotonic() < deadline, "it has not begun to write"
        time.sleep(0.01)
    bench.send_signal(signal.SIGINT)
    out, said = bench.communicate(timeout=SECONDS)

    assert (bench.returncode, out, said) == (130, "", "\n")
    assert counts(hooked / "own.db") == {"sessions": 0, "messages": 0, "runs": 0, "entries": 0}


def _has_written(path: Path) -> bool:
    try:
        return path.exists() and counts(path)["messages"] > 0
    except sqlite3.OperationalError:
        # The file exists before its tables.
        return False


def test_plugins(agno: Agno, distribution: Callable[..., Path], project: Path) -> None:
    """Each plugin's import is timed; a failed import has a reason, and blocked plugins are missing."""
    distribution("sleepy", "import time\nprint('morning', 1)\ntime.sleep(0.1)")
    distribution("broken", "raise RuntimeError('not today')")
    site = distribution("shunned", "")
    (project / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\nblock = ["shunned"]\n')
    names = "plugin:sleepy,plugin:broken"
    environment = {"PYTHONPATH": str(site)}
    rows = by_name(reported(agno("bench", "--quick", "--json", "--rows", names, env=environment)))
    checked = agno("bench", "--quick", "--check", "--rows", names, env=environment)

    assert rows["plugin:sleepy"]["value"] >= 100
    assert rows["plugin:sleepy"]["verdict"] == "short"
    assert rows["plugin:broken"]["reason"] == "RuntimeError: not today"
    assert checked.returncode == 1
    assert checked.stderr == "Short of the goal, or not measured: plugin:broken, plugin:sleepy.\n"
    assert agno("bench", "--rows", "plugin:shunned", env=environment).returncode == 2


def test_check(agno: Agno) -> None:
    """`--check` fails only for a missed goal: neither for an agent that cannot run, nor for a reached goal."""
    done = agno("bench", "--quick", "--check", "--rows", "agent-bytes,counts-tool,agent:lost")

    assert (done.returncode, done.stderr) == (0, "")


def test_a_row_that_there_is_not(agno: Agno) -> None:
    """The error for an unknown row comes before any measurement, with the nearest name."""
    done = agno("bench", "--rows", "create-simpel")

    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown row 'create-simpel' (in --rows)" in done.stderr
    assert "Did you mean 'create-simple'?" in done.stderr


def test_a_terminal(terminal: Callable[..., Any]) -> None:
    """A terminal shows the current row, and then the table; Ctrl-C exits with 130."""
    with terminal("bench", "--quick", "--rows", "agent-bytes,agent:echo") as person:
        person.expect("measuring agent-bytes (1 of 2)")
        person.expect("what it is")
        person.expect("at most 112")
        person.expect("holds")
        person.expect("Measured on ")
        assert person.leave() == 0
    with terminal("bench", "--thorough", "--rows", "waiting-1000") as person:
        person.expect("measuring waiting-1000")
        assert person.leave("\x03") == 130
        assert "Traceback" not in person.seen
