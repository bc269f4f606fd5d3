"""The comparison with other frameworks: our own trials as they run today, and the page made from the logs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.compare.drive import NAMES, PAGE, RESULTS, Trial, main, try_approve, try_cancel, try_kill
from benchmarks.compare.judge import Log, calls, cell, report
from benchmarks.peers.results import Results as Peers


def told(log: Log) -> list[str]:
    """Return the lines of a log without the times."""
    return [line for _, line in log]


class TestOurOwnTrials:
    """The page's claims about agno_rt hold today: trials with real processes, one of them killed."""

    def test_a_cancelled_run_leaves_nothing(self, tmp_path: Path) -> None:
        """The asynchronous tool has cleaned up when the call returns, and the blocking tool's process is gone."""
        log = told(try_cancel(Trial("agno_rt", tmp_path), "cancel"))

        assert log.index("wait cleaned up") < log.index("returned")
        assert "the run is cancelled" in log
        assert "block began" in log
        assert "block ended" not in log

    def test_nothing_is_called_twice_after_a_kill(self, tmp_path: Path) -> None:
        """Two processes call each tool once. The model is told of the call with an unknown outcome."""
        log = try_kill(Trial("agno_rt", tmp_path))

        assert [calls(log, name) for name in ("first", "left", "right")] == [1, 1, 1]
        assert "the model is told of right that its outcome is not known" in told(log)
        assert "answered done" in told(log)

    @pytest.mark.parametrize("deciders", [1, 2])
    def test_an_approval_counts_once(self, tmp_path: Path, deciders: int) -> None:
        """Several processes approve at once: the call is made once, and the other processes get a conflict."""
        log = try_approve(Trial("agno_rt", tmp_path), deciders)
        refused = [line for line in told(log) if line.startswith("raised ")]

        assert calls(log, "pay") == 1
        assert "answered done" in told(log)
        assert len(refused) == deciders - 1
        assert all(line.startswith("raised ApprovalConflict") for line in refused)


class TestThePage:
    """`docs/comparison.md` and its sources."""

    def test_is_what_the_logs_say(self) -> None:
        """The drawn part of the page matches the stored results and the last `make peers`."""
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
        part = (
            PAGE.read_text(encoding="utf-8").partition("<!-- trials:begin -->")[2].partition("<!-- trials:end -->")[0]
        )

        assert set(results["frameworks"]) == set(NAMES)
        assert part.strip() == report(results, Peers.load()).strip(), "run `make compare ARGS=--no-run`"

    def test_names_no_folder(self) -> None:
        """The stored results name no folder of the machine."""
        text = RESULTS.read_text(encoding="utf-8")

        assert sys.prefix not in text
        assert "/tmp" not in text

    @pytest.mark.parametrize(
        ("trial", "log", "expected"),
        [
            (
                "cancel",
                [(0.1, "cancel"), (0.3, "wait cleaned up"), (0.3, "returned"), (2.0, "block ended")],
                "back after 0.2 s; the asynchronous tool has cleaned up, the blocking one runs on for 1.7 s",
            ),
            (
                "cancel",
                [(0.1, "cancel"), (0.1, "returned"), (0.3, "wait cleaned up")],
                "back after 0.0 s; the asynchronous tool has not cleaned up, the blocking one is stopped",
            ),
            (
                "cancel_by_id",
                [(0.1, "cancel"), (5.1, "not back after 5 s"), (5.1, "returned")],
                "not back after 5 s; the asynchronous tool still runs",
            ),
            ("kill", [(0.0, "first called"), (1.0, "killed")], "not resumed; calls: `first` 1, `left` 0, `right` 0"),
            ("approve", [(0.0, "pay called"), (0.1, "pay called"), (0.2, "pay called")], "`pay` called 3 times"),
            ("approve_twice", [(0.0, "process over")], "`pay` called never"),
        ],
    )
    def test_words_of_a_log(self, trial: str, log: Log, expected: str) -> None:
        """A cell tells the content of the log, good or bad."""
        assert cell(trial, log) == expected

    def test_a_framework_that_is_not_known(self, capsys: pytest.CaptureFixture[str]) -> None:
        """An unknown framework is an error before anything starts."""
        with pytest.raises(SystemExit):
            main(["autogen"])

        assert "unknown framework 'autogen'" in capsys.readouterr().err
