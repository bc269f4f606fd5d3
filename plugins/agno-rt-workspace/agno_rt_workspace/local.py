"""A workspace in a folder of this machine."""

from __future__ import annotations

import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import trio

from agno_rt.context_providers.rooted_files import open_file, open_folder, show_name, split_path
from agno_rt.errors import UsageError
from agno_rt_workspace.base import Entry, Finished, Found, Kind, Listing, Match, WorkspaceError
from agno_rt_workspace.commands import find_bubblewrap, run_command
from agno_rt_workspace.settings import WorkspaceSettings

__all__ = ["LocalWorkspace"]

T = TypeVar("T")

LINE_CHARACTERS = 300
"""The most characters of a line that a search shows."""


class LocalWorkspace:
    """The files and commands of a local folder. See `Workspace`.

    Every part of a path is opened relative to the folder above, and links are not followed: nobody can lead a path
    elsewhere, not even between a check and a use. Raises `UsageError` for a missing folder.
    """

    def __init__(self, root: str | Path, settings: WorkspaceSettings | None = None) -> None:
        self.settings = settings or WorkspaceSettings()
        self.root = Path(root).expanduser().resolve()
        self.name = f"workspace:{root}"
        if not self.root.is_dir():
            raise UsageError(f"there is no folder {str(root)!r} to work in", hint="Make it, or name another one.")
        self._changing = threading.Lock()
        self._commands = trio.CapacityLimiter(self.settings.at_once)

    @property
    def can_write(self) -> bool:
        """See `Workspace.can_write`."""
        return not self.settings.read_only

    @property
    def can_run(self) -> bool:
        """See `Workspace.can_run`."""
        return self.settings.commands

    def check_ready(self) -> str:
        """Say how commands run. Raises `WorkspaceError` if they cannot."""
        if not self.settings.commands:
            return f"{self.root}: files alone"
        if self._find_confinement():
            return f"{self.root}: commands are confined by bubblewrap"
        return f"{self.root}: commands run with your rights, without bubblewrap"

    async def read(self, path: str) -> bytes:
        """See `Workspace.read`."""
        return await self._call(lambda: self._read(path, self._split(path, is_file=True)))

    async def write(self, path: str, data: bytes, *, expected: bytes | None = None, exclusive: bool = False) -> None:
        """See `Workspace.write`."""
        await self._call(lambda: self._write(path, data, expected, exclusive))

    async def look(self, path: str) -> Entry | None:
        """See `Workspace.look`."""
        return await self._call(lambda: self._look(path))

    async def delete(self, path: str) -> None:
        """See `Workspace.delete`."""
        await self._call(lambda: self._delete(path, self._split(path, is_file=True)))

    async def make_folder(self, path: str) -> bool:
        """See `Workspace.make_folder`."""
        return await self._call(lambda: self._make_folder(path))

    async def list(self, path: str = "", *, deep: bool = False) -> Listing:
        """See `Workspace.list`."""
        return await self._call(lambda: self._list(path, deep))

    async def search(self, text: str, path: str = "", pattern: str = "*") -> Found:
        """See `Workspace.search`."""
        return await self._call(lambda: self._search(text, path, pattern))

    async def run(self, command: str, *, timeout: float | None = None) -> Finished:
        """See `Workspace.run`."""
        if not self.settings.commands:
            raise WorkspaceError(
                "this workspace runs no commands", hint="The operator can write commands = true in [plugins.workspace]."
            )
        if not command.strip() or "\0" in command:
            raise WorkspaceError("the command is empty, or has a zero byte", hint="Write a line for the shell.")
        most = self.settings.timeout
        if timeout is not None and not timeout > 0:
            raise WorkspaceError(f"the timeout is {timeout!r}", hint=f"Give seconds, at most {most:g}.")
        seconds = most if timeout is None else min(timeout, most)
        bubblewrap = await trio.to_thread.run_sync(self._find_confinement)
        async with self._commands:
            return await run_command(["/bin/sh", "-c", command], self.root, self.settings, seconds, bubblewrap)

    def _find_confinement(self) -> str | None:
        found = None if self.settings.confine == "none" else find_bubblewrap()
        if found is None and self.settings.confine == "bubblewrap":
            hint = "Install bubblewrap, and let it make namespaces; or write confine = 'auto' in [plugins.workspace]."
            raise WorkspaceError("bubblewrap does not work here, and commands need it", hint=hint)
        if found is None and self.settings.read_only:
            hint = "Install bubblewrap, or write commands = false or read_only = false in [plugins.workspace]."
            raise WorkspaceError("a read-only workspace runs commands only under bubblewrap", hint=hint)
        return found

    async def _call(self, act: Callable[[], T]) -> T:
        """Do blocking work in a thread. An error of the system becomes a `WorkspaceError`."""
        try:
            return await trio.to_thread.run_sync(act)
        except WorkspaceError:
            raise
        except UsageError as exc:
            raise WorkspaceError(exc.message, hint=exc.hint) from exc

    def _split(self, path: str, *, is_file: bool = False) -> tuple[str, ...]:
        parts = split_path(path)
        if is_file and not parts:
            raise WorkspaceError(f"{path!r} is the folder itself", hint="Name a file.")
        if self._is_denied(parts) or (is_file and not self._is_wanted(parts)):
            hint = "The settings of the workspace refuse it; work without it."
            raise WorkspaceError(f"{path[:200]!r} is not open to you", hint=hint)
        return parts

    def _is_denied(self, parts: tuple[str, ...]) -> bool:
        return any(_fits_pattern(parts[: end + 1], self.settings.deny) for end in range(len(parts)))

    def _is_wanted(self, parts: tuple[str, ...]) -> bool:
        return not self.settings.only or _fits_pattern(parts, self.settings.only)

    def _read(self, path: str, parts: tuple[str, ...]) -> bytes:
        try:
            with open_folder(self.root, parts[:-1]) as folder, open(open_file(parts[-1], folder), "rb") as opened:
                data = opened.read(self.settings.file_bytes + 1)
                size = os.fstat(opened.fileno()).st_size
        except OSError as exc:
            raise _explain_error(path, "read", exc) from exc
        if len(data) > self.settings.file_bytes:
            hint = "Search in it, or show a part of it by a command."
            raise WorkspaceError(f"{path!r} has {size:,} bytes, and may have {self.settings.file_bytes:,}", hint=hint)
        return data

    def _write(self, path: str, data: bytes, expected: bytes | None, exclusive: bool) -> None:
        parts = self._split(path, is_file=True)
        self._check_writable()
        if len(data) > self.settings.file_bytes:
            problem = f"{path!r} would have {len(data):,} bytes, and may have {self.settings.file_bytes:,}"
            raise WorkspaceError(problem, hint="Write less, or several files.")
        with self._changing:
            try:
                self._make_folders(parts[:-1])
                if expected is not None and self._read(path, parts) != expected:
                    raise WorkspaceError(f"{path!r} was changed meanwhile", hint="Read it again, and begin anew.")
                with open_folder(self.root, parts[:-1]) as folder:
                    _replace_file(parts[-1], folder, data, exclusive=exclusive)
            except FileExistsError as exc:
                hint = "Choose another name, or overwrite it."
                raise WorkspaceError(f"{path!r} is there already", hint=hint) from exc
            except OSError as exc:
                raise _explain_error(path, "written", exc) from exc

    def _look(self, path: str) -> Entry | None:
        parts = self._split(path)
        if not parts:
            return Entry("", "folder")
        try:
            with open_folder(self.root, parts[:-1]) as folder:
                found = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise _explain_error(path, "looked at", exc) from exc
        kind = _kind_of(found)
        if kind != "folder" and not self._is_wanted(parts):
            self._split(path, is_file=True)  # raises
        return Entry("/".join(parts), kind, found.st_size if kind == "file" else 0)

    def _delete(self, path: str, parts: tuple[str, ...]) -> None:
        self._check_writable()
        with self._changing:
            try:
                with open_folder(self.root, parts[:-1]) as folder:
                    if _kind_of(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)) != "file":
                        raise WorkspaceError(f"{path!r} is not a file", hint="Only files are deleted.")
                    os.unlink(parts[-1], dir_fd=folder)
            except OSError as exc:
                raise _explain_error(path, "deleted", exc) from exc

    def _make_folder(self, path: str) -> bool:
        self._check_writable()
        parts = self._split(path)
        with self._changing:
            try:
                is_new = self._make_folders(parts)
                with open_folder(self.root, parts):
                    return is_new
            except OSError as exc:
                raise _explain_error(path, "made", exc) from exc

    def _check_writable(self) -> None:
        if self.settings.read_only:
            raise WorkspaceError("the workspace is read-only", hint="Say what you would change.")

    def _make_folders(self, parts: tuple[str, ...]) -> bool:
        """Make the missing folders. Return whether the last was missing."""
        is_new = False
        for end in range(len(parts)):
            is_new = False
            with open_folder(self.root, parts[:end]) as above, suppress(FileExistsError):
                os.mkdir(parts[end], dir_fd=above)
                is_new = True
        return is_new

    def _list(self, path: str, deep: bool) -> Listing:
        found = list[Entry]()
        for entry in self._walk(path, deep=deep):
            if len(found) >= self.settings.entries:
                return Listing(tuple(found), cut=True)
            found.append(entry)
        return Listing(tuple(found))

    def _walk(self, path: str, *, deep: bool) -> Iterator[Entry]:
        """Yield the entries of a folder by path; each folder before the entries below."""
        parts = self._split(path)
        try:
            yield from self._walk_folder(parts, deep)
        except OSError as exc:
            raise _explain_error(path or ".", "listed", exc) from exc

    def _walk_folder(self, parts: tuple[str, ...], deep: bool) -> Iterator[Entry]:
        with open_folder(self.root, parts) as folder:
            entries = [(name, *_look_at(name, folder)) for name in sorted(os.listdir(folder))]
        for name, kind, size in entries:
            inner = (*parts, name)
            # A name that is not text cannot be asked for.
            if show_name(name) != name or self._is_denied(inner) or (kind != "folder" and not self._is_wanted(inner)):
                continue
            yield Entry("/".join(inner), kind, size)
            if deep and kind == "folder":
                with suppress(OSError):  # it is gone, or became a link
                    yield from self._walk_folder(inner, deep)

    def _search(self, text: str, path: str, pattern: str) -> Found:
        if not text.strip() or "\n" in text:
            raise WorkspaceError("the text to search for is empty or has several lines", hint="Give a part of a line.")
        wanted, end = text.casefold(), time.monotonic() + self.settings.search_seconds
        matches, files = list[Match](), 0
        for entry in self._walk(path, deep=True):
            # A cancelled run waits for one file at most.
            trio.from_thread.check_cancelled()
            if time.monotonic() > end:
                return Found(tuple(matches), f"{self.settings.search_seconds:g} seconds")
            if entry.kind != "file" or not _fits_pattern(tuple(entry.path.split("/")), (pattern,)):
                continue
            files += 1
            if files > self.settings.entries:
                return Found(tuple(matches), f"{self.settings.entries:,} files")
            with suppress(WorkspaceError):
                data = self._read(entry.path, tuple(entry.path.split("/")))
                matches += _find_lines(entry.path, data, wanted)
            if len(matches) > self.settings.matches:
                return Found(tuple(matches[: self.settings.matches]), f"{self.settings.matches:,} lines")
        return Found(tuple(matches))


def _fits_pattern(parts: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    """Return whether the last name or the whole path fits a pattern. Capitals do not count: some disks ignore them."""
    name, path = parts[-1].lower(), "/".join(parts).lower()
    return any(fnmatchcase(name, each.lower()) or fnmatchcase(path, each.lower()) for each in patterns)


def _look_at(name: str, folder: int) -> tuple[Kind, int]:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return "other", 0  # gone meanwhile
    kind = _kind_of(found)
    return kind, found.st_size if kind == "file" else 0


def _kind_of(found: os.stat_result) -> Kind:
    if stat.S_ISREG(found.st_mode):
        return "file"
    if stat.S_ISDIR(found.st_mode):
        return "folder"
    return "link" if stat.S_ISLNK(found.st_mode) else "other"


def _replace_file(name: str, folder: int, data: bytes, *, exclusive: bool) -> None:
    """Put a file in place of another, with its permissions. A link or a folder of the name is refused.

    With `exclusive`, raises `FileExistsError` for anything of the name.
    """
    mode = None
    with suppress(FileNotFoundError):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if exclusive:
            raise FileExistsError
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is a link, a folder or a device")
        mode = stat.S_IMODE(found.st_mode) & 0o777
    made = f".{secrets.token_hex(8)}.new"
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666, dir_fd=folder)
    try:
        with open(file, "wb") as opened:
            opened.write(data)
            if mode is not None:
                os.fchmod(file, mode)
        if exclusive:  # unlike a rename, a link never replaces a file
            os.link(made, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            os.unlink(made, dir_fd=folder)
        else:
            os.replace(made, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(made, dir_fd=folder)
        raise


def _find_lines(path: str, data: bytes, wanted: str) -> list[Match]:
    if b"\0" in data[:8_000]:
        return []
    lines = data.decode("utf-8", "replace").splitlines()
    return [
        Match(path, number, line.strip()[:LINE_CHARACTERS])
        for number, line in enumerate(lines, 1)
        if wanted in line.casefold()
    ]


def _explain_error(path: str, done: str, exc: OSError) -> WorkspaceError:
    hint = "List the folder. Links are not followed, and lead nowhere here."
    return WorkspaceError(f"{path[:200]!r} cannot be {done}: {exc.strerror}", hint=hint)
