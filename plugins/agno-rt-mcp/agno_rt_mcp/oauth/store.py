"""Logins, kept in a file beside the keys that only the user can read: tokens, and the clients registered for them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import trio

from agno_rt.errors import ConfigError
from agno_rt.keys.key_file import KeyFile, default_path
from agno_rt_mcp.oauth.metadata import make_resource
from agno_rt_mcp.settings import ServerSettings

__all__ = ["Login", "LoginStore"]

EARLY = 30.0
"""Seconds before the end of a token in which the token is already renewed."""

_HEAD = "# Logins of agno-rt at MCP servers. Change them with: agno-rt mcp login SERVER, agno-rt mcp logout SERVER\n"
_ELSEWHERE = "Name another file in AGNO_RT_KEYS: the logins are kept in its folder."
_POLL = 0.05
_PATIENCE = 15.0  # seconds to wait for another process that renews the same login


class Login(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A login at a server: the client, the tokens, and where they are renewed. Without tokens, a client alone."""

    resource: str
    issuer: str
    token_endpoint: str
    revocation_endpoint: str | None = None
    client_id: str
    client_secret: str = ""
    client_expires_at: float = 0.0
    auth_method: str = "none"
    redirect_uri: str = ""
    access_token: str = ""
    refresh_token: str = ""
    expires_at: float | None = None
    scopes: tuple[str, ...] = ()
    wanted_scopes: tuple[str, ...] = ()

    # The secrets stay out of logs and tracebacks.
    def __repr__(self) -> str:
        return f"<Login at {self.resource} by {self.issuer}>"

    @property
    def is_over(self) -> bool:
        """True if the access token is over, or nearly so."""
        return self.expires_at is not None and self.expires_at - EARLY <= time.time()

    def forget_tokens(self) -> None:
        """Keep the client alone."""
        self.access_token = self.refresh_token = ""
        self.expires_at = None


class LoginStore:
    """The login at one server. Each method uses the file now. Raises `ConfigError` for a damaged or open file."""

    def __init__(self, settings: ServerSettings) -> None:
        told = f"{make_resource(settings.url)} {settings.oauth.client_id}"
        self._name = f"LOGIN_{hashlib.sha256(told.encode()).hexdigest()[:40]}"
        self._file = KeyFile(default_path().with_name("mcp-logins.toml"), head=_HEAD)

    @property
    def shown(self) -> str:
        """The file's path for messages."""
        return self._file.shown

    def read(self) -> Login | None:
        """Return the login; None without one, and for one that this version cannot read."""
        text = self._file.read(self._name)
        with suppress(msgspec.MsgspecError):
            return None if text is None else msgspec.json.decode(text, type=Login)
        return None

    def write(self, login: Login) -> None:
        """Keep the login, in place of an older one."""
        # A key is ASCII text.
        self._file.set(self._name, json.dumps(msgspec.to_builtins(login)))

    def remove(self) -> bool:
        """Forget the login; return whether there was one. A lock that anybody holds stays."""
        self._unlink_free_lock()
        return self._file.remove(self._name)

    def _unlink_free_lock(self) -> None:
        with suppress(ImportError, FileNotFoundError, BlockingIOError):
            import fcntl

            number = os.open(self._lock_path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._lock_path.unlink()
            finally:
                os.close(number)

    @property
    def _lock_path(self) -> Path:
        return self._file.path.with_name(f".{self._name}.lock")

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        """Let one process at a time renew the login: a refresh token may count only once.

        After some seconds the wait is over, and the login is renewed all the same.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        number = self._open_lock()
        try:
            with trio.move_on_after(_PATIENCE):
                while True:
                    try:
                        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        if self._is_there(number):
                            break
                    except BlockingIOError:
                        await trio.sleep(_POLL)
                    else:
                        left, number = number, self._open_lock()
                        os.close(left)
            yield
        finally:
            os.close(number)

    def _open_lock(self) -> int:
        """Open the file of the lock. Raises `ConfigError`."""
        try:
            self._lock_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise ConfigError(f"{self.shown} cannot be changed: {exc.strerror}", hint=_ELSEWHERE) from exc

    def _is_there(self, number: int) -> bool:
        """Return whether the open file still has its name: another process may have unlinked the file meanwhile."""
        try:
            return os.path.samestat(os.fstat(number), os.stat(self._lock_path))
        except FileNotFoundError:
            return False
