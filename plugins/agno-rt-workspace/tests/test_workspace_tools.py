"""The tools of a workspace: a model's view of files and commands, the notes for approvals, and the approvals."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from agno_rt_workspace import make_toolkit
from agno_rt_workspace.local import LocalWorkspace
from agno_rt_workspace.settings import WorkspaceSettings
from agno_rt_workspace.toolkit import workspace_tools

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.errors import ConfigError, UsageError
from agno_rt.plugins import PluginHost
from agno_rt.readiness import check_ready
from agno_rt.testing import CancelPoint, ScriptedModel, cancel_everywhere
from agno_rt.tools import Toolkit

FREE = {"approve": "none", "confine": "none"}


def call(name: str, **arguments: Any) -> ToolCall:
    """Call a tool."""
    return ToolCall("1", name, msgspec.json.encode(arguments).decode())


async def use(toolkit: Toolkit, *calls: ToolCall) -> list[str]:
    """Run an agent that makes these calls, and return the results."""
    async with Runtime() as rt:
        result = await rt.run(Agent(ScriptedModel([*calls, "done"]), tools=[toolkit]), "?")
    return [message.text for message in result.messages if message.role == "tool"]


def has_process(word: str) -> bool:
    """Return whether a process has a word in its command line."""
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if word.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                return True
    return False


async def test_a_model_works_in_a_folder(tmp_path: Path) -> None:
    """A model writes, edits, lists, searches, reads and runs."""
    results = await use(
        make_toolkit(str(tmp_path), FREE),
        call("list_files"),
        call("write_file", path="a/b.txt", text="one\ntwo\nthree\n"),
        call("edit_file", path="a/b.txt", old="two", new="2"),
        call("read_file", path="a/b.txt"),
        call("read_file", path="a/b.txt", start=2, lines=1),
        call("search_files", text="THREE", pattern="*.txt"),
        call("list_files", deep=True),
        call("run_command", command="wc -l < a/b.txt; sleep 50 & exit 3"),
        call("run_command", command="sleep 50", timeout=0.2),
    )
    assert results == [
        "The folder is empty.",
        "a/b.txt is written: 14 bytes.",
        "a/b.txt is changed in 1 place.",
        "one\n2\nthree\n",
        "2\n[... a/b.txt has 3 lines; these are 2 to 2]",
        "a/b.txt:3: three",
        "a/\na/b.txt 12 bytes",
        "3\n[exit code 3]\n[still there, and ended: 1 process]",
        "[killed: it took longer than its time limit]",
    ]


async def test_refusals_are_told_and_the_run_goes_on(tmp_path: Path) -> None:
    """A refused path, text or argument is an answer to the model with a way on."""
    (tmp_path / "bin").write_bytes(b"\0")
    (tmp_path / "long.txt").write_text("x" * 50_000)
    results = await use(
        make_toolkit(str(tmp_path), FREE),
        call("read_file", path="../x"),
        call("read_file", path="bin"),
        call("read_file", path="none.txt"),
        call("read_file", path="long.txt", start=7),
        call("edit_file", path="long.txt", old="xx", new="y"),
        call("write_file", path=".env", text=""),
        call("search_files", text="nothing"),
        call("read_file", path="long.txt"),
    )
    told = [
        "leads outside",
        "is not a text",
        "No such file",
        "has 1 lines",
        "times, in lines 1",
        "not open to you",
        "No line has this text.",
        "cut after 40,000 characters",
    ]
    assert len(results) == len(told)
    for result, part in zip(results, told, strict=True):
        assert part in result


NOTES = {
    # name: read-only, destructive
    "read_file": (True, False),
    "list_files": (True, False),
    "search_files": (True, False),
    "write_file": (False, True),
    "edit_file": (False, True),
    "run_command": (False, True),
}


@pytest.mark.parametrize(
    ("approve", "asking"),
    [
        ("none", set()),
        ("run", {"run_command"}),
        ("destructive", {"write_file", "edit_file", "run_command"}),
        ("all", set(NOTES)),
    ],
)
def test_notes_and_approvals(approve: str, asking: set[str], tmp_path: Path) -> None:
    """Each tool has its notes; the setting chooses the tools that wait for a person."""
    tools = make_toolkit(str(tmp_path), {"approve": approve}).tools
    assert {each.name: (each.read_only, each.destructive) for each in tools} == NOTES
    assert {each.name for each in tools if each.pauses} == asking


def test_a_workspace_without_changes_or_commands(tmp_path: Path) -> None:
    """Tools that the workspace would always refuse are not there; a wrong word for approvals is refused."""
    names = [each.name for each in make_toolkit(str(tmp_path), {"read_only": True, "commands": False}).tools]
    assert names == ["read_file", "list_files", "search_files"]
    with pytest.raises(ConfigError):
        make_toolkit(str(tmp_path), {"approve": "some"})
    with pytest.raises(UsageError, match="approve is 'some'"):
        workspace_tools(LocalWorkspace(tmp_path), approve="some")  # type: ignore[arg-type]


async def test_a_destructive_call_waits_for_a_person(tmp_path: Path) -> None:
    """By default a write waits, and happens when it is approved; a denied command never runs."""
    toolkit = make_toolkit(str(tmp_path), {"confine": "none"})
    calls = [call("write_file", path="a.txt", text="x"), call("run_command", command="touch b.txt")]
    async with Runtime() as rt:
        agent = Agent(ScriptedModel([*calls, "done"]), name="coder", tools=[toolkit])
        first = await rt.run(agent, "?")
        assert first.status == "paused"
        assert not os.listdir(tmp_path)
        await rt.approve(first.approvals[0].id)
        second = await rt.resume(first.run_id)
        assert second.status == "paused"
        await rt.deny(second.approvals[0].id)
        last = await rt.resume(first.run_id)
    assert last.content == "done"
    assert os.listdir(tmp_path) == ["a.txt"]


async def test_the_spec_string(tmp_path: Path) -> None:
    """`workspace:FOLDER` is the toolkit, with [plugins.workspace]; readiness says how commands run."""
    settings = {"workspace": {"confine": "none", "approve": "all"}}
    toolkit = PluginHost().tool(f"workspace:{tmp_path}", settings)
    assert toolkit.name == f"workspace:{tmp_path}"
    async with Runtime(settings=settings) as rt:
        found = await check_ready(rt, Agent(ScriptedModel([]), tools=[f"workspace:{tmp_path}"]), memory=False)
    assert f"{tmp_path}: commands run with your rights, without bubblewrap" in [each.message for each in found]
    with pytest.raises(UsageError, match="no folder"):
        PluginHost().tool(f"workspace:{tmp_path}/none", {})


def test_a_cancelled_edit_has_happened_or_not(tmp_path: Path) -> None:
    """Wherever an edit is cancelled, the file has the old text or the new, and nothing is beside it."""

    async def change(point: CancelPoint) -> None:
        (tmp_path / "a.txt").write_text("old " * 100)
        [edit] = [each for each in make_toolkit(str(tmp_path), FREE).tools if each.name == "edit_file"]
        with point:
            await edit("a.txt", "old ", "new ", every=True)
        text = (tmp_path / "a.txt").read_text()
        assert text in ("old " * 100, "new " * 100)
        assert point.cancelled or text.startswith("new")
        assert os.listdir(tmp_path) == ["a.txt"]

    cancel_everywhere(change, at_least=3)


def test_a_command_cancelled_anywhere_is_gone(tmp_path: Path) -> None:
    """Wherever a command is cancelled, it is gone when the cancellation has passed, with its background."""

    async def run(point: CancelPoint) -> None:
        workspace = LocalWorkspace(tmp_path, WorkspaceSettings(confine="none"))
        mark = f"66{os.getpid()}"
        with point:
            done = await workspace.run(f"setsid sleep {mark} & echo hi; sleep 0.05")
            assert done.output == "hi\n"
        assert not has_process(mark)

    cancel_everywhere(run, at_least=10)


async def test_two_agents_share_a_workspace(tmp_path: Path) -> None:
    """Of edits that cross, one is refused, and none is lost without a word."""
    (tmp_path / "a.txt").write_text("0")
    workspace = LocalWorkspace(tmp_path)
    done, refused = 0, 0

    async def add(number: int) -> None:
        nonlocal done, refused
        before = await workspace.read("a.txt")
        await trio.lowlevel.checkpoint()
        try:
            await workspace.write("a.txt", before + b"x", expected=before)
            done += 1
        except UsageError:
            refused += 1

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(add, number)
    assert (tmp_path / "a.txt").read_text() == "0" + "x" * done
    assert done + refused == 10
    assert done >= 1
