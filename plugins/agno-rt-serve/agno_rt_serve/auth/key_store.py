"""The file of API keys: hashes, names and rights, never a key. Knows no request.

A key is `agno_`, eight characters to recognise the key by, `_`, and 256 random bits. Only the key's SHA-256 is stored:
a hash for passwords, slow on purpose, would add nothing for 256 random bits. Changes are made under a lock, and in one
step.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs
import msgspec

from agno_rt.errors import ConfigError, NotFound, UsageError
from agno_rt_serve.auth.rates import parse_rate, parse_spend
from agno_rt_serve.auth.scopes import USUAL, parse_scopes

__all__ = ["ID_LETTERS", "PREFIX", "KeyStore", "Rights", "StoredKey"]

PREFIX = "agno_"
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
ID_LETTERS = 8
"""The number of letters after `PREFIX` by which a key is recognised."""

_HASH = re.compile("[0-9a-f]{64}")
_NAME = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]{1,200}")
_MOST_BYTES = 16_777_216


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key without the secret: `hash` is the SHA-256 of the key. Times are seconds since the epoch."""

    id: str
    name: str
    user: str
    hash: str
    created: float
    scopes: tuple[str, ...] = USUAL
    expires: float | None = None
    rate: str = ""
    spend: str = ""

    @property
    def prefix(self) -> str:
        """The beginning of the key, for people to recognise."""
        return f"{PREFIX}{self.id}"


@attrs.frozen
class Rights:
    """The rights of a new key: scopes (without any, the usual scopes), the end in seconds since the epoch, limits."""

    scopes: tuple[str, ...] = ()
    expires: float | None = None
    rate: str = ""
    spend: str = ""


class _File(msgspec.Struct, kw_only=True):
    keys: list[StoredKey]
    format: int = 1


class KeyStore:
    """The keys in a private file. Each method reads the file now; a missing file has no keys.

    Methods raise `ConfigError` for a damaged file, and for one that other users can read or change.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def marks(self) -> tuple[int, ...]:
        """Return numbers of the file's state, to notice changes; empty without a file."""
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def load(self) -> list[StoredKey]:
        """Return the keys, in the order of their addition."""
        try:
            number = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            raise ConfigError(f"the keys in {self.path} cannot be read: {exc.strerror}") from exc
        with os.fdopen(number, "rb") as file:
            # The open file, because the path may lead elsewhere a moment later.
            self._check_private(os.fstat(number))
            data = file.read(_MOST_BYTES)
        try:
            found = msgspec.json.decode(data, type=_File)
            for key in found.keys:
                _check_rights(key, f"the key {key.name!r} in {self.path}")
        except (msgspec.DecodeError, UnicodeDecodeError, UsageError) as exc:
            hint = "Restore it from a copy, or delete it and add the keys anew."
            raise ConfigError(f"the file of keys {self.path} is damaged: {exc}", hint=hint) from exc
        return found.keys

    def add(self, name: str, rights: Rights, *, now: float, user: str | None = None) -> tuple[str, StoredKey]:
        """Add a key; return the key's text, which is not kept, and the stored key. The user is the name by default.

        Raises `UsageError` for a used name, a wrong scope, rate or amount.
        """
        for text, what in ((name, "name"), (user if user is not None else name, "user")):
            if not _NAME.fullmatch(text):
                hint = "Give 1 to 200 characters without blanks."
                raise UsageError(f"{text[:50]!r} cannot be the {what} of a key", hint=hint)
        made = "".join(secrets.choice(_LETTERS) for _ in range(ID_LETTERS))
        text = f"{PREFIX}{made}_{secrets.token_urlsafe(32)}"
        key = StoredKey(
            id=made,
            name=name,
            user=name if user is None else user,
            hash=hashlib.sha256(text.encode()).hexdigest(),
            created=now,
            scopes=rights.scopes or USUAL,
            expires=rights.expires,
            rate=rights.rate,
            spend=rights.spend,
        )
        _check_rights(key, f"the key {name!r}")
        with self._locked():
            keys = self.load()
            if any(each.name == name for each in keys):
                hint = f"Choose another name, or first: agno-rt serve keys revoke {name}"
                raise UsageError(f"there is a key {name!r} already in {self.path}", hint=hint)
            self._write([*keys, key])
        return text, key

    def revoke(self, name: str) -> StoredKey:
        """Remove the key of the name, or of the prefix. Raises `NotFound`."""
        with self._locked():
            keys = self.load()
            found = [key for key in keys if name in (key.name, key.prefix, key.id)]
            if not found:
                raise NotFound("key", name, [key.name for key in keys], where=str(self.path))
            self._write([key for key in keys if key is not found[0]])
            return found[0]

    def _check_private(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{self.path} is not a file of keys", hint="Name another file in keys_file.")
        if os.name != "posix":
            return
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise ConfigError(f"others can read the file of keys {self.path}", hint=f"chmod 600 {self.path}")
        if found.st_uid not in (os.geteuid(), 0):
            raise ConfigError(f"the file of keys {self.path} belongs to another user", hint="Use a file of your own.")

    def _write(self, keys: list[StoredKey]) -> None:
        data = msgspec.json.format(msgspec.json.encode(_File(keys=keys)), indent=1)
        try:
            # `mkstemp` makes a private file.
            number, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}-")
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(data + b"\n")
                    file.flush()
                    os.fsync(number)
                Path(name).replace(self.path)
            except BaseException:
                with suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as exc:
            raise self._unwritable(exc) from exc

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock for changes: two commands at once must not lose a key."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            number = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as exc:
            raise self._unwritable(exc) from exc
        try:
            if os.name == "posix":
                import fcntl  # not on Windows

                fcntl.flock(number, fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)

    def _unwritable(self, exc: OSError) -> UsageError:
        hint = "Name another file: --keys-file, or keys_file in [plugins.serve]."
        return UsageError(f"the file of keys {self.path} cannot be written: {exc.strerror}", hint=hint)


def _check_rights(key: StoredKey, where: str) -> None:
    if not _HASH.fullmatch(key.hash):
        raise UsageError(f"{where} has no SHA-256")
    parse_scopes(key.scopes, where)
    parse_rate(key.rate, where)
    parse_spend(key.spend, where)
