"""Peers side by side: processes with the protocol take turns, and their results become a table in a page."""

# ruff: noqa: RUF001 - the page's own sign for "times"

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from agno_rt.errors import UsageError
from benchmarks.markers import replace_between
from benchmarks.peers.drive import main
from benchmarks.peers.measure import Plan, measure
from benchmarks.peers.results import Results, verdict
from benchmarks.peers.rows import PEERS, ROWS, Goal, Row
from benchmarks.peers.table import page, reached, told

RUN, TOOL = Row("run", "a run"), Row("tool", "a tool run")

PEER = """
import os, sys, time
from benchmarks.peers.protocol import serve, timed

def takes(seconds):
    async def row(times):
        print("as a framework does")
        with open({turns!r}, "a") as turns:
            turns.write({name!r} + "\\n")
        return seconds * times
    return row

async def breaks(times):
    raise RuntimeError("no such model")

async def dies(times):
    print("the disk is full", file=sys.stderr, flush=True)
    os._exit(3)

async def few(times):
    assert times <= 7, times
    return times / 1_000_000

async def hangs(times):
    open({turns!r} + ".hangs", "w").close()
    time.sleep(600)

serve({about!r}, dict(run={run}, tool={tool}))
"""


class BreakingOffError(Exception):
    """An early end of a measuring."""


class Fakes:
    """Peers with made-up rows."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.commands = folder, dict[str, Sequence[str]]()
        self.turns = folder / "turns"

    def add(self, name: str, run: str, tool: str = "takes(1)", **about: Any) -> None:
        """Add a peer with functions of the script above as rows."""
        script = self.folder / f"{name}.py"
        about = {"versions": {name: "1.0", "Python": "3"}, **about}
        script.write_text(
            PEER.format(turns=str(self.turns), name=name, about=about, run=run, tool=tool), encoding="utf-8"
        )
        self.commands[name] = [sys.executable, str(script)]

    async def measure(self, *rows: Row, **options: Any) -> Results:
        """Measure all peers."""
        options = {"rounds": 3, **options}
        return await measure(Plan(self.commands, rows or (RUN, TOOL), **options), say=lambda line: None)


@pytest.fixture
def fakes(tmp_path: Path) -> Fakes:
    """Make an empty set of peers."""
    return Fakes(tmp_path)


class TestMeasuring:
    """Real processes with the protocol of `benchmarks/peers/protocol.py`."""

    async def test_values_and_ratios(self, fakes: Fakes) -> None:
        """The results hold the values of a peer's process; a ratio compares with agno_rt."""
        fakes.add("agno_rt", "takes(0.5)")
        fakes.add("agno", "takes(2)", notes={"run": "with its own loop"})

        results = await fakes.measure()

        assert results.value("run", "agno_rt") == 0.5
        assert results.value("run", "agno") == 2.0
        assert results.ratio("run", "agno") == 4.0
        assert results.rows["run"]["agno"] == {"note": "with its own loop", "best": 2.0, "median": 2.0}
        assert results.peers["agno"] == {"versions": {"agno": "1.0", "Python": "3"}}

    async def test_peers_take_turns(self, fakes: Fakes) -> None:
        """Each round asks every peer once, and every second round in reverse order."""
        for name in ("agno_rt", "agno", "langgraph"):
            fakes.add(name, "takes(1)")

        await fakes.measure(RUN)

        one_way = ["agno_rt", "agno", "langgraph"]
        tries, rounds = one_way, [*one_way, *one_way[::-1], *one_way]
        assert fakes.turns.read_text().split() == [*tries, *rounds]

    async def test_a_slow_row_is_done_less_often(self, fakes: Fakes) -> None:
        """A row that is slow for any peer is measured a few times only, for all peers as often."""
        fakes.add("agno_rt", "takes(0.1)")
        fakes.add("smolagents", "takes(9)")

        await fakes.measure(RUN, rounds=5, few=2)

        turns = fakes.turns.read_text().split()
        assert turns.count("smolagents") == 1 + 2
        assert turns.count("agno_rt") == 1 + 2

    async def test_most(self, fakes: Fakes) -> None:
        """A peer is not asked for more repetitions than its limit."""
        fakes.add("agno", "few", most={"run": 7})

        results = await fakes.measure(RUN)

        assert results.value("run", "agno") == pytest.approx(1e-6), results.rows

    async def test_one_of_many(self, fakes: Fakes) -> None:
        """For a row of many parts the value is the time of one part."""
        fakes.add("agno", "takes(2)")

        results = await fakes.measure(Row("run", "a thousand together, each", parts=1000))

        assert results.value("run", "agno") == 0.002

    async def test_a_peer_that_dies(self, fakes: Fakes) -> None:
        """A peer that dies has failed with its last words, in the row and from then on; the others go on."""
        fakes.add("agno_rt", "takes(1)")
        fakes.add("agno", "dies")

        results = await fakes.measure()

        assert results.rows["run"]["agno"] == {"failed": "ended with status 3: the disk is full"}
        assert "the disk is full" in results.peers["agno"]["absent"]
        assert results.value("run", "agno_rt") == 1.0
        assert results.value("tool", "agno_rt") == 1.0
        assert "agno" not in results.rows["tool"]
        assert "failed: ended with status 3: the disk is full" in page(results)

    async def test_a_row_that_fails(self, fakes: Fakes) -> None:
        """After a failed row the peer does its other rows."""
        fakes.add("agno", "breaks", "takes(3)")

        results = await fakes.measure()

        assert results.rows["run"]["agno"] == {"failed": "RuntimeError: no such model"}
        assert results.value("tool", "agno") == 3.0

    async def test_a_peer_that_falls_silent(self, fakes: Fakes, mock_clock: trio.testing.MockClock) -> None:
        """A silent peer fails after the time limit, and its process is ended."""
        fakes.add("agno", "hangs")
        fakes.add("agno_rt", "takes(1)")

        async def let_time_pass() -> None:
            while not await trio.Path(f"{fakes.turns}.hangs").exists():
                await trio.lowlevel.checkpoint()
            mock_clock.jump(5)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(let_time_pass)
            results = await fakes.measure(limit=5.0)

        assert results.rows["run"]["agno"] == {"failed": "gave no answer within 5 s"}
        assert results.value("tool", "agno_rt") == 1.0

    @pytest.mark.parametrize(
        ("command", "reason"),
        [
            (["/nonexistent/peer"], "cannot be started: No such file or directory"),
            ([sys.executable, "-c", "import nothing_of_that_name"], "No module named 'nothing_of_that_name'"),
            ([sys.executable, "-c", "print('hello')"], "answered with text that is not JSON"),
            ([sys.executable, "-c", "print(1)"], "answered with JSON that is not an object"),
        ],
    )
    async def test_a_peer_that_does_not_come_up(self, fakes: Fakes, command: list[str], reason: str) -> None:
        """A peer that cannot start is absent with a reason, and the others are measured."""
        fakes.add("agno_rt", "takes(1)")
        fakes.commands["agno_go"] = command

        results = await fakes.measure(RUN)

        assert reason in results.peers["agno_go"]["absent"]
        assert results.value("run", "agno_rt") == 1.0
        assert reason in page(results)

    async def test_imports_are_measured_in_fresh_processes(self, fakes: Fakes) -> None:
        """Imports are measured in fresh interpreters; a compiled program has no imports."""
        fakes.add("agno", "takes(1)", **{"import": "import json"})
        fakes.add("langgraph", "takes(1)", **{"import": "import nothing_of_that_name"})
        fakes.add("agno_go", "takes(1)")
        python = {"agno": Path(sys.executable), "langgraph": Path(sys.executable)}

        results = await fakes.measure(Row("import", "import"), rounds=1, python=python)

        assert 0 < (results.value("import", "agno") or 0) < 60
        assert results.rows["import"]["langgraph"] == {"failed": "`import nothing_of_that_name` ended with status 1"}
        assert results.rows["import"]["agno_go"] == {"note": "a compiled program imports nothing"}

    async def test_what_is_known_is_saved_row_by_row(self, fakes: Fakes, tmp_path: Path) -> None:
        """Results are saved after each row, so that a later fault does not lose the others, and can be loaded again."""
        fakes.add("agno", "takes(1)")
        said: list[str] = []

        def say(line: str) -> None:
            said.append(line)
            if line.startswith("a tool run"):
                raise BreakingOffError

        with pytest.raises(BreakingOffError):
            await measure(Plan(fakes.commands, (RUN, TOOL)), say, tmp_path / "results.json")

        assert Results.load(tmp_path / "results.json").value("run", "agno") == 1.0
        assert any(re.match(r"a run \[\d+ s\]: agno 1 s", line) for line in said)


class TestPage:
    """The tables, from made-up results."""

    @pytest.fixture
    def results(self) -> Results:
        """Three peers: a note, a failed row, and an absent peer."""
        results = Results("2026-01-02", 7, {"cpu": "a processor", "num_cpu": "2", "ram": "24 GB", "os": "Linux"})
        results.peers = {
            "agno_rt": {"versions": {"agno-rt": "0.2", "Python": "3.11.7"}},
            "agno_go": {"absent": "give AGNO_GO"},
            "agno": {"versions": {"agno": "3.1", "Python": "3.11.7"}},
        }
        results.rows = {
            "create": {"agno_rt": {"best": 2.5e-7}, "agno": {"best": 2e-5}},
            "bytes": {"agno_rt": {"best": 104.0}, "agno": {"best": 3744.0}},
            "run": {"agno_rt": {"best": 1e-5}, "agno": {"best": 4e-4, "note": "its own loop"}},
            "tool": {"agno_rt": {"best": 2e-5}, "agno": {"failed": "out of luck"}},
            "http": {"agno_rt": {"best": 9000.0}, "agno": {"best": 250.0}},
            "http_two": {"agno_rt": {"best": 12500.0}, "agno": {"best": 450.0}},
            "memory_add": {},
        }
        return results

    def test_cells(self, results: Results) -> None:
        """A cell has the value in a fitting unit, the ratio to agno_rt, and a mark for a footnote."""
        text = page(results).replace("\N{NO-BREAK SPACE}", " ")

        assert "| create an agent | **0.25 µs** | — (1) | 20 µs<br>(80 ×) |" in text
        assert "| memory an agent holds | **104 B** | — (1) | 3,744 B<br>(36 ×) |" in text
        assert "| simple run of a new agent | **10 µs** | — (1) | 400 µs<br>(40 ×) (2) |" in text
        assert "| tool run of a new agent: one call, two turns | **20 µs** | — (1) | — (3) |" in text
        assert "| HTTP: simple runs a second, one process | **9,000/s** | — (1) | 250/s<br>(36 ×) |" in text
        assert "(1) Agno-Go: not measured: give AGNO_GO." in text
        assert "(2) Agno: its own loop." in text
        assert "(3) Agno: failed: out of luck." in text

    def test_a_row_that_nobody_did_is_left_out(self, results: Results) -> None:
        """A row without results is left out."""
        assert "add a message" not in page(results)

    def test_what_was_measured_where(self, results: Results) -> None:
        """The date, the machine and the versions stand above the table, the methods below."""
        text = page(results)

        assert "2026-01-02" in text
        assert "a processor, 2 cores, 24 GB, Linux, CPython 3.11.7" in text
        assert "agno_rt 0.2; Agno 3.1." in text
        assert "- **Agno**: `Agent.arun`" in text

    def test_goals(self, results: Results) -> None:
        """Each goal has its result: holds, short, or not measured."""
        text = reached(results)

        assert "| simple run of a new agent | at least 30 × faster than Agno | 40 × | holds |" in text
        assert "| create an agent | at most 0.6 × Agno-Go | — | not measured |" in text
        assert "at least 70 × faster than Agno | 50 × | **short by 40 %** |" in text

    def test_verdicts_at_most(self) -> None:
        """A goal with an upper bound counts the excess time."""
        goal = Goal("run", "agno_go", at_most=0.5)

        assert verdict(goal, 2.0) == "holds"
        assert verdict(goal, 1.6) == "**short by 25 %**"

    def test_a_row_that_ours_lacks_has_another_to_compare_with(self) -> None:
        """Creating with a logger is compared with plain creating, since agno_rt has no such row."""
        results = Results(rows={"create": {"agno_rt": {"best": 2.0}}, "create_quiet": {"agno_go": {"best": 3.0}}})

        assert results.ratio("create_quiet", "agno_go") == 1.5

    def test_the_terminal_is_told_a_row_in_a_line(self, results: Results) -> None:
        """The terminal gets one line for each row."""
        row = next(row for row in ROWS if row.name == "tool")

        assert told(results, row) == "agno_rt 20 µs, agno -"

    @pytest.mark.parametrize("text", ["[]", '{"speed": 1}', "no JSON"])
    def test_a_file_of_another_kind(self, tmp_path: Path, text: str) -> None:
        """A file of another format raises an error."""
        (tmp_path / "results.json").write_text(text)

        with pytest.raises(UsageError, match="holds no results of peers"):
            Results.load(tmp_path / "results.json")


class TestMarkers:
    """The text between two markers belongs to a command, the rest to people."""

    def test_only_what_is_between_them_changes(self, tmp_path: Path) -> None:
        """Only the text between the markers changes; writing the same text again changes nothing."""
        at = tmp_path / "page.md"
        at.write_text("# Title\n\n<!-- peers:begin -->\n\nold\n<!-- peers:end -->\n\nThe rest.\n")

        assert replace_between(at, "peers", "| new |\n")
        assert at.read_text() == "# Title\n\n<!-- peers:begin -->\n\n| new |\n\n<!-- peers:end -->\n\nThe rest.\n"
        assert not replace_between(at, "peers", "| new |")
        assert replace_between(at, "peers", "")
        assert at.read_text() == "# Title\n\n<!-- peers:begin -->\n\n<!-- peers:end -->\n\nThe rest.\n"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("# Title\n", "<!-- peers:begin --> stands there 0 times"),
            ("<!-- peers:begin -->\n", "<!-- peers:end --> stands there 0 times"),
            ("<!-- peers:begin -->\n" * 2 + "<!-- peers:end -->\n", "<!-- peers:begin --> stands there 2 times"),
            ("<!-- peers:end -->\n<!-- peers:begin -->\n", "stands before"),
        ],
    )
    def test_markers_that_are_not_right(self, tmp_path: Path, text: str, message: str) -> None:
        """Wrong markers leave the page unchanged, and the error names the line to write."""
        at = tmp_path / "page.md"
        at.write_text(text)

        with pytest.raises(UsageError, match=message):
            replace_between(at, "peers", "new")

        assert at.read_text() == text

    def test_no_page(self, tmp_path: Path) -> None:
        """The error names a missing page."""
        with pytest.raises(UsageError, match=r"there is no page .*page\.md"):
            replace_between(tmp_path / "page.md", "peers", "new")


class TestCommand:
    """The command of `make peers`."""

    def test_agno_rt_itself(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        """agno_rt's own script does all its rows without a failure, and the results can be saved."""
        names = ",".join(row.name for row in ROWS if row.name not in ("create_quiet", "http", "http_two"))
        save = tmp_path / "results.json"

        assert main(["--peers", "agno_rt", "--rows", names, "--rounds", "1", "--save", str(save)]) == 0

        results, said = Results.load(save), capsys.readouterr().out
        assert [name for name in names.split(",") if results.value(name, "agno_rt") is None] == []
        assert results.value("bytes", "agno_rt") == pytest.approx(112, abs=1)
        assert "| create an agent | **" in said

    def test_agno_rt_over_http(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        """agno_rt's server answers runs under load; without wrk, a note says so."""
        save = tmp_path / "results.json"

        assert main(["--peers", "agno_rt", "--rows", "http", "--rounds", "1", "--save", str(save)]) == 0

        found = Results.load(save).rows["http"]["agno_rt"]
        if shutil.which("wrk"):
            assert found["best"] > 0, capsys.readouterr().out
        else:
            assert found == {"note": "wrk, which makes the load, is not installed"}

    def test_peers_that_are_not_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        """An absent peer is reported as not measured."""
        assert main(["--peers", "agno_go", "--rows", "run", "--rounds", "1"]) == 0

        assert "not measured" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--peers", "langraph"], "unknown peer 'langraph'"),
            (["--rows", "runs"], "unknown row 'runs'"),
            (["--agno-go", "docs"], "docs is not a program that can be run"),
        ],
    )
    def test_names_that_there_are_not(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
    ) -> None:
        """An unknown name raises an error with a hint."""
        assert main([*arguments, "--rounds", "1"]) == 1

        said = capsys.readouterr().err
        assert message in said
        assert "hint: " in said

    def test_a_page_without_markers_is_told_before_anything_is_measured(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        """A page without markers is refused before the measuring, so that no result is lost."""
        (tmp_path / "page.md").write_text("# Title\n")

        assert main([], tmp_path / "page.md", tmp_path / "results.json") == 1

        captured = capsys.readouterr()
        assert "<!-- peers:begin -->" in captured.err
        assert captured.out == ""

    def test_the_page_alone(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        """The page can be written from saved results."""
        at, results = tmp_path / "page.md", tmp_path / "results.json"
        at.write_text("<!-- peers:begin -->\n<!-- peers:end -->\n")
        assert main(["--page-only"], at, results) == 1
        assert "there are no results" in capsys.readouterr().err
        Results("2026-01-02", 7, peers={"agno": {}}, rows={"run": {"agno": {"best": 1e-3}}}).save(results)

        assert main(["--page-only"], at, results) == 0

        assert "| simple run of a new agent | 1\N{NO-BREAK SPACE}ms |" in at.read_text()

    def test_every_peer_has_a_script(self) -> None:
        """Each peer has a script and a list of requirements, except agno_rt and the compiled peer."""
        folder = Path(__file__).parents[2] / "benchmarks" / "peers"
        for kind in PEERS:
            if kind.name != "agno_go":
                assert (folder / f"{kind.name}.py").exists(), kind.name
            if kind.name not in ("agno_go", "agno_rt"):
                assert (folder / f"requirements-{kind.name}.txt").exists(), kind.name
