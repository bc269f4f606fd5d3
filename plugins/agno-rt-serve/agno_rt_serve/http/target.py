"""The target of a request in its forms (RFC 9112, 3.2), and the host. Pure."""

from __future__ import annotations

import re

from agno_rt_serve.errors import HttpError

__all__ = ["check_host_syntax", "is_host", "read_target"]

# A host and its port (RFC 3986, 3.2.2 and 3.2.3). A user's name before the host is not accepted, though URLs may have
# one: `http://localhost@evil.example` is a link that lies (RFC 9110, 4.2.4).
_AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*)(.*)")


def read_target(method: str, target: bytes) -> tuple[bytes | None, bytes]:
    """Return the host that the target names, or `None`, and the path with the query.

    Raises `HttpError` for a target that HTTP does not know.
    """
    if method == "CONNECT":
        raise HttpError(501, "connect", "this is not a proxy: CONNECT is not supported")
    if b"#" in target:
        raise _bad_target("the request's target has a fragment", "Leave out the # and the text after it.")
    if target.startswith(b"/") or (target == b"*" and method == "OPTIONS"):
        return None, target
    # The absolute form, as sent to a proxy: its authority overrides the Host header (RFC 9112, 3.2.2).
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise _bad_target("the request's target is neither a path nor a URL of http", "Let it begin with /.")
    authority, rest = found.groups()
    if _AUTHORITY.fullmatch(authority) is None or authority[:1] in (b"", b":"):
        hint = "Send http://HOST/PATH, or the path alone."
        raise _bad_target("the URL in the request's target does not name a host", hint)
    return authority, rest if rest.startswith(b"/") else b"/" + rest


def is_host(host: str) -> bool:
    """Return whether the text is HOST or HOST:PORT."""
    return bool(host) and _AUTHORITY.fullmatch(host.encode()) is not None


def check_host_syntax(host: bytes) -> None:
    """Raise `HttpError` for a Host header that is not HOST or HOST:PORT. An empty header passes."""
    if _AUTHORITY.fullmatch(host) is None:
        hint = "Send HOST or HOST:PORT."
        raise _bad_target("the header Host does not name a host", hint)


def _bad_target(message: str, hint: str) -> HttpError:
    return HttpError(400, "bad_request", message, hint)
