"""The history of results: the measured commits; stored results are small and contain no secrets."""

from __future__ import annotations

import json
import math
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.history import spread
from benchmarks.site.results import Result, Row, merge, read_folder, rounded, thin, write_result
from tests.history_helpers import ROOT, Tiny, tiny_project

MACHINE = "bench-box"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tiny, subprocess.CompletedProcess[str]]:
    """Measure the history of a project; return the project and the finished process."""
    project = tiny_project(tmp_path_factory.mktemp("history"))
    return project, project.run("history", "--machine", MACHINE, "--commits", "5")


@pytest.fixture(scope="module")
def kept(measured: tuple[Tiny, object], tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Copy the project, and store its results."""
    project = Tiny(tmp_path_factory.mktemp("kept") / "project", measured[0].commits)
    shutil.copytree(measured[0].root, project.root, ignore=shutil.ignore_patterns("env"))
    done = project.run("keep", "--machine", MACHINE)
    assert done.returncode == 0, done.stderr
    return project


def assert_fit_to_keep(folder: Path) -> None:
    """Check a machine's stored results: small files, without folders or the machine's own name."""
    files = sorted(folder.glob("*.json"))
    assert len(files) <= 61, f"{folder} has {len(files)} files: run `make bench-keep`, which thins them out"
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert len(text) <= 64_000, f"{file} is large: {len(text)} characters"
        found = re.search(r'"(/|~|[A-Za-z]:\\)[^"]*"|/(home|root|tmp|usr|var)/', text)
        assert found is None, f"{file} has a path: {found}"
        assert re.search(rf"\b{re.escape(platform.node())}\b", text) is None, f"{file} has this machine's name"
        assert '"samples"' not in text
        assert '"profile"' not in text


class TestMeasuring:
    def test_what_can_be_built(self, measured: tuple[Tiny, subprocess.CompletedProcess[str]]) -> None:
        """A commit with a failing build is reported with its subject and skipped; the others are measured."""
        project, done = measured

        assert done.returncode == 0, done.stderr
        broken = project.commits[1][:8]
        assert f"passed over: {broken} (A <broken> build)" in done.stdout
        assert "Measured 2 commits." in done.stdout
        results = merge(read_folder(project.root / ".asv/results" / MACHINE))
        assert {result.commit for result in results} == {project.commits[0], project.commits[2]}

    def test_what_is_measured_is_skipped(self, measured: tuple[Tiny, subprocess.CompletedProcess[str]]) -> None:
        """A second call measures nothing again, and does not retry failures."""
        done = measured[0].run("history", "--machine", MACHINE, "--commits", "5")

        assert done.returncode == 0
        assert "Nothing to measure: 2 commits are measured already, 1 failed before (RETRY=1" in done.stdout

    def test_what_was_kept_is_skipped(self, kept: Tiny, tmp_path: Path) -> None:
        """A fresh clone does not measure commits with stored results."""
        clone = Tiny(tmp_path / "project", kept.commits)
        shutil.copytree(kept.root, clone.root, ignore=shutil.ignore_patterns(".asv"))
        done = clone.run("history", "--machine", MACHINE, "--commits", "1")

        assert "Nothing to measure: 2 commits are measured already." in done.stdout, done.stdout + done.stderr

    def test_a_regular_expression_that_finds_nothing(self, measured: tuple[Tiny, object]) -> None:
        """The error names an expression without a matching benchmark."""
        done = measured[0].run("history", "--bench", "no_such")

        assert done.returncode == 1
        assert "no benchmark's name has 'no_such'" in done.stderr

    def test_commits_are_spread_evenly(self) -> None:
        """The newest and the oldest commit are chosen, the others at even distances."""
        history = [f"c{at}" for at in range(9)]

        assert spread(history, 3) == ["c0", "c4", "c8"]
        assert spread(history, 1) == ["c0"]
        assert spread(history, 100) == history


class TestKeeping:
    def test_small_and_silent(self, kept: Tiny) -> None:
        """Stored results are numbers and the kind of machine; this repository's own results pass the check too."""
        folder = kept.root / "benchmarks/results" / MACHINE

        for one in (folder, *(ROOT / "benchmarks/results").glob("*/")):
            assert_fit_to_keep(one)
        facts = json.loads((folder / "machine.json").read_text(encoding="utf-8"))
        assert facts["machine"] == MACHINE
        assert facts["python"] == platform.python_version()
        assert facts.keys() == {"machine", "python", "version", "os", "arch", "cpu", "num_cpu", "ram"}

    def test_numbers(self, kept: Tiny) -> None:
        """Counts are exact, other numbers have four digits, failures are left out."""
        results = {result.commit: result for result in read_folder(kept.root / "benchmarks/results" / MACHINE)}

        assert set(results) == {kept.commits[0], kept.commits[2]}
        rows = results[kept.commits[0]].rows
        assert rows["sums.Sums.track_calls"].values == [24_700, 25_690]
        assert rows["sums.Sums.track_ratio_to_len"].values == [1.245, 2.235]

    def test_keeping_again_changes_nothing(self, kept: Tiny) -> None:
        """Storing the same results again changes no file."""
        folder = kept.root / "benchmarks/results" / MACHINE
        before = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
        kept.run("keep", "--machine", MACHINE)

        assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == before

    def test_what_is_not_kept(self, measured: tuple[Tiny, object]) -> None:
        """Nothing is stored for a machine without results, or under the machine's own name."""
        unknown = measured[0].run("keep", "--machine", "other")
        own = measured[0].run("keep", "--machine", platform.node())

        assert (unknown.returncode, own.returncode) == (1, 1)
        assert "make bench-history MACHINE=other" in unknown.stderr
        assert "own name" in own.stderr


class TestThinning:
    def test_the_last_then_tags_and_every_tenth(self) -> None:
        """The last thirty stay, then tagged commits and every tenth, up to sixty."""
        history = [f"c{number}" for number in range(1000, 0, -1)]
        kept = thin(set(history), history, {"c7", "c955"})

        assert kept[:30] == history[:30]
        assert kept[30:33] == ["c970", "c960", "c955"]
        assert len(kept) == 60
        assert thin({"c7", "c6"}, history, {"c7"}) == ["c7", "c6"]

    def test_what_is_in_no_history(self) -> None:
        """A commit outside of the history is dropped, unless tagged."""
        assert thin({"gone", "tagged", "c1"}, ["c2", "c1"], {"tagged"}) == ["c1", "tagged"]

    def test_growing_keeps_what_was_kept(self) -> None:
        """With new commits, every tenth commit stays the same."""
        history = [f"c{number}" for number in range(100, 0, -1)]
        before = set(thin(set(history), history, ()))
        longer = ["c103", "c102", "c101", *history]
        after = set(thin(before | set(longer[:3]), longer, ()))

        assert {commit for commit in before if int(commit[1:]) % 10 == 0} <= after


class TestResults:
    def test_written_and_read(self, tmp_path: Path) -> None:
        """A written result is read back."""
        row = Row([1.5, None], [["1", "2"]], "abc", [1.0, None], [2.0, None])
        result = Result("c" * 40, 1_000, MACHINE, "3.11", {"a.B.time_c": row}, "py3.11")
        write_result(result, tmp_path)

        assert read_folder(tmp_path) == [result]

    def test_another_format(self, tmp_path: Path) -> None:
        """The error names a file of another format."""
        (tmp_path / "x.json").write_text('{"version": 3}', encoding="utf-8")
        with pytest.raises(ValueError, match=r"x\.json"):
            read_folder(tmp_path)

    def test_merging(self) -> None:
        """For a benchmark measured twice the later result counts, unless the later one failed."""
        good, better, failed = (Row([value], [], "v") for value in (1.0, 2.0, None))

        def of(**rows: Row) -> Result:
            return Result("c" * 40, 0, MACHINE, "3.11", rows)

        assert merge([of(a=good), of(a=better, b=failed), of(a=failed)]) == [of(a=better)]
        assert merge([of(a=failed)]) == []

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (7.4539998e-06, 7.454e-06),
            (123456, 123456),
            (123456.0, 123456.0),
            (1234.56, 1235.0),
            (0, 0),
            (math.nan, None),
            (math.inf, None),
            (None, None),
        ],
    )
    def test_rounding(self, value: float | None, expected: float | None) -> None:
        """Numbers are rounded to four digits, whole numbers stay, and NaN or infinity becomes `None`."""
        assert rounded(value) == expected
