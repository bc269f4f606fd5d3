"""The rules of workspaces as tests. Subclass `WorkspaceContract`, override `make_workspace`, and run pytest.

The tests are synchronous and call `trio.run` themselves, so they need no pytest plugin.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from agno_rt_workspace.base import Entry, Workspace, WorkspaceError

__all__ = ["WorkspaceContract"]

OUTSIDE = ("../out.txt", "/etc/passwd", "a/../../out.txt", "~/out.txt", "a\\..\\out.txt", "a\0b", "..", "x" * 300)
_SECONDS = 60.0


class WorkspaceContract:
    """Rules for every workspace. Override `make_workspace`; set `runs` to False for a workspace without commands.

    The workspace must let the tests write, and its commands must be those of a POSIX shell.
    """

    runs = True

    def make_workspace(self, folder: Path) -> Workspace:
        """Make an empty workspace. `folder` is an empty folder of the test, for a workspace on this machine."""
        raise NotImplementedError("override make_workspace")

    def test_a_file_is_what_was_written(self, tmp_path: Path) -> None:
        """A file has the written bytes, in folders that were made; a second write replaces the first."""

        async def check(workspace: Workspace) -> None:
            data = bytes(range(256)) * 10
            await workspace.write("a/b/c.bin", data)
            assert await workspace.read("a/b/c.bin") == data
            await workspace.write("a/b/c.bin", b"")
            assert await workspace.read("./a//b/c.bin") == b""
            await workspace.write("é ü.txt", b"x")
            assert await workspace.read("é ü.txt") == b"x"

        self._check(tmp_path, check)

    def test_a_list_has_each_entry_once(self, tmp_path: Path) -> None:
        """A list is by path; `deep` has the folders below, each before its entries."""

        async def check(workspace: Workspace) -> None:
            assert not (await workspace.list()).entries
            for path in ("b.txt", "a/x.txt", "a/y/z.txt", "c/d.txt"):
                await workspace.write(path, b"12345")
            flat = await workspace.list()
            assert [(each.path, each.kind, each.size) for each in flat.entries] == [
                ("a", "folder", 0),
                ("b.txt", "file", 5),
                ("c", "folder", 0),
            ]
            deep = await workspace.list("a", deep=True)
            assert [each.path for each in deep.entries] == ["a/x.txt", "a/y", "a/y/z.txt"]
            assert not deep.cut

        self._check(tmp_path, check)

    def test_a_write_may_expect(self, tmp_path: Path) -> None:
        """With `expected`, a file with other content stays unchanged, and a missing file stays missing."""

        async def check(workspace: Workspace) -> None:
            with pytest.raises(WorkspaceError):
                await workspace.write("a.txt", b"2", expected=b"1")
            await workspace.write("a.txt", b"1")
            with pytest.raises(WorkspaceError):
                await workspace.write("a.txt", b"3", expected=b"2")
            assert await workspace.read("a.txt") == b"1"
            await workspace.write("a.txt", b"2", expected=b"1")
            assert await workspace.read("a.txt") == b"2"

        self._check(tmp_path, check)

    def test_of_many_writers_one_wins(self, tmp_path: Path) -> None:
        """Of ten tasks with the same expectation, a single task writes; a reader never sees half a file."""

        async def check(workspace: Workspace) -> None:
            await workspace.write("a.txt", b"0")
            won = list[bytes]()
            seen = set[bytes]()

            async def change(data: bytes) -> None:
                try:
                    await workspace.write("a.txt", data, expected=b"0")
                except WorkspaceError:
                    return
                won.append(data)

            async def look() -> None:
                for _ in range(20):
                    seen.add(await workspace.read("a.txt"))

            written = [str(number).encode() * 5_000 for number in range(1, 11)]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(look)
                for data in written:
                    nursery.start_soon(change, data)
            assert len(won) == 1
            assert await workspace.read("a.txt") == won[0]
            assert seen <= {b"0", won[0]}

        self._check(tmp_path, check)

    def test_no_path_leads_outside(self, tmp_path: Path) -> None:
        """Each method refuses paths outside and impossible paths."""

        async def check(workspace: Workspace) -> None:
            for path in OUTSIDE:
                for call in (workspace.read, workspace.list, workspace.look, workspace.delete, workspace.make_folder):
                    with pytest.raises(WorkspaceError):
                        await call(path)
                with pytest.raises(WorkspaceError):
                    await workspace.write(path, b"x")
                with pytest.raises(WorkspaceError):
                    await workspace.search("x", path)

        self._check(tmp_path, check)

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        """A missing file, a folder in place of a file and a file in place of a folder are refused with a reason."""

        async def check(workspace: Workspace) -> None:
            await workspace.write("a/b.txt", b"")
            for path in ("none.txt", "a", "a/b.txt/c", ""):
                with pytest.raises(WorkspaceError) as caught:
                    await workspace.read(path)
                assert caught.value.message
            for path in ("a", "a/b.txt/c", ""):
                with pytest.raises(WorkspaceError):
                    await workspace.write(path, b"x")
            for path in ("none", "a/b.txt"):
                with pytest.raises(WorkspaceError):
                    await workspace.list(path)

        self._check(tmp_path, check)

    def test_a_file_may_have_to_be_new(self, tmp_path: Path) -> None:
        """With `exclusive`, a file that is there stays; of ten writers, a single one makes the file."""

        async def check(workspace: Workspace) -> None:
            await workspace.write("a/b.txt", b"1", exclusive=True)
            for path in ("a/b.txt", "a"):
                with pytest.raises(WorkspaceError):
                    await workspace.write(path, b"2", exclusive=True)
            assert await workspace.read("a/b.txt") == b"1"
            made = list[bytes]()

            async def make(data: bytes) -> None:
                try:
                    await workspace.write("c.txt", data, exclusive=True)
                except WorkspaceError:
                    return
                made.append(data)

            async with trio.open_nursery() as nursery:
                for number in range(10):
                    nursery.start_soon(make, str(number).encode())
            assert made == [await workspace.read("c.txt")]
            assert [each.path for each in (await workspace.list()).entries] == ["a", "c.txt"]

        self._check(tmp_path, check)

    def test_a_file_is_looked_at_and_deleted(self, tmp_path: Path) -> None:
        """A look tells files, folders and nothing apart. Files alone are deleted; other files stay."""

        async def check(workspace: Workspace) -> None:
            for path in ("a/b.txt", "a/c.txt"):
                await workspace.write(path, b"12345")
            assert await workspace.look("a/b.txt") == Entry("a/b.txt", "file", 5)
            assert await workspace.look("a") == Entry("a", "folder")
            assert await workspace.look("") == Entry("", "folder")
            for path in ("none", "none/b.txt", "a/b.txt/c"):
                assert await workspace.look(path) is None
            await workspace.delete("a/b.txt")
            assert await workspace.look("a/b.txt") is None
            for path in ("a/b.txt", "a", "", "none"):
                with pytest.raises(WorkspaceError):
                    await workspace.delete(path)
            assert [each.path for each in (await workspace.list("a")).entries] == ["a/c.txt"]

        self._check(tmp_path, check)

    def test_a_folder_is_made(self, tmp_path: Path) -> None:
        """A folder is made with the folders above, once; a file in its place is refused."""

        async def check(workspace: Workspace) -> None:
            assert await workspace.make_folder("a/b/c")
            assert not await workspace.make_folder("a/b")
            assert not await workspace.make_folder("")
            assert [each.path for each in (await workspace.list("", deep=True)).entries] == ["a", "a/b", "a/b/c"]
            await workspace.write("a/x", b"")
            for path in ("a/x", "a/x/y"):
                with pytest.raises(WorkspaceError):
                    await workspace.make_folder(path)

        self._check(tmp_path, check)

    def test_a_search_finds_lines(self, tmp_path: Path) -> None:
        """A search is literal, without regard to capitals, over the folders below and the files that fit."""

        async def check(workspace: Workspace) -> None:
            await workspace.write("a/one.py", b"x\nTODO: (this)\n")
            await workspace.write("two.txt", b"todo: (that)")
            await workspace.write("three.bin", b"\0todo: (")
            found = await workspace.search("todo: (")
            assert [(each.path, each.line, each.text) for each in found.matches] == [
                ("a/one.py", 2, "TODO: (this)"),
                ("two.txt", 1, "todo: (that)"),
            ]
            assert [each.path for each in (await workspace.search("todo", "", "*.txt")).matches] == ["two.txt"]
            assert [each.path for each in (await workspace.search("todo", "a")).matches] == ["a/one.py"]
            assert not (await workspace.search("nothing")).matches
            for text in ("", " ", "a\nb"):
                with pytest.raises(WorkspaceError):
                    await workspace.search(text)

        self._check(tmp_path, check)

    def test_a_command_runs_in_the_folder(self, tmp_path: Path) -> None:
        """A command sees the files, has no input, and gives output, errors and exit code."""

        async def check(workspace: Workspace) -> None:
            await workspace.write("a.txt", b"hello\n")
            done = await workspace.run("cat a.txt; cat; echo oops >&2; exit 3")
            assert (done.code, done.output, done.stop) == (3, "hello\noops\n", "")
            await workspace.run("mkdir -p b && echo new > b/c.txt")
            assert await workspace.read("b/c.txt") == b"new\n"

        self._check_commands(tmp_path, check)

    def test_the_shell_ends_its_command(self, tmp_path: Path) -> None:
        """What a command leaves in the background does not keep the answer, ten times in a row."""

        async def check(workspace: Workspace) -> None:
            commands = ("sleep 60 & echo hi", "sleep 60 >/dev/null 2>&1 & echo hi", "setsid sleep 60 & echo hi")
            with trio.fail_after(_SECONDS):
                for command in commands * 4:
                    done = await workspace.run(command)
                    assert (done.code, done.output, done.stop) == (0, "hi\n", "")

        self._check_commands(tmp_path, check)

    def test_a_timeout_is_named(self, tmp_path: Path) -> None:
        """A command beyond the time limit is killed; the output so far is shown, and nothing happens later."""

        async def check(workspace: Workspace) -> None:
            # A machine that stalls still lets the shell begin in this time.
            command = "echo begin; (while :; do echo x >> log.txt; sleep 0.1; done) & sleep 300; echo end"
            with trio.fail_after(_SECONDS):
                done = await workspace.run(command, timeout=5)
                assert (done.output, done.stop) == ("begin\n", "timeout")
                size = len(await workspace.read("log.txt"))
                await workspace.run("sleep 0.5")
                assert len(await workspace.read("log.txt")) == size
            with pytest.raises(WorkspaceError):
                await workspace.run("true", timeout=0)

        self._check_commands(tmp_path, check)

    def test_a_cancelled_command_is_gone(self, tmp_path: Path) -> None:
        """A cancellation passes through, and the command does nothing more."""

        async def check(workspace: Workspace) -> None:
            with trio.fail_after(_SECONDS):
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(
                            workspace.run, "touch begun.txt; while :; do echo x >> log.txt; sleep 0.1; done"
                        )
                        while not any(each.path == "log.txt" for each in (await workspace.list()).entries):  # noqa: ASYNC110
                            await trio.sleep(0.02)
                        scope.cancel()
                assert scope.cancelled_caught
                size = len(await workspace.read("log.txt"))
                await workspace.run("sleep 0.5")
                assert len(await workspace.read("log.txt")) == size

        self._check_commands(tmp_path, check)

    def _check(self, folder: Path, check: Callable[[Workspace], Awaitable[None]]) -> None:
        below = folder / "workspace"
        below.mkdir()
        trio.run(check, self.make_workspace(below))

    def _check_commands(self, folder: Path, check: Callable[[Workspace], Awaitable[None]]) -> None:
        if not self.runs:
            pytest.skip("the workspace has no commands")
        self._check(folder, check)
