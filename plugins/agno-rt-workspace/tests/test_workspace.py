"""A local workspace: rooted, bounded, and rid of every process. Attacks are made, not imagined."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from agno_rt_workspace.base import Workspace, WorkspaceError
from agno_rt_workspace.commands import find_bubblewrap
from agno_rt_workspace.contract import WorkspaceContract
from agno_rt_workspace.local import LocalWorkspace
from agno_rt_workspace.settings import WorkspaceSettings, read_workspace_settings

from agno_rt.errors import ConfigError, UsageError

BUBBLEWRAP = find_bubblewrap()
needs_bubblewrap = pytest.mark.skipif(
    BUBBLEWRAP is None, reason="bubblewrap does not work on this system: bwrap --help"
)
CONFINED = [pytest.param("none"), pytest.param("bubblewrap", marks=needs_bubblewrap)]


def make(folder: Path, **settings: Any) -> LocalWorkspace:
    """Make a workspace, without bubblewrap if nothing else is said."""
    return LocalWorkspace(folder, WorkspaceSettings(**{"confine": "none", **settings}))


class TestUnconfined(WorkspaceContract):
    """The rules, without bubblewrap."""

    def make_workspace(self, folder: Path) -> Workspace:
        """Make the workspace."""
        return make(folder)


@needs_bubblewrap
class TestConfined(WorkspaceContract):
    """The rules, with bubblewrap."""

    def make_workspace(self, folder: Path) -> Workspace:
        """Make the workspace."""
        return make(folder, confine="bubblewrap")


def find_processes(word: str) -> list[str]:
    """Return the command lines of other processes with a word."""
    found = []
    for name in os.listdir("/proc"):
        try:
            line = Path(f"/proc/{name}/cmdline").read_bytes() if name.isdecimal() and int(name) != os.getpid() else b""
        except OSError:
            continue
        if word.encode() in line:
            found.append(line.replace(b"\0", b" ").decode())
    return found


async def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a bound."""
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - other processes tell nobody
            await trio.sleep(0.02)


async def wait_until_gone(word: str) -> None:
    """Wait until no process has a word in its command line."""
    await wait_for(lambda: not find_processes(word))


async def test_links_lead_nowhere(tmp_path: Path) -> None:
    """Links to files and folders, upward or within, are listed and not followed; a pipe is not a file."""
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (root / "in" / "a.txt").write_text("fine")
    (root / "file").symlink_to(tmp_path / "secret.txt")
    (root / "folder").symlink_to(tmp_path)
    (root / "inner").symlink_to("in")
    os.mkfifo(root / "pipe")
    workspace = make(root)
    listed = await workspace.list(deep=True)
    assert {each.path: each.kind for each in listed.entries} == {
        "file": "link", "folder": "link", "in": "folder", "in/a.txt": "file", "inner": "link", "pipe": "other"
    }  # fmt: skip
    for path in ("file", "folder/secret.txt", "inner/a.txt", "pipe", "in"):
        with pytest.raises(WorkspaceError, match="cannot be read"):
            await workspace.read(path)
        with pytest.raises(WorkspaceError, match="cannot be written"):
            await workspace.write(path, b"x")
    with pytest.raises(WorkspaceError):
        await workspace.list("folder")
    assert not (await workspace.search("secret")).matches
    assert (tmp_path / "secret.txt").read_text() == "secret"
    assert sorted(os.listdir(tmp_path)) == ["root", "secret.txt"]


@contextmanager
def swapping(folder: Path, outside: Path) -> Iterator[list[int]]:
    """Swap a folder for a link out, and back, as fast as a thread can. Yield the count of the swaps."""
    stop, swaps = threading.Event(), [0]

    kept = folder.with_name("kept")

    def swap() -> None:
        while not stop.is_set():
            os.rename(folder, kept)
            # The folder may be made anew meanwhile, by a write.
            with suppress(OSError):
                os.symlink(outside, folder)
            with suppress(OSError):
                os.unlink(folder)
            while kept.exists():
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):
                    os.rename(kept, folder)
            swaps[0] += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield swaps
    finally:
        stop.set()
        thread.join()


async def test_a_race_with_links_is_lost(tmp_path: Path) -> None:
    """However a folder is swapped for a link out, no call reads, lists, finds, writes or makes anything outside."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "a.txt").write_text("inside")
    outside.mkdir()
    (outside / "a.txt").write_text("secret")
    (outside / "b.txt").write_text("secret")
    workspace = make(root)
    done = refused = 0
    with swapping(root / "docs", outside) as swaps:
        end = time.monotonic() + 60
        while (swaps[0] < 100 or min(done, refused) < 10) and time.monotonic() < end:
            try:
                assert await workspace.read("docs/a.txt") == b"inside"
                await workspace.write("docs/new/c.txt", b"x")
                await workspace.write("docs/a.txt", b"inside")
                assert not any(each.path.endswith("b.txt") for each in (await workspace.list("docs")).entries)
                done += 1
            except WorkspaceError:
                refused += 1
            assert not (await workspace.search("secret")).matches
    assert min(done, refused) >= 10
    assert sorted(os.listdir(outside)) == ["a.txt", "b.txt"]
    assert (outside / "a.txt").read_text() == "secret"


async def test_denied_paths(tmp_path: Path) -> None:
    """Denied names are refused at any depth, whatever their capitals, and are neither listed nor found."""
    (tmp_path / ".git" / "hooks").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    for path in (".git/config", "a/.ENV", "a/server.pem", "a/b.txt", "c.md"):
        (tmp_path / path).write_text("word")
    workspace = make(tmp_path)
    for path in (".git/config", ".GIT/hooks/pre-commit", "a/.ENV", "a/.env", "a/server.PEM"):
        with pytest.raises(WorkspaceError, match="not open to you"):
            await workspace.read(path)
        with pytest.raises(WorkspaceError, match="not open to you"):
            await workspace.write(path, b"x")
    assert [each.path for each in (await workspace.list(deep=True)).entries] == ["a", "a/b.txt", "c.md"]
    assert [each.path for each in (await workspace.search("word")).matches] == ["a/b.txt", "c.md"]
    only = make(tmp_path, only=["*.md", "new/*"])
    assert [each.path for each in (await only.search("word")).matches] == ["c.md"]
    await only.write("new/x.txt", b"")
    with pytest.raises(WorkspaceError, match="not open"):
        await only.read("a/b.txt")


async def test_the_bounds_of_files(tmp_path: Path) -> None:
    """Files, lists and searches beyond their bounds are refused or cut by name; a refused write leaves nothing."""
    workspace = make(tmp_path, file_bytes=10, entries=3, matches=2)
    for name in "abcde":
        (tmp_path / name).write_text("x y")
    (tmp_path / "large").write_text("x" * 11)
    with pytest.raises(WorkspaceError, match="has 11 bytes, and may have 10"):
        await workspace.read("large")
    with pytest.raises(WorkspaceError, match="would have 11 bytes"):
        await workspace.write("new", b"x" * 11)
    listed = await workspace.list()
    assert (len(listed.entries), listed.cut) == (3, True)
    found = await workspace.search("x")
    assert (len(found.matches), found.cut) == (2, "2 lines")
    assert (await workspace.search("none")).cut == "3 files"
    assert (await make(tmp_path, search_seconds=1e-9).search("x")).cut == "1e-09 seconds"
    assert len(os.listdir(tmp_path)) == 6


async def test_a_write_keeps_permissions(tmp_path: Path) -> None:
    """A script stays executable; a hard link to a file outside is broken, and not written through."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "run.sh").write_text("a")
    (root / "run.sh").chmod(0o750)
    (tmp_path / "outside").write_text("kept")
    os.link(tmp_path / "outside", root / "hard")
    workspace = make(root)
    await workspace.write("run.sh", b"b")
    await workspace.write("hard", b"changed")
    assert (root / "run.sh").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "outside").read_text() == "kept"


async def test_a_read_only_workspace(tmp_path: Path) -> None:
    """A read-only workspace refuses writes, and refuses unconfined commands."""
    workspace = make(tmp_path, read_only=True)
    assert not workspace.can_write
    with pytest.raises(WorkspaceError, match="read-only"):
        await workspace.write("a.txt", b"x")
    with pytest.raises(WorkspaceError, match="only under bubblewrap"):
        await workspace.run("touch a.txt")
    assert not os.listdir(tmp_path)


@needs_bubblewrap
async def test_confinement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A confined command sees no file of the user, no key, no network, no process, and cannot write elsewhere."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setenv("API_KEY", "secret")
    workspace = make(root, confine="bubblewrap")
    lines = [
        f"cat {tmp_path}/secret.txt",
        "ls /home /root /work",
        "env",
        "touch /usr/x",
        "touch /x",
        "tail -n +3 /proc/net/dev | grep -v lo:",
        f"ls /proc | grep -x {os.getpid()}",
    ]
    done = await workspace.run("\n".join(f"{line} && echo DONE; true" for line in lines))
    assert "secret" not in done.output.replace("secret.txt", "")
    assert done.output.count("DONE") == 1, done.output  # env alone
    assert sorted(os.listdir(tmp_path)) == ["root", "secret.txt"]
    fixed = make(root, confine="bubblewrap", read_only=True)
    assert (await fixed.run("touch a.txt")).code != 0
    assert not os.listdir(root)


async def test_commands_have_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command has the settings' variables, and none of the program's."""
    monkeypatch.setenv("API_KEY", "secret")
    done = await make(tmp_path, environment={"MINE": "yes"}).run("env")
    assert "secret" not in done.output
    assert "MINE=yes\n" in done.output


@pytest.mark.parametrize("confine", CONFINED)
@pytest.mark.parametrize(
    "command",
    [
        "setsid sleep {0} >/dev/null 2>&1 & echo hi",
        "(setsid sh -c 'sleep {0} & sleep {0} & wait' &) ; nohup sleep {0} & echo hi",
        "trap '' TERM HUP INT; sleep {0} & echo hi",
    ],
)
async def test_nothing_is_left(command: str, confine: str, tmp_path: Path) -> None:
    """Background processes of a command are gone with the answer, and no descriptor is lost."""
    workspace = make(tmp_path, confine=confine)
    mark = f"1234{os.getpid()}"
    await workspace.run("true")
    gc.collect()  # files of earlier tests are not closed meanwhile
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        done = await workspace.run(command.format(mark))
        assert (done.code, done.stop) == (0, "")
        assert done.output.endswith("hi\n")
        assert (done.left > 0) == (confine == "none")
        assert not find_processes(mark)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("confine", CONFINED)
async def test_a_fork_bomb_is_killed(confine: str, tmp_path: Path) -> None:
    """Processes that multiply are killed by the limit of processes; nothing of them is left."""
    workspace = make(tmp_path, confine=confine, processes=16)
    with trio.fail_after(60):
        done = await workspace.run("b() { b | b & }; b; sleep 50")
        assert done.stop == "processes"
        await wait_until_gone("b() { b | b & }")
        assert (await workspace.run("echo fine")).output == "fine\n"


async def test_a_gigabyte_of_output_is_cut(tmp_path: Path) -> None:
    """Output beyond what is shown is left out and counted; output beyond the limit ends the command."""
    shown = make(tmp_path, shown_bytes=100, output_bytes=2_000_000_000)
    done = await shown.run("echo begin; head -c 1000000000 /dev/zero; echo end")
    assert (done.code, done.stop, done.left_out) == (0, "", 1_000_000_010 - 100)
    assert done.output.startswith("begin\n")
    assert "\n[... 999,999,910 bytes left out ...]\n" in done.output
    assert done.output.endswith("end\n")
    assert len(done.output) < 200
    done = await make(tmp_path).run("yes")
    assert (done.stop, len(done.output) < 31_000) == ("output", True)


async def test_the_bounds_of_processes(tmp_path: Path) -> None:
    """A process that takes too much memory fails, and a file that grows too large ends its writer."""
    workspace = make(tmp_path, memory_bytes=300_000_000, written_bytes=1_000)
    done = await workspace.run("python3 -c 'bytearray(400_000_000)' 2>&1 | tail -1; head -c 5000 /dev/zero > large")
    assert "MemoryError" in done.output
    assert (tmp_path / "large").stat().st_size == 1_000


async def test_a_killed_supervisor_takes_the_command_along(tmp_path: Path) -> None:
    """A command without a supervisor is killed by process group, and the answer says so."""
    mark = f"77{os.getpid()}"
    with trio.fail_after(60):
        done = await make(tmp_path).run(f"kill -9 $PPID; sleep {mark}")
        assert done.stop == "lost"
        await wait_until_gone(f"sleep\0{mark}")


@pytest.mark.parametrize("confine", CONFINED)
async def test_a_killed_program_takes_its_commands_along(confine: str, tmp_path: Path) -> None:
    """The killing of a workspace's program ends the commands, in and outside of the process group."""
    mark = f"55{os.getpid()}"
    code = (
        "import sys, trio\n"
        "from agno_rt_workspace import local, settings\n"
        "workspace = local.LocalWorkspace(sys.argv[1], settings.WorkspaceSettings(confine=sys.argv[2]))\n"
        "trio.run(workspace.run, f'setsid sleep {sys.argv[3]} & touch begun; sleep {sys.argv[3]}')\n"
    )
    program = await trio.lowlevel.open_process([sys.executable, "-c", code, str(tmp_path), confine, mark])
    try:
        await wait_for(lambda: (tmp_path / "begun").exists() and len(find_processes(f"sleep\0{mark}")) == 2)
    finally:
        program.kill()
        await program.wait()
    await wait_until_gone(mark)


async def test_commands_at_once(tmp_path: Path) -> None:
    """Commands beyond the limit wait for others, and a waiting command can be cancelled."""
    workspace = make(tmp_path, at_once=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(workspace.run, "touch begun; while [ ! -e go ]; do sleep 0.02; done; touch done")
        await wait_for((tmp_path / "begun").exists)
        with trio.move_on_after(0.2) as scope:
            await workspace.run("touch never")
        assert scope.cancelled_caught
        (tmp_path / "go").touch()
        assert (await workspace.run("ls")).output == "begun\ndone\ngo\n"


async def test_wrong_settings_and_commands(tmp_path: Path) -> None:
    """Settings out of range, unknown settings, a missing folder and empty commands are refused."""
    for wrong in ({"timeout": 0}, {"processes": "x"}, {"confine": "docker"}, {"fold": 1}):
        with pytest.raises(ConfigError):
            read_workspace_settings(wrong)
    with pytest.raises(UsageError, match="there is no folder"):
        make(tmp_path / "none")
    with pytest.raises(WorkspaceError, match="empty"):
        await make(tmp_path).run(" ")
    with pytest.raises(WorkspaceError, match="runs no commands"):
        await make(tmp_path, commands=False).run("true")


async def test_readiness_says_how_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check names the confinement, and fails where bubblewrap is asked for and missing."""
    assert make(tmp_path).check_ready().endswith("without bubblewrap")
    assert make(tmp_path, commands=False).check_ready().endswith("files alone")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkspaceError, match="bubblewrap does not work here"):
        make(tmp_path, confine="bubblewrap").check_ready()
    assert make(tmp_path, confine="auto").check_ready().endswith("without bubblewrap")
