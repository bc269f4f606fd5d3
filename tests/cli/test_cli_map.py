"""`agno-rt map`: the inputs of a file, results that a later call adds to, and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]


def results(path: Path) -> dict[int, dict[str, Any]]:
    """Return the results in a file by their lines, and check that each line is there once."""
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    by_line = {result["line"]: result for result in found}
    assert len(by_line) == len(found)
    return by_line


def test_each_input_has_its_result(agno: Agno, project: Path) -> None:
    """A result has the number and the content of its input's line, with all fields beside the input."""
    (project / "in.jsonl").write_text('"one"\n\n{"input": "two", "id": 7}\n', encoding="utf-8")
    done = agno("map", "echo", "in.jsonl", "-o", "out.jsonl")
    found = results(project / "out.jsonl")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "2 of 2 completed.\n")
    assert {at: result["content"] for at, result in found.items()} == {1: "1: one", 3: "1: two"}
    assert found[3]["given"] == {"input": "two", "id": 7}
    assert found[1]["usage"]["output_tokens"] == 3


def test_a_text_file_has_an_input_a_line(agno: Agno, project: Path) -> None:
    """In a .txt file each line is an input; standard output gets results only."""
    (project / "in.txt").write_text('one\n"two"\n', encoding="utf-8")
    done = agno("map", "echo", "in.txt", "-o", "-", "-n", "1")

    assert [json.loads(line)["content"] for line in done.stdout.splitlines()] == ["1: one", '1: "two"']


def test_reads_standard_input(agno: Agno) -> None:
    """`-` reads standard input."""
    done = agno("map", "echo", "-", "-o", "-", input='"one"\n')

    assert json.loads(done.stdout)["content"] == "1: one"


def test_goes_on_where_it_was_left(agno: Agno, project: Path) -> None:
    """Completed inputs are skipped; failed, changed and half-written ones are asked again."""
    (project / "in.jsonl").write_text('"one"\n"two"\n"three"\n', encoding="utf-8")
    agno("map", "echo", "in.jsonl", "-o", "out.jsonl")
    before = results(project / "out.jsonl")
    lines = [json.dumps(before[1]), json.dumps({**before[2], "status": "failed"}), json.dumps(before[3])[:20]]
    (project / "out.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (project / "out.jsonl").chmod(0o640)

    done = agno("map", "echo", "in.jsonl", "-o", "out.jsonl")
    after = results(project / "out.jsonl")

    assert done.stderr == "3 of 3 completed, 1 of them before.\n"
    assert after[1]["run_id"] == before[1]["run_id"]
    assert all(after[at]["run_id"] != before[at]["run_id"] for at in (2, 3))
    assert os.stat(project / "out.jsonl").st_mode & 0o777 == 0o640


def test_an_input_that_was_changed_is_asked_again(agno: Agno, project: Path) -> None:
    """A result belongs to the content of a line, not to its number."""
    (project / "in.jsonl").write_text('"one"\n', encoding="utf-8")
    agno("map", "echo", "in.jsonl", "-o", "out.jsonl")
    (project / "in.jsonl").write_text('"two"\n', encoding="utf-8")
    agno("map", "echo", "in.jsonl", "-o", "out.jsonl")

    assert results(project / "out.jsonl")[1]["content"] == "1: two"


def test_failures_are_kept_and_told(agno: Agno, project: Path) -> None:
    """Each failure is a result with its error; the first is reported, and the exit code is 1."""
    (project / "in.jsonl").write_text('"one"\n"two"\n', encoding="utf-8")
    done = agno("map", "failing", "in.jsonl", "-o", "out.jsonl", "-n", "1")

    assert done.returncode == 1
    assert done.stderr == (
        "0 of 2 completed.\nerror: 2 failed; line 1: the service is down\n"
        "hint: Run the same command again to retry the failed inputs.\n"
    )
    assert {result["error"]["code"] for result in results(project / "out.jsonl").values()} == {"model"}


def test_fail_fast_ends_with_the_first_failure(agno: Agno, project: Path) -> None:
    """The first failure ends the command with the same message as in `run`."""
    (project / "in.jsonl").write_text('"one"\n"two"\n', encoding="utf-8")
    done = agno("map", "failing", "in.jsonl", "-o", "out.jsonl", "--fail-fast")

    assert done.returncode == 1
    assert done.stderr == "error: the service is down\nhint: Try later.\n"


def test_ctrl_c_keeps_what_is_there(project: Path, started: Callable[..., subprocess.Popen[str]]) -> None:
    """Ended runs are stored; the same command goes on with the rest."""
    (project / "in.jsonl").write_text('"one"\n"wait"\n', encoding="utf-8")
    process = started("map", "slow", "in.jsonl", "-o", "out.jsonl")
    while not (project / "out.jsonl").exists() or b"\n" not in (project / "out.jsonl").read_bytes():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert said == "1 of 2 completed.\nRun the same command again to go on with the rest.\n"
    assert results(project / "out.jsonl").keys() == {1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nothing\n", "in.jsonl:1 is not an input: JSON is malformed"),
        ('"one"\n{"text": "two"}\n', "in.jsonl:2 is not an input"),
        ('"one"\n" "\n', "in.jsonl:2 is not an input"),
        ('"one"\n"\\ud800"\n', "in.jsonl:2 is not an input"),
    ],
)
def test_lines_that_are_not_inputs(agno: Agno, project: Path, content: str, message: str) -> None:
    """The first faulty line is named before anything is asked or written."""
    (project / "in.jsonl").write_text(content, encoding="utf-8")
    done = agno("map", "echo", "in.jsonl", "-o", "out.jsonl")

    assert done.returncode == 2
    assert message in done.stderr
    assert not (project / "out.jsonl").exists()


def test_a_file_of_something_else_is_left_alone(agno: Agno, project: Path) -> None:
    """A file without results is an error, and stays as it was."""
    (project / "in.jsonl").write_text('"one"\n', encoding="utf-8")
    (project / "notes.txt").write_text("mine\n", encoding="utf-8")
    done = agno("map", "echo", "in.jsonl", "-o", "notes.txt")

    assert done.returncode == 2
    assert "notes.txt:1 is not a result of `agno-rt map`" in done.stderr
    assert (project / "notes.txt").read_text(encoding="utf-8") == "mine\n"


@pytest.mark.parametrize("path", ["nowhere.jsonl", "."])
def test_a_file_that_cannot_be_read(agno: Agno, path: str) -> None:
    """An unreadable file is named."""
    done = agno("map", "echo", path, "-o", "out.jsonl")

    assert done.returncode == 2
    assert f"{path} cannot be read" in done.stderr
