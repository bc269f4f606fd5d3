"""The access to Google's services: an access token, or a file of credentials that is exchanged for tokens.

References: Google's "Using OAuth 2.0 for server to server applications" (service accounts, also in the name of a
person), and RFC 6749, section 6 (refresh tokens).
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Any

import attrs
import trio

from agno_rt.errors import ConfigError, ModelError
from agno_rt.http_client.google_credentials import GoogleCredentials, read_google_credentials
from agno_rt.http_client.google_tokens import GoogleTokens
from agno_rt.http_client.server import Key
from agno_rt.keys.find import find_key
from agno_rt_services.service import PLUGIN, Definition
from agno_rt_services.settings import ServiceSettings

__all__ = ["CREDENTIALS_ENV", "GoogleAccess", "GoogleSettings", "sign"]

CREDENTIALS_ENV = "GOOGLE_APPLICATION_CREDENTIALS"
_MISSING = "service accounts need the package PyJWT, which is not installed"
_INSTALL = "pip install 'agno-rt-services[google]'"


@attrs.frozen(kw_only=True, slots=False)
class GoogleSettings(ServiceSettings):
    """The settings of a service of Google.

    Attributes:
        scope: what a service account asks for
        credentials_file: the file of a service account, or of a person with a refresh token. Default:
            GOOGLE_APPLICATION_CREDENTIALS
        subject: the person for whom a service account acts, if the domain allows it
    """

    scope: str = ""
    credentials_file: str = ""
    subject: str = ""


class GoogleAccess:
    """An access token from the settings or the environment; without one, tokens for a file of credentials."""

    def __init__(self, definition: Definition, settings: GoogleSettings) -> None:
        self._name = definition.name
        self._variable = settings.api_key_env or definition.key
        self._settings = settings
        self._tokens: GoogleTokens | None = None

    async def find(self) -> tuple[Key, Mapping[str, str]]:
        """Return the token, and the headers. Raises `ModelError` for every failure of the token server."""
        key = self._find_own()
        if key is not None:
            return key, key.bearer()
        if self._tokens is None:
            credentials = await trio.to_thread.run_sync(self._read_credentials)
            # Another call may have opened the tokens while this one read the file.
            self._tokens = self._tokens or self._open_tokens(credentials)
        key = await self._tokens.find_token()
        project = self._tokens.quota_project
        return key, key.bearer() | ({"x-goog-user-project": project} if project else {})

    def check_ready(self) -> None:
        """Raise `ConfigError` without a token and a usable file of credentials. Asks no server."""
        if self._find_own() is None:
            credentials = self._read_credentials()
            if credentials.kind == "service_account" and importlib.util.find_spec("jwt") is None:
                raise ConfigError(_MISSING, hint=_INSTALL)

    def renew(self, key: Key, error: ModelError) -> bool:
        """Drop a token that the service refuses; a token from the settings cannot be replaced."""
        if self._tokens is None or error.status != 401:
            return False
        self._tokens.forget(key)
        return True

    async def aclose(self) -> None:
        """Close the connection to the token server."""
        if self._tokens is not None:
            await self._tokens.aclose()

    def _find_own(self) -> Key | None:
        if self._settings.api_key is not None or find_key(self._variable) is not None:
            return self._settings.find_key(f"{PLUGIN}.{self._name}", self._variable)
        return None

    def _open_tokens(self, credentials: GoogleCredentials) -> GoogleTokens:
        return GoogleTokens(credentials, self._settings, self._name, f"{PLUGIN}:{self._name}", "agno-rt-services")

    def _read_credentials(self) -> GoogleCredentials:
        path = self._settings.credentials_file or os.environ.get(CREDENTIALS_ENV, "").strip()
        if not path:
            hint = f"Name the JSON file of a service account in {CREDENTIALS_ENV}, or set {self._variable} to a token."
            raise ConfigError(f"{self._name} needs credentials, and {CREDENTIALS_ENV} is not set", hint=hint)
        return read_google_credentials(path, self._settings.scope, sign, subject=self._settings.subject)


def sign(claims: Mapping[str, Any], key: str, headers: Mapping[str, str]) -> str:
    """Return the signed token. The import takes a tenth of a second: call this in a thread.

    Raises `ConfigError` for a missing package, and `ValueError` for an unusable key.
    """
    try:
        import jwt
        from jwt.exceptions import PyJWTError
    except ImportError as exc:
        raise ConfigError(_MISSING, hint=_INSTALL) from exc
    try:
        return jwt.encode(dict(claims), key, algorithm="RS256", headers=dict(headers))
    except (PyJWTError, TypeError, NotImplementedError):
        # From None: the cause may quote the key.
        raise ValueError("the key cannot be used") from None
