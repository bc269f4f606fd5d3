"""The user's file of API keys: private, changed in one step, and refused if open to other users."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from agno_rt.errors import ConfigError, UsageError

__all__ = ["KeyFile", "default_path"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_MOST_BYTES = 2**20
_HEAD = "# API keys of agno-rt. Change them with: agno-rt keys set NAME, agno-rt keys remove NAME\n"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

_kept: dict[Path, tuple[tuple[int, ...], Mapping[str, str]]] = {}
"""The keys of each file, with the marks of the file as read: a model looks for the key with each request."""


def default_path() -> Path:
    """Return the path of the file: `AGNO_RT_KEYS`, or `agno-rt/keys.toml` in the user's folder of settings."""
    if own := os.environ.get("AGNO_RT_KEYS", ""):
        return Path(own).expanduser()
    base = os.environ.get("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME", "")
    return (Path(base) if base else Path.home() / ".config") / "agno-rt" / "keys.toml"


class KeyFile:
    """The keys in a file, by name. Each method reads the file now; without a file there are no keys.

    `head` is the first line of a new file: a comment with the commands that change the file. Methods raise
    `ConfigError` for a damaged file, for a file open to other users, and if opening the file fails.
    """

    def __init__(self, path: Path | None = None, *, head: str = _HEAD) -> None:
        self.path = default_path() if path is None else path
        self._head = head

    @property
    def shown(self) -> str:
        """The path for messages, with `~` for the home folder."""
        with suppress(ValueError, RuntimeError):
            return f"~/{self.path.relative_to(Path.home()).as_posix()}"
        return str(self.path)

    def names(self) -> tuple[str, ...]:
        """Return the sorted names of the keys."""
        return tuple(sorted(self._load()))

    def read(self, name: str) -> str | None:
        """Return the key of the name, or `None`."""
        return self._load().get(name)

    def set(self, name: str, text: str) -> None:
        """Keep the key under the name, in place of an older key. Raises `UsageError` for an unusable name or key."""
        if not _NAME.fullmatch(name):
            hint = "Give the name of its environment variable, as OPENAI_API_KEY."
            raise UsageError(f"{name[:50]!r} cannot be the name of a key", hint=hint)
        text = text.strip()
        if not text or not text.isascii() or not text.isprintable():
            # The message leaves the key out: perhaps a real key with a slip.
            hint = "Copy the key again, on one line, without quotes."
            raise UsageError(f"the key for {name} is empty, or has characters that are not allowed in a key", hint=hint)
        with self._locked():
            self._write({**self._load(), name: text})

    def remove(self, name: str) -> bool:
        """Forget the key of the name; return whether the file had the key."""
        with self._locked():
            keys = dict(self._load())
            if keys.pop(name, None) is None:
                return False
            self._write(keys)
            return True

    def _load(self) -> Mapping[str, str]:
        try:
            # Without O_NONBLOCK, opening a pipe would wait for a writer.
            number = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as exc:
            raise self._fault(f"cannot be read: {exc.strerror}", "Check its permissions.") from exc
        # Check the open file, because the path may lead elsewhere a moment later.
        try:
            found = os.fstat(number)
            self._check_private(found)
        except BaseException:
            os.close(number)
            raise
        with os.fdopen(number, "rb") as file:
            marks = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            kept = _kept.get(self.path)
            if kept is not None and kept[0] == marks:
                return kept[1]
            keys = self._parse(file.read(_MOST_BYTES))
        _kept[self.path] = (marks, keys)
        return keys

    def _check_private(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise self._fault("is not a file", "Name another file in AGNO_RT_KEYS.")
        if os.name != "posix":
            return  # Windows keeps the user's folder of settings private
        if found.st_mode & _OTHERS:
            mode = stat.filemode(found.st_mode)
            raise self._fault(f"can be read by others ({mode})", f"Make it private: chmod 600 {self.shown}")
        if found.st_uid not in (os.geteuid(), 0):
            raise self._fault("belongs to another user", "Keys of others are not used: name another in AGNO_RT_KEYS.")

    def _parse(self, data: bytes) -> Mapping[str, str]:
        try:
            keys = tomllib.loads(data.decode())
        except (ValueError, RecursionError):
            # From None: the cause quotes the line, key included.
            raise self._fault('is damaged: a line is not NAME = "key"', "Mend or delete the line.") from None
        wrong = next((name for name, text in keys.items() if not isinstance(text, str)), None)
        if wrong is not None:
            raise self._fault(f"is damaged: {wrong} is not a text", f'Write {wrong} = "key".')
        return keys

    def _write(self, keys: Mapping[str, str]) -> None:
        lines = [f"{name} = {json.dumps(text)}\n" for name, text in sorted(keys.items())]
        data = "".join((self._head, *lines)).encode()
        target = self.path.resolve()
        # mkstemp makes a private file before the first byte; in the same folder, since a move to another disk takes
        # more than one step.
        number, made = tempfile.mkstemp(prefix=".keys.", dir=target.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(made).replace(target)
        except BaseException:
            Path(made).unlink()
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time change the file, so that no change is lost."""
        folder = self.path.resolve().parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (folder / ".keys.lock").open("ab") as lock:
                _lock_file(lock.fileno())
                yield  # closing the file ends the lock
        except OSError as exc:
            raise self._fault(f"cannot be changed: {exc.strerror}", "Name another file in AGNO_RT_KEYS.") from exc

    def _fault(self, problem: str, hint: str) -> ConfigError:
        return ConfigError(f"the file of keys {self.shown} {problem}", hint=hint)


def _lock_file(number: int) -> None:
    with suppress(ImportError):
        import fcntl  # not on Windows, where the last of two simultaneous changes counts

        fcntl.flock(number, fcntl.LOCK_EX)
