"""The gate fails for a grown count, unless the baseline changed too, with a new reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import gate

Run = Callable[..., int]
Write = Callable[..., None]
CALLS = "run.Run.track_python_calls(tool)"
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    """Make the path of a baseline, in a repository without a commit."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    return tmp_path / "baseline.toml"


@pytest.fixture
def run(baseline: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the gate on made-up counts and return its exit code."""

    def hold(*options: str, **counts: int) -> int:
        given = baseline.with_name("counts.json")
        given.write_text(json.dumps({name: [value, "calls"] for name, value in counts.items()}))
        return gate.main(["--baseline", str(baseline), "--measured", str(given), *options])

    return hold


@pytest.fixture
def write(baseline: Path) -> Write:
    """Write the baseline by hand, like a person."""

    def lay_down(version: str = VERSION, reason: str = "as first counted", **counts: int) -> None:
        tables = [
            f'["{version}"."{name}"]\nvalue = {value}\nunit = "calls"\nreason = "{reason}"\n'
            for name, value in counts.items()
        ]
        baseline.write_text("\n".join(tables))

    return lay_down


def git(folder: Path, *arguments: str) -> None:
    """Run git in the folder, as a made-up user."""
    somebody = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *somebody, *arguments], cwd=folder, check=True)


def commit(baseline: Path) -> None:
    """Commit the baseline."""
    git(baseline.parent, "add", baseline.name)
    git(baseline.parent, "commit", "--quiet", "--message", "baseline")


class TestHold:
    """Measured counts against the recorded ones."""

    def test_the_same(self, run: Run, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
        """Counts equal to the record pass, even in a repository without a commit."""
        write(one=94, two=1)

        assert run(one=94, two=1) == 0
        assert "2 exact counts hold" in capsys.readouterr().out

    def test_without_a_repository(self, run: Run, write: Write, baseline: Path) -> None:
        """Without git the gate skips the comparison with earlier commits."""
        (baseline.parent / ".git").rename(baseline.parent / "no-git")
        write(one=94)

        assert run(one=94) == 0

    def test_grown(self, run: Run, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
        """A grown count fails; the message has both values and the remedy."""
        write(one=94, two=1)

        assert run(one=97, two=1) == 1
        told = capsys.readouterr().err
        assert "one: 94 calls recorded, 97 measured: it grew by 3" in told
        assert "--record" in told
        assert "two" not in told

    def test_fallen(self, run: Run, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
        """A fallen count passes; the message asks for a new record."""
        write(one=94)

        assert run(one=90) == 0
        assert "one fell from 94 to 90 calls" in capsys.readouterr().out

    def test_one_that_is_not_recorded(self, run: Run, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
        """A new count without a record fails."""
        write(one=94)

        assert run(one=94, new=3) == 1
        assert "new: 3 calls measured, none recorded" in capsys.readouterr().err

    def test_one_that_is_measured_no_more(self, run: Run, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
        """A recorded count without a measurement fails."""
        write(one=94, gone=3)

        assert run(one=94) == 1
        assert "gone: recorded, but measured no more" in capsys.readouterr().err

    def test_another_unit(self, run: Run, write: Write, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Values of different units are not compared, and fail."""
        write(one=94)
        baseline.write_text(baseline.read_text().replace("calls", "bytes"))

        assert run(one=10) == 1
        assert "one: measured in calls, recorded in bytes" in capsys.readouterr().err

    def test_without_a_reason(self, run: Run, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
        """A record without a reason fails."""
        write(reason=" ", one=94)

        assert run(one=94) == 1
        assert "one: recorded without a reason" in capsys.readouterr().err

    @pytest.mark.parametrize("text", ["= 3", "one = 3", '["3.11".one]\nvalue = 3'])
    def test_no_baseline_but_something_else(
        self, run: Run, baseline: Path, capsys: pytest.CaptureFixture[str], text: str
    ) -> None:
        """A malformed baseline is an error with the file's name."""
        baseline.write_text(text)

        assert run(one=94) == 2
        assert f"{baseline} is not a baseline" in capsys.readouterr().err


class TestVersions:
    """Each minor version of Python counts differently."""

    @pytest.mark.parametrize("ci", ["true", ""])
    def test_no_baseline_for_this_one(
        self, run: Run, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str
    ) -> None:
        """Without a baseline for the version the gate passes with a note; in CI, Python 3.11 fails."""
        monkeypatch.setenv("CI", ci)
        write(version="2.7", one=1)

        assert run(one=94) == (1 if ci and VERSION == "3.11" else 0)
        assert f"no baseline for Python {VERSION}" in capsys.readouterr().out

    def test_recording_keeps_the_others(self, run: Run, write: Write, baseline: Path) -> None:
        """Recording keeps the baselines of other versions."""
        write(version="2.7", one=1)

        assert run("--record", "why", one=94) == 0
        assert gate.read(baseline) == {
            "2.7": {"one": gate.Entry(1, "calls", "as first counted")},
            VERSION: {"one": gate.Entry(94, "calls", "why")},
        }


class TestCommits:
    """The record against earlier commits."""

    def test_grown_with_a_new_reason(self, run: Run, write: Write, baseline: Path) -> None:
        """A raised record with a new reason passes, before and after the commit."""
        write(one=94)
        commit(baseline)
        write(reason="tools have a deadline", one=97)

        assert run(one=97) == 0
        commit(baseline)
        assert run(one=97) == 0

    def test_grown_with_the_same_reason(
        self, run: Run, write: Write, baseline: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A raised record with the old reason fails, before and after the commit."""
        write(one=94)
        commit(baseline)
        write(one=97)

        assert run(one=97) == 1
        told = capsys.readouterr().err
        assert "one: recorded as 94 calls at HEAD and as 97 now, with the same reason" in told
        commit(baseline)
        assert run(one=97) == 1
        assert "at HEAD^ and as 97 now" in capsys.readouterr().err

    def test_grown_some_commits_ago(self, run: Run, write: Write, baseline: Path) -> None:
        """A branch of many commits is compared with its beginning."""
        write(one=94)
        commit(baseline)
        git(baseline.parent, "update-ref", "refs/remotes/origin/main", "HEAD")
        for more in (0, 1):
            write(one=97, two=more)
            commit(baseline)
        git(baseline.parent, "commit", "--quiet", "--allow-empty", "--message", "something else")

        assert run(one=97, two=1) == 1

    def test_lowered(self, run: Run, write: Write, baseline: Path) -> None:
        """A lowered record may keep its reason."""
        write(one=94)
        commit(baseline)
        write(one=90)

        assert run(one=90) == 0


class TestRecord:
    """`--record "why"`."""

    def test_what_changed_gets_the_reason(
        self, run: Run, write: Write, baseline: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """New values get the reason, the others keep theirs, and values without a measurement are dropped."""
        write(same=1, grown=94, fallen=5, gone=2)

        assert run("--record", 'a "quoted" reason — ü', same=1, grown=97, fallen=4, **{CALLS: 3}) == 0
        entries = gate.read(baseline)[VERSION]
        assert {name: entry.value for name, entry in entries.items()} == {"same": 1, "grown": 97, "fallen": 4, CALLS: 3}
        assert entries["same"].reason == "as first counted"
        assert {entries[name].reason for name in ("grown", "fallen", CALLS)} == {'a "quoted" reason — ü'}
        assert "grown: 94 -> 97 calls" in capsys.readouterr().out
        assert run(same=1, grown=97, fallen=4, **{CALLS: 3}) == 0

    def test_without_a_reason(self, run: Run, baseline: Path) -> None:
        """Recording without a reason fails."""
        assert run("--record", " ", one=94) == 2
        assert not baseline.exists()


def test_the_command(run: Run, write: Write, baseline: Path) -> None:
    """`make gate` and CI get the exit code of the gate."""
    write(one=94)
    run(one=97)
    command = [sys.executable, "-m", "benchmarks.gate", "--baseline", str(baseline)]
    done = subprocess.run(
        [*command, "--measured", str(baseline.with_name("counts.json"))],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "one: 94 calls recorded, 97 measured" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_baseline_that_ships() -> None:
    """The shipped baseline is readable, covers the Python version of CI, and has a reason for each record."""
    entries = gate.read(gate.BASELINE)["3.11"]

    assert CALLS in entries
    assert all(entry.reason.strip() for entry in entries.values())
