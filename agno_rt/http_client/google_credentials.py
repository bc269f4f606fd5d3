"""Credentials of Google's cloud: files read and judged, and the requests that turn them into access tokens.

Reads files; opens no connection. References: Google's "Using OAuth 2.0 for server to server applications" (service
accounts), and RFC 6749, section 6 (refresh tokens, as `gcloud auth application-default login` writes them).
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode, urlsplit

import attrs

from agno_rt.errors import ConfigError

__all__ = ["TOKEN_URL", "GoogleCredentials", "Sign", "read_google_credentials"]

Sign: TypeAlias = Callable[[Mapping[str, Any], str, Mapping[str, str]], str]
"""Returns the signed token (RS256) of claims, a private key and headers. Raises `ValueError` for an unusable key, and
`ConfigError` for a missing package."""

TOKEN_URL = "https://oauth2.googleapis.com/token"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFETIME = 3_600
"""Seconds that an assertion may be used, the most that the token server accepts."""

_FIELDS = {
    "service_account": ("client_email", "private_key"),
    "authorized_user": ("client_id", "client_secret", "refresh_token"),
}
_PROJECT = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.:_-]*)?")
_HINT = "Name the JSON file of a service account, or of gcloud auth application-default login."


@attrs.frozen
class GoogleCredentials:
    """The content of a file of credentials. `fields` has the secrets, which are never shown.

    Attributes:
        path: the file
        kind: `service_account` or `authorized_user`
        token_url: the address of the token server
        fields: the parts of the file that a request for a token needs
        scope: what a service account asks for: addresses of scopes, with spaces between them
        sign: signs the request of a service account
        project: the project of the file, or empty
        quota_project: pays for the requests of a person, who has no project
        subject: the person for whom a service account acts, or empty
    """

    path: str
    kind: str
    token_url: str
    fields: dict[str, str] = attrs.field(repr=False)
    scope: str
    sign: Sign = attrs.field(repr=False)
    project: str = ""
    quota_project: str = ""
    subject: str = ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that no error may contain."""
        return tuple(value for name, value in self.fields.items() if name not in ("client_email", "client_id"))

    def build_request(self, now: float) -> bytes:
        """Return the body of the request for a token. `now` is the time in seconds since 1970.

        Signing may import a package and takes a while: call this in a thread. Raises `ConfigError` for an unusable
        private key, and as `sign`.
        """
        if self.kind == "authorized_user":
            return urlencode({"grant_type": "refresh_token", **self.fields}).encode()
        return urlencode({"grant_type": _GRANT, "assertion": self._sign(now)}).encode()

    def _sign(self, now: float) -> str:
        claims = {
            "iss": self.fields["client_email"],
            "scope": self.scope,
            "aud": self.token_url,
            "iat": int(now),
            "exp": int(now) + _LIFETIME,
        }
        claims |= {"sub": self.subject} if self.subject else {}
        headers = {"kid": self.fields["private_key_id"]} if self.fields.get("private_key_id") else {}
        try:
            return self.sign(claims, self.fields["private_key"], headers)
        except ValueError:
            # From None: the cause may quote the key.
            hint = "Download the key of the service account again."
            raise ConfigError(f"the private_key in {self.path} cannot be used", hint=hint) from None


def read_google_credentials(path: str, scope: str, sign: Sign, *, subject: str = "") -> GoogleCredentials:
    """Read a file of credentials. Raises `ConfigError` for a missing or unusable file; the error shows no secret."""
    try:
        value = json.loads(Path(path).expanduser().read_bytes())
    except OSError as exc:
        raise ConfigError(f"the credentials file {path} cannot be read: {exc.strerror}", hint=_HINT) from exc
    except ValueError:
        raise ConfigError(f"the credentials file {path} is not JSON", hint=_HINT) from None
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in _FIELDS:
        hint = f"{_HINT} For others, set an access token."
        raise ConfigError(f"the credentials file {path} is of the type {kind!r}", hint=hint)
    fields = {name: _check_field(path, value, name) for name in _FIELDS[kind]}
    if isinstance(value.get("private_key_id"), str) and kind == "service_account":
        fields["private_key_id"] = value["private_key_id"]
    url = _check_url(path, value.get("token_uri") or TOKEN_URL)
    quota = _read_project(path, value, "quota_project_id")
    project = _read_project(path, value, "project_id") or quota
    return GoogleCredentials(path, kind, url, fields, scope, sign, project, quota, subject)


def _read_project(path: str, value: dict[str, Any], name: str) -> str:
    project = value.get(name) or ""
    # The project becomes a part of the address, and a header.
    if not isinstance(project, str) or not _PROJECT.fullmatch(project):
        raise ConfigError(f"the {name} in {path} is {project!r}", hint=_HINT)
    return project


def _check_field(path: str, value: dict[str, Any], name: str) -> str:
    field = value.get(name)
    if not isinstance(field, str) or not field.strip():
        raise ConfigError(f"the credentials file {path} has no {name}", hint=_HINT)
    return field


def _check_url(path: str, url: Any) -> str:
    """Return the address of the token server, which must be encrypted or on this machine: the request is a secret."""
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or not parts.hostname or (parts.scheme != "https" and not _is_loopback(parts.hostname)):
        raise ConfigError(f"the token_uri in {path} is not an https address", hint=f"Google's is {TOKEN_URL}.")
    return str(url)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
