"""The key for all clients, and the cookies of browsers with a key. Knows no route.

The environment or a file has the key, never the command line: every user of the machine can
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

__all__ = [
    "COOKIE",
    "VARIABLE",
    "Cookies",
    "Key",
    "check_key",
    "check_private",
    "missing_key",
    "read_key_file",
    "take_key",
    "wrong_key",
]

COOKIE = b"agno_rt_"
"""The beginning of the cookies' names."""

VARIABLE = "AGNO_RT_SERVE_KEY"
"""The environment variable that may hold the key."""

# Attempts are not counted, so the key itself must be too long to guess.
_KEY = re.compile(r"[!-~]{16,1000}")
# Seconds that a cookie is accepted: a day.
_SIGNED_IN = 86_400
_CHALLENGE = b'Bearer realm="agno-rt"'


class Cookies:
    """The cookies of browsers with a key.

    A cookie has an end, and a signature of the end by the key or the key's hash. The key cannot be read from a cookie,
    and other servers refuse the cookie. Workers of a server accept each other's cookies. A new key makes old cookies
    void.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        # Browsers send cookies to every port of a host: servers with other keys must not share a name.
        self.name = COOKIE + self._sign(b"name")[:8]

    def make(self, *, secure: bool, until: float | None = None) -> bytes:
        """Return the header Set-Cookie, for a day or until the key expires."""
        now = time.time()
        seconds = _SIGNED_IN if until is None else max(0, min(_SIGNED_IN, int(until - now)))
        end = b"%d" % (now + seconds)
        return self._set_cookie(end + b"." + self._sign(end), seconds, secure=secure)

    @staticmethod
    def remove(name: bytes) -> bytes:
        """Return the header Set-Cookie to take a cookie back."""
        return b"%b=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict" % name

    def is_current(self, name: bytes, value: bytes) -> bool:
        """Return True if the cookie was made here, and has not expired."""
        until, _, signature = value.partition(b".")
        if name != self.name or not hmac.compare_digest(signature, self._sign(until)):
            return False
        # The signature was right, so the server itself wrote `until`, as a number.
        return time.time() < int(until)

    def _set_cookie(self, value: bytes, seconds: int, *, secure: bool) -> bytes:
        where = b"Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%b" % (seconds, b"; Secure" if secure else b"")
        return b"%b=%b; %b" % (self.name, value, where)

    def _sign(self, text: bytes) -> bytes:
        return hmac.new(self._secret, b"agno-rt-serve " + text, hashlib.sha256).hexdigest().encode()


class Key:
    """The server's key for all clients. A client shows the key as a bearer token, a browser shows a cookie."""

    def __init__(self, text: str) -> None:
        self._text = text.encode()
        self.cookies = Cookies(self._text)

    def is_right(self, given: bytes) -> bool:
        """Return True if `given` is the key. Every wrong key takes the same time."""
        return hmac.compare_digest(given, self._text)


def missing_key() -> HttpError:
    """Return the error for a request without a key."""
    hint = "Send the header Authorization: Bearer KEY, or sign in at the page /."
    hint = f"{hint} `agno-rt serve keys add` makes a key; one for all is in the server's {VARIABLE} or key file."
    return _key_error("key_missing", "this server requires a key", hint)


def wrong_key() -> HttpError:
    """Return the error for a wrong key."""
    return _key_error("key_wrong", "the key is not this server's", "Did it change, or lose a character on the way?")


def take_key(environ: MutableMapping[str, str]) -> str:
    """Take the key out of the environment, so that no child process inherits the key; empty without a key."""
    text = environ.pop(VARIABLE, "")
    return check_key(text, f"the environment variable {VARIABLE}") if text else ""


def read_key_file(path: Path) -> tuple[str, bool]:
    """Return the key in the file, and True for a new key: a missing file is written with a new key.

    Raises `UsageError` for a file open to other users, and for a file without a key.
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
