"""The performance pages: every goal has its line, every benchmark exists, and a verdict follows from the numbers."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from agno_rt_bench.goals import GOALS as QUICK_GOALS

from agno_rt.errors import UsageError
from benchmarks import page
from benchmarks.goals import Against, Goal, Measured, NotBuilt, Recorded, goals
from benchmarks.growth_table import GROWING, WHY, Growing, counts, grown, table
from benchmarks.markers import read_between
from benchmarks.one import parameters_of
from benchmarks.peers.results import Results as PeerResults
from benchmarks.peers.rows import GOALS as PEER_GOALS
from benchmarks.reach_table import Sources, amount, line, number, shortfalls
from benchmarks.reading import ROOT, Results, Value, regex

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BENCHMARK = "run.Run.track_checkpoints_a_run"
SIMPLE = Value(BENCHMARK, ("simple",))


def results_of(values: Mapping[Value, float | None]) -> Results:
    """Make results of a commit in asv's form."""
    numbers: dict[str, dict[tuple[str, ...], float | None]] = {}
    for value, found in values.items():
        numbers.setdefault(value.benchmark, {})[tuple(repr(each) for each in value.params)] = found
    return Results(numbers, COMMIT, "2026-11-24")


def goal_of(**changes: Any) -> Measured:
    """Make a goal of at most two checkpoints."""
    given = {
        "row": "run",
        "what": "simple",
        "value": Value(BENCHMARK, ("simple",)),
        "bound": 2.0,
        "unit": "checkpoints",
    }
    return Measured(**{**given, **changes})


def peers_of(best: Mapping[str, Mapping[str, float]]) -> PeerResults:
    """Make results of peers, by row and peer, in seconds or in the row's unit."""
    return PeerResults(rows={row: {peer: {"best": of} for peer, of in those.items()} for row, those in best.items()})


class TestTheGoals:
    """The goals in `goals.py`."""

    @pytest.mark.parametrize(
        "row",
        [
            *(f"create: {agent}" for agent in ("simple", "with tools", "with memory")),
            "bytes an agent",
            "simple run, new agent",
            "simple run, memory of 100 messages",
            "tool run",
            "memory add",
            "concurrent",
            "streaming",
            "team",
            "workflow",
            "knowledge",
            "durable, on SQLite, fsync on",
            "models over HTTP",
            "loading a plugin",
            "HTTP, simple run, two workers",
            "import and command line",
            "exact counts",
        ],
    )
    def test_no_row_is_missing(self, row: str) -> None:
        """Each required row has a goal."""
        assert row in {goal.row for goal in goals()}

    def test_every_goal_against_a_peer_is_there(self) -> None:
        """Each goal of the peers' table is a goal of the page."""
        assert {goal.goal for goal in goals() if isinstance(goal, Against)} == set(PEER_GOALS)

    def test_bounds_are_those_of_the_quick_table(self) -> None:
        """`agno-rt bench` and the page have the same bounds."""
        bounds = {(goal.bound, goal.unit) for goal in goals() if isinstance(goal, Measured)}
        quick = {
            (goal.bound, goal.unit) for name, goal in QUICK_GOALS.items() if name not in ("plugin", "waiting-1000")
        }

        assert quick <= bounds


def list_asv_values() -> list[Value]:
    """Return every value of asv in the goals and the rows of growth."""
    measured = [goal for goal in goals() if isinstance(goal, Measured)]
    values = [value for goal in measured for value in (goal.value, goal.over, goal.also) if value is not None]
    return values + [Value(each.benchmark, (counts(each)[-1], *each.others)) for each in GROWING]


@pytest.mark.parametrize("value", sorted(set(list_asv_values()), key=str), ids=str)
def test_every_benchmark_is_there(value: Value) -> None:
    """Each benchmark on a page exists, with the parameters of the page."""
    module, name, method = value.benchmark.split(".")
    table = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    known = parameters_of(table)

    assert callable(getattr(table, method))
    assert len(known) == len(value.params)
    assert all(given in values for given, values in zip(value.params, known, strict=True))


class TestTheLines:
    """A goal and results make a line."""

    def test_holds(self) -> None:
        """A number within its bound holds."""
        found = line(goal_of(), Sources(results_of({goal_of().value: 1.9})))

        assert (found.measured, found.verdict, found.short) == ("1.90 checkpoints", "holds", None)
        assert found.goal == "simple: at most 2 checkpoints"
        assert found.command == f"make bench BENCH={BENCHMARK}"

    @pytest.mark.parametrize(
        ("measured", "bound", "at_least", "expected"),
        [
            (2.5, 2.0, False, "**short by 25 %**"),
            (2.001, 2.0, False, "**short by 1 %**"),
            (2.0, 2.0, False, "holds"),
            (4_000.0, 5_000.0, True, "**short by 25 %**"),
            (5_000.0, 5_000.0, True, "holds"),
        ],
    )
    def test_verdicts(self, measured: float, bound: float, at_least: bool, expected: str) -> None:
        """A number beyond its bound is short by whole percents, at least one."""
        goal = goal_of(bound=bound, at_least=at_least)

        assert line(goal, Sources(results_of({goal.value: measured}))).verdict == expected

    def test_a_ratio_of_two(self) -> None:
        """A goal may be the ratio of two numbers."""
        few, many = (Value("growth.Messages.track_append", (count, "memory")) for count in (10, 100_000))
        goal = goal_of(value=many, over=few, bound=1.15, unit="x")

        assert line(goal, Sources(results_of({few: 0.1, many: 0.11}))).measured == "1.10 x"

    def test_a_number_that_is_not_there(self) -> None:
        """A missing number raises an error with the benchmark and the command, unless partial results are allowed."""
        with pytest.raises(
            UsageError, match=r"run\.Run\.track_checkpoints_a_run\('simple'\) .* was not measured"
        ) as caught:
            line(goal_of(), Sources(results_of({})))

        assert f"make bench BENCH={BENCHMARK}" in caught.value.hint
        assert line(goal_of(), Sources(results_of({}), partial=True)).verdict == "not measured"

    def test_a_benchmark_that_failed(self) -> None:
        """A failed benchmark, without a number in asv, raises an error."""
        with pytest.raises(UsageError, match="failed or was skipped"):
            line(goal_of(), Sources(results_of({goal_of().value: None})))

    def test_what_is_not_built(self) -> None:
        """A row of an unbuilt part has no result."""
        found = line(NotBuilt("team", "at most so much"), Sources(results_of({})))

        assert found.verdict == "not built yet; its benchmark comes with the part"

    def test_at_most_of_a_peer(self) -> None:
        """Both times have a fitting unit, and the ratio is ours to theirs."""
        goal = next(goal for goal in goals() if isinstance(goal, Against) and goal.goal.row == "run_history")
        peers = peers_of({"run_history": {"agno_rt": 22e-6, "agno_go": 50e-6}})
        found = line(goal, Sources(results_of({}), peers))

        assert (found.measured, found.peer, found.ratio) == ("22 µs", "Agno-Go 50 µs", "0.440 x")
        assert found.verdict == "**short by 10 %**"

    def test_at_least_as_fast_as_a_peer(self) -> None:
        """A goal of "so many times as fast" has the ratio of theirs to ours."""
        goal = next(goal for goal in goals() if isinstance(goal, Against) and goal.goal.row == "http_two")
        peers = peers_of({"http_two": {"agno_rt": 18_000}, "http": {"agno": 250}})
        found = line(goal, Sources(results_of({}), peers))

        assert (found.measured, found.peer, found.ratio) == ("18,000 runs/s", "Agno 250 runs/s", "72 x as fast")
        assert found.verdict == "holds"

    def test_a_peer_that_was_not_measured(self) -> None:
        """A missing result of a peer raises an error with the row, the peer and the command."""
        goal = next(goal for goal in goals() if isinstance(goal, Against))
        with pytest.raises(UsageError, match="'create' has no result of Agno-Go") as caught:
            line(goal, Sources(results_of({}), peers_of({})))

        assert "make peers AGNO_GO=" in caught.value.hint

    @pytest.mark.parametrize(("calls", "expected"), [(55, "holds"), (56, "holds"), (60, "**short by 7 %**")])
    def test_counts(self, calls: int, expected: str) -> None:
        """The worst count decides the verdict."""
        goal = Recorded(row="exact counts", what="Python calls", names={"simple": "a", "tool": "b"})
        sources = Sources(results_of({}), counted={"a": calls, "b": 94}, recorded={"a": 56, "b": 94})
        found = line(goal, sources)

        assert found.verdict == expected
        assert found.goal == "Python calls (simple, tool): not above the recorded 56 / 94"
        assert found.measured == f"{calls} / 94"

    def test_a_count_that_is_not_recorded(self) -> None:
        """A count without a record raises an error."""
        goal = Recorded(row="exact counts", what="Python calls", names={"simple": "a"})
        with pytest.raises(UsageError, match="the exact count a "):
            line(goal, Sources(results_of({}), counted={"a": 1}))

    def test_shortfalls_say_why(self) -> None:
        """Missed goals are listed with their reasons; goals that hold are not."""
        missed, kept = goal_of(why="Trio takes that long."), goal_of(bound=3.0)
        sources = Sources(results_of({missed.value: 2.5}))
        text = shortfalls([line(missed, sources), line(kept, sources)])

        assert text == "- **run**, simple: at most 2 checkpoints: short by 25 %. Trio takes that long."


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (0, "0"),
        (0.2694, "0.269"),
        (0.01, "0.0100"),
        (2.346, "2.35"),
        (104.0, "104"),
        (12_345, "12,345"),
        (9_876.5, "9,880"),
    ],
)
def test_numbers_have_three_digits(found: float, text: str) -> None:
    """Numbers have three digits; whole numbers are shown whole."""
    assert number(found) == text


def test_many_bytes_are_shown_in_larger_units() -> None:
    """Large numbers of bytes are shown in kB or MB."""
    assert [amount(found, "bytes") for found in (104, 44_523, 4_354_048)] == ["104 bytes", "44.5 kB", "4.35 MB"]


def test_the_regular_expression_takes_those_alone() -> None:
    """The expression matches a benchmark's name alone, with and without parameters, as asv does."""
    import re

    pattern = re.compile(regex([BENCHMARK]))

    assert pattern.search(f"{BENCHMARK}('simple')")
    assert pattern.search(BENCHMARK)
    assert not pattern.search(f"{BENCHMARK}_more")
    assert not pattern.search(f"other.{BENCHMARK}")


class TestGrowth:
    """A verdict from numbers by count."""

    @pytest.mark.parametrize(
        ("of", "numbers", "ratio", "power", "expected"),
        [
            ("one", {1: 5.0, 100: 5.0, 10_000: 5.0}, 1.0, 1.0, "the same for each"),
            ("one", {1: 1.0, 100: 100.0}, 100.0, 2.0, "**more than a straight line**"),
            ("all", {1: 12.0, 11: 32.0, 101: 212.0}, 1.0, 1.0, "a straight line"),
            ("all", {1: 10.0, 11: 110.0, 101: 10_010.0}, 10.0, 2.0, "**more than a straight line**"),
            ("all", {1: 10.0, 11: 110.0, 101: 210.0}, 0.2, 0.3, "less than a straight line"),
        ],
    )
    def test_verdicts(self, of: Any, numbers: dict[int, float], ratio: float, power: float, expected: str) -> None:
        """A fixed cost is subtracted; then the cost of one of many is compared with one of few."""
        found = grown(Growing("things", "a run", BENCHMARK, "checkpoints", of=of), numbers)

        assert found.ratio == pytest.approx(ratio)
        assert found.power == pytest.approx(power, abs=0.02)
        assert found.verdict == expected

    def test_no_reason_is_left_over(self) -> None:
        """Each reason belongs to an existing row."""
        assert WHY.keys() <= {each.benchmark for each in GROWING}

    def test_what_cannot_be_told_from_noise(self) -> None:
        """No power is computed if the most cost no more than the fewest."""
        found = grown(Growing("things", "a run", BENCHMARK, "ms", of="all"), {1: 5.0, 10: 4.9, 100: 5.1})

        assert "within the noise" in table([(found.growing, found)])


PARTS = ("reach", "shortfalls")


class TestThePages:
    """The pages in `docs/`, and the command that writes them."""

    @pytest.mark.parametrize("goal", goals(), ids=lambda goal: f"{goal.row}: {goal.what}")
    def test_every_goal_has_its_line(self, goal: Goal) -> None:
        """`docs/performance.md` has a line for each goal, with the goal's own words and its command."""
        sources = Sources(results_of({}), recorded={}, partial=True)
        wanted = line(goal, sources)
        text = (ROOT / "docs/performance.md").read_text()
        lines = [each.split(" | ") for each in text.splitlines()]
        found = [each for each in lines if each[0] == f"| {wanted.row}" and each[1].startswith(wanted.goal)]

        assert len(found) == 1, "run `make performance`"
        if wanted.command:
            assert f"\n{found[0][-1].removesuffix(' |')} `{wanted.command}`" in text

    @pytest.mark.parametrize("growing", GROWING, ids=lambda each: f"{each.thing}: {each.what}")
    def test_every_growth_has_its_line(self, growing: Growing) -> None:
        """`docs/growth.md` has a line for each row of growth."""
        text = (ROOT / "docs/growth.md").read_text()

        assert text.count(f"\n| {growing.thing} | {growing.what} |") == 1, "run `make performance`"

    @pytest.mark.parametrize(("name", "part"), [("performance.md", "shortfalls"), ("growth.md", "reasons")])
    def test_nothing_falls_short_without_a_reason(self, name: str, part: str) -> None:
        """Each shortfall on a page has a sentence with the reason."""
        text = (ROOT / "docs" / name).read_text().partition(f"{part}:begin -->")[2].partition(f"<!-- {part}:end")[0]

        for each in [listed.rstrip() for listed in text.splitlines() if listed.startswith("- **")]:
            assert each.endswith("."), f"{each}: say why, and run `make performance`"
            assert not each.endswith("%."), f"{each}: say why, and run `make performance`"

    def test_results_are_read_from_files_of_asv(self, tmp_path: Path) -> None:
        """Results of the requested commit come from asv's files; missing or failed numbers are `None`."""
        make_project(tmp_path, "here", {BENCHMARK: ([2.5, None], [["'simple'", "'tool'"]])})
        results = Results.of(COMMIT, root=tmp_path)

        assert results[Value(BENCHMARK, ("simple",), 2.0)] == 5.0
        assert results.get(Value(BENCHMARK, ("tool",))) is None

    def test_results_of_several_machines(self, tmp_path: Path) -> None:
        """With results of several machines, an error asks for the machine."""
        for machine, found in (("here", 1.0), ("there", 2.0)):
            make_project(tmp_path, machine, {BENCHMARK: ([found], [])})
        with pytest.raises(UsageError, match="results of here, there"):
            Results.of(COMMIT, root=tmp_path)

        assert Results.of(COMMIT, machine="there", root=tmp_path)[Value(BENCHMARK)] == 2.0

    def test_no_results(self, tmp_path: Path) -> None:
        """A commit without results raises an error."""
        make_project(tmp_path, "here", {})
        with pytest.raises(UsageError, match="no results of commit ffffffff"):
            Results.of("f" * 40, root=tmp_path)

    def test_a_page_is_written(self, tmp_path: Path) -> None:
        """The command writes between the markers, and reports shortfalls without a reason."""
        path = tmp_path / "performance.md"
        path.write_text("before\n" + "".join(f"<!-- {name}:{at} -->\n" for name in PARTS for at in ("begin", "end")))
        heavy = Value("create.Create.track_bytes", ("simple",))
        short = page.write_reach(path, Sources(results_of({heavy: 200.0}), partial=True))
        text = path.read_text()

        assert text.startswith("before\n")
        assert text.count("| not measured |") == len([goal for goal in goals() if not isinstance(goal, NotBuilt)]) - 1
        assert "| 200 bytes |" in text
        assert len(short) == 1
        assert "bytes an agent, simple: at most 112 bytes falls short" in short[0]

    def test_where_and_when_is_told_without_names(self) -> None:
        """A page has the day, the commit and the Python, but neither the machine's name nor a folder."""
        import platform

        text = page.measured_on(results_of({}))

        assert "2026-11-24" in text
        assert "`01234567`" in text
        assert "CPython" in text
        assert platform.node() not in text.split()
        assert "/" not in text.replace("GNU/Linux", "")

    def test_outside_a_clone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Outside of a repository there is no commit to measure."""
        from benchmarks.reading import commit

        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
        with pytest.raises(UsageError, match="no commit is checked out"):
            commit(tmp_path)


def make_project(root: Path, machine: str, found: Mapping[str, tuple[list[float | None], list[list[str]]]]) -> None:
    """Make a folder like asv's: a configuration, and a machine's results of the commit."""
    (root / "asv.conf.json").write_text(json.dumps({"results_dir": "results"}))
    folder = root / "results" / machine
    folder.mkdir(parents=True, exist_ok=True)
    rows = {name: [numbers, params] for name, (numbers, params) in found.items()}
    stored = {"result_columns": ["result", "params"], "results": rows}
    (folder / f"{COMMIT[:8]}-existing.json").write_text(json.dumps(stored))


def test_rows_of_several_days_are_all_told(tmp_path: Path) -> None:
    """Writing single rows keeps what the page says of rows that were written on another day, and their reasons."""
    copy = tmp_path / "performance.md"
    copy.write_text((ROOT / "docs/performance.md").read_text())
    before = read_between(copy, "shortfalls")
    sources = Sources(results_of({}), recorded={}, partial=True)
    page.write_reach(copy, sources, ["streaming", "loading a plugin"])
    page.write_reach(copy, sources, ["loading a plugin"])
    told = [each for each in copy.read_text().splitlines() if "are of another day: " in each]
    assert [each.split(". ")[0].partition(": ")[2] for each in told][-2:] == ["streaming", "loading a plugin"]
    assert read_between(copy, "shortfalls") == before
