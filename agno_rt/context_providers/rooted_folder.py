"""A folder of small text files; no name and no link leads outside. The functions block: call them in a thread."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import attrs

from agno_rt.errors import UsageError

__all__ = ["RootedFolder", "folder_name"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._-]{0,79}\.(md|txt)")
_OPEN = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


def folder_name(owner: str) -> str:
    """Return a name for the folder of a user or an agent, different for each owner on every file system."""
    # With a checksum, because some file systems take `Ann` and `ann` for one name.
    check = hashlib.blake2b(owner.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    shown = quote(owner, safe="").replace(".", "%2E")[:40]
    return f"{shown}-{check}"


@attrs.frozen
class RootedFolder:
    """The files of one owner, in the folder `parts` below `root`.

    Files are opened relative to the opened folder and links are not followed, so that nobody can lead a name elsewhere,
    not even between a check and a use. Raises `UsageError` for a refused name or text; the text is for the model.
    """

    root: Path
    parts: tuple[str, ...]
    file_bytes: int
    files: int

    def list(self) -> list[tuple[str, int]]:
        """Return the names and sizes of the files."""
        with self._opened(make=False) as folder:
            if folder is None:
                return []
            found = []
            for name in sorted(os.listdir(folder)):
                with suppress(OSError):
                    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    if _NAME.fullmatch(name) and stat.S_ISREG(status.st_mode):
                        found.append((name, status.st_size))
            return found

    def read(self, name: str) -> str | None:
        """Return the text of a file, at most its bound; `None` for a missing file."""
        _check_file_name(name)
        with self._opened(make=False) as folder:
            return None if folder is None else self._read(folder, name)

    def write(self, name: str, text: str) -> None:
        """Put a text in place of a file, whole or not at all."""
        with self._locked(name) as folder:
            self._write(folder, name, text)

    def append(self, name: str, text: str) -> None:
        """Add a text at the end of a file, on a line of its own; make the file if it is missing."""
        with self._locked(name) as folder:
            before = self._read_whole(folder, name) or ""
            between = "\n" if before and not before.endswith("\n") else ""
            self._write(folder, name, f"{before}{between}{text}")

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace the only occurrence of a text in a file."""
        with self._locked(name) as folder:
            before = self._read_whole(folder, name)
            if before is None:
                raise UsageError(f"there is no file {name!r}", hint="List the files first.")
            count = before.count(old) if old else 0
            if count != 1:
                hint = "Give more of the text around it, exactly as it stands."
                raise UsageError(f"the old text occurs {count} times in {name!r}, not once", hint=hint)
            self._write(folder, name, before.replace(old, new))

    def delete(self, name: str) -> bool:
        """Delete a file; return `False` for a missing file."""
        with self._locked(name) as folder:
            try:
                os.unlink(name, dir_fd=folder)
            except FileNotFoundError:
                return False
            return True

    def _read(self, folder: int, name: str) -> str | None:
        body = self._read_bytes(folder, name, self.file_bytes)
        return None if body is None else body.decode("utf-8", "replace")

    def _read_whole(self, folder: int, name: str) -> str | None:
        """Return the text for a change. Refuse a file of which a part would be lost: a person may have written it."""
        body = self._read_bytes(folder, name, self.file_bytes + 1)
        hint = "Write into another file."
        if body is not None and len(body) > self.file_bytes:
            raise UsageError(f"{name!r} has more than {self.file_bytes:,} bytes, and stays as it is", hint=hint)
        try:
            return None if body is None else body.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise UsageError(f"{name!r} is not UTF-8 text, and stays as it is", hint=hint) from exc

    def _read_bytes(self, folder: int, name: str, most: int) -> bytes | None:
        try:
            # Without waiting: a pipe of this name would never open.
            file = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _OPEN, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise UsageError(f"{name!r} cannot be read: {exc.strerror}") from exc
        # Before `open`, which refuses a folder and leaves its descriptor open.
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise UsageError(f"{name!r} is not a file")
        with open(file, "rb") as opened:
            return opened.read(most)

    def _write(self, folder: int, name: str, text: str) -> None:
        body = text.encode("utf-8", "replace")
        if len(body) > self.file_bytes:
            hint = "Shorten it: keep what matters, or put a part into another file."
            raise UsageError(f"{name!r} would have {len(body):,} bytes, and may have {self.file_bytes:,}", hint=hint)
        names = [each for each in os.listdir(folder) if _NAME.fullmatch(each)]
        if name not in names and len(names) >= self.files:
            raise UsageError(f"there are {len(names)} files, and no more may be made", hint="Delete or join some.")
        made = f".{name}.new"
        with suppress(FileNotFoundError):
            os.unlink(made, dir_fd=folder)  # left behind by a process that died
        file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600, dir_fd=folder)
        with open(file, "wb") as opened:
            opened.write(body)
            opened.flush()
            os.fsync(file)
        os.replace(made, name, src_dir_fd=folder, dst_dir_fd=folder)

    @contextmanager
    def _locked(self, name: str) -> Iterator[int]:
        """Open the folder for a change, one process and thread at a time."""
        import fcntl  # Unix alone has it, and only changes need it

        _check_file_name(name)
        with self._opened(make=True) as folder:
            assert folder is not None, "it was made"
            # Closing the folder frees the lock.
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield folder

    @contextmanager
    def _opened(self, *, make: bool) -> Iterator[int | None]:
        """Open the folder, part by part below the root; yield `None` for a missing folder."""
        if make:
            self.root.mkdir(parents=True, exist_ok=True)
        folder: int | None = None
        try:
            folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            for part in self.parts:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o700, dir_fd=folder)
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _OPEN, dir_fd=folder)
                os.close(folder)
                folder = inner
        except FileNotFoundError:
            if folder is not None:
                os.close(folder)
            folder = None
        except OSError as exc:
            if folder is not None:
                os.close(folder)
            hint = "It must be a folder that this program may read and write; links below it are not followed."
            raise UsageError(f"the folder {str(self.root)!r} cannot be used: {exc.strerror}", hint=hint) from exc
        try:
            yield folder
        finally:
            if folder is not None:
                os.close(folder)


def _check_file_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        hint = "Write a name such as MEMORY.md or travel.md: letters, digits, and no folders."
        raise UsageError(f"{name[:100]!r} is not a name for a file here", hint=hint)
