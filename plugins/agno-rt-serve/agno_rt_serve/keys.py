"""The key for clients: reading the key, and checking requests for it. Knows no route.

All clients share the key. The environment or a file has the key, never the command line: every user of the machine can
read that.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
import time
from collections.abc import MutableMapping
from pathlib import Path

from agno_rt.errors import UsageError
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import Scope

__all__ = ["VARIABLE", "Key", "check_key", "check_private", "read_key_file", "take_key", "wrong_key"]

VARIABLE = "AGNO_RT_SERVE_KEY"
"""The environment variable that may hold the key."""

# Attempts are not counted, so the key itself must be too long to guess.
_KEY = re.compile(r"[!-~]{16,1000}")
# Seconds that a cookie is accepted: a day.
_SIGNED_IN = 86_400
_CHALLENGE = b'Bearer realm="agno-rt"'


class Key:
    """The key of a server. A client shows the key as a bearer token, a browser shows a cookie.

    The cookie has the time when it expires, and a signature of the time by the key. The key cannot be read from it, and
    other servers refuse it. Workers of one server accept each other's cookies, and a new key makes old cookies void.
    """

    def __init__(self, text: str) -> None:
        self._text = text.encode()
        # Browsers send cookies to every port of a host: servers with other keys must not share a name.
        self._cookie = b"agno_rt_" + self._sign(b"name")[:8]

    def is_right(self, given: bytes) -> bool:
        """Return whether `given` is the key. Every wrong key takes the same time."""
        return hmac.compare_digest(given, self._text)

    def check(self, scope: Scope) -> None:
        """Raise `HttpError` 401 for a request without the key."""
        authorization = cookies = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"cookie":
                cookies += value + b";"
        if authorization:
            scheme, _, given = authorization.partition(b" ")
            if scheme.lower() != b"bearer" or not self.is_right(given.strip()):
                raise wrong_key()
        elif not any(self._is_current(cookie.strip()) for cookie in cookies.split(b";")):
            hint = "Send the header Authorization: Bearer KEY, or sign in at the page /."
            hint = f"{hint} The key is in the server's {VARIABLE} or key file."
            raise _key_error("key_missing", "this server requires a key", hint)

    def cookie(self, *, secure: bool) -> bytes:
        """Return the header Set-Cookie for a browser that showed the key."""
        until = b"%d" % (time.time() + _SIGNED_IN)
        return self._set_cookie(until + b"." + self._sign(until), _SIGNED_IN, secure=secure)

    def no_cookie(self) -> bytes:
        """Return the header Set-Cookie that signs a browser out."""
        return self._set_cookie(b"", 0, secure=False)

    def _set_cookie(self, value: bytes, seconds: int, *, secure: bool) -> bytes:
        where = b"Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%b" % (seconds, b"; Secure" if secure else b"")
        return b"%b=%b; %b" % (self._cookie, value, where)

    def _is_current(self, cookie: bytes) -> bool:
        name, _, value = cookie.partition(b"=")
        until, _, signature = value.partition(b".")
        if name != self._cookie or not hmac.compare_digest(signature, self._sign(until)):
            return False
        # The signature was right, so the server itself wrote `until`, as a number.
        return time.time() < int(until)

    def _sign(self, text: bytes) -> bytes:
        return hmac.new(self._text, b"agno-rt-serve " + text, hashlib.sha256).hexdigest().encode()


def wrong_key() -> HttpError:
    """Return the error for a key that is not this server's."""
    return _key_error("key_wrong", "the key is not this server's", "Did it change, or lose a character on the way?")


def take_key(environ: MutableMapping[str, str]) -> str:
    """Take the key out of the environment, so that no child process inherits it; empty for none."""
    text = environ.pop(VARIABLE, "")
    return check_key(text, f"the environment variable {VARIABLE}") if text else ""


def read_key_file(path: Path) -> tuple[str, bool]:
    """Return the key in the file, and whether it is new: a missing file is written with a new key.

    Raises `UsageError` for a file that others can read, and for a file without a key.
    """
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return check_key(_read_text(path), f"the key file {path}"), False
    except OSError as exc:
        raise UsageError(f"the key file {path} cannot be written: {exc.strerror}", hint="Name another file.") from exc
    text = secrets.token_urlsafe(32)
    with open(number, "w", encoding="ascii") as file:
        file.write(f"{text}\n")
    return text, True


def check_key(text: str, where: str) -> str:
    """Return the key without the white space around it. Raises `UsageError` for a key easily guessed."""
    text = text.strip()
    if not _KEY.fullmatch(text):
        hint = "Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        raise UsageError(f"{where} is not a key of 16 to 1,000 visible ASCII characters", hint=hint)
    return text


def check_private(path: Path) -> None:
    """Raise `UsageError` if other users of this machine can read the file."""
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise UsageError(f"{path} holds a key, and others can read it", hint=f"chmod 600 {path}")


def _read_text(path: Path) -> str:
    try:
        check_private(path)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise UsageError(f"the key file {path} cannot be read: {why}", hint="Name another file.") from exc


def _key_error(code: str, message: str, hint: str) -> HttpError:
    return HttpError(401, code, message, hint, ((b"www-authenticate", _CHALLENGE),))
