"""Facts about a server: address, project and location, credentials, and the schema of the settings table.

Reads the environment for keys; knows no HTTP client and no wire format.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import attrs

from agno_rt.errors import ConfigError, UsageError
from agno_rt.http_client.server import HttpServer, Key, without_query
from agno_rt.http_client.tables import choose_server, read_servers, read_table
from agno_rt.keys.find import find_key
from agno_rt_google.facts import ELSEWHERE, OTHER, Facts, known

__all__ = ["KEY_ENVS", "OFFICIAL_URL", "TOKEN_ENV", "Server", "Settings", "choose"]

OFFICIAL_URL = "https://generativelanguage.googleapis.com"
KEY_ENVS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
"""The names of the key for the Gemini API, in the order in which they are looked up."""

TOKEN_ENV = "GOOGLE_OAUTH_ACCESS_TOKEN"
"""The environment variable with an access token for Vertex AI."""

CREDENTIALS_ENV = "GOOGLE_APPLICATION_CREDENTIALS"
PROJECT_ENV, LOCATION_ENV = "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"
PLUGIN = "google"
VERTEX = "vertex"
_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*")
_MULTI_REGIONS = ("us", "eu")


@attrs.frozen(kw_only=True)
class Server(HttpServer, Facts):
    """A server with Gemini's format (see `HttpServer`), and the facts for all of its models (see `Facts`).

    Raises `UsageError` for an unusable value.

    Attributes:
        base_url: everything before the version of the API; a query is kept, and never shown. Default: the Gemini API,
            or Vertex AI at the location
        api_key_env: the name of the key. Default: GEMINI_API_KEY, else GOOGLE_API_KEY, for the Gemini API; no key for
            other servers
        version: the version of the API. Default: `v1beta`, and `v1` for Vertex AI
        vertex: ask Vertex AI, with an access token in place of a key
        project: the project in Google's cloud. Default: GOOGLE_CLOUD_PROJECT, else the project of the credentials
        location: the region of Vertex AI, as in `europe-west4`. Default: GOOGLE_CLOUD_LOCATION, else `global`
        credentials_file: the file of a service account, or of `gcloud auth application-default login`. Default:
            GOOGLE_APPLICATION_CREDENTIALS
        access_token_env: the environment variable with an access token, which goes before the file
        safety_settings: thresholds for harmful content, each as in the API's reference
        server_tools: tools that the service runs itself, each as in the API's reference
        models: `Facts` about single models, by name or by a prefix with a `*` at the end
    """

    base_url: str = attrs.field(default=OFFICIAL_URL, repr=lambda url: repr(without_query(url)))
    version: str = ""
    vertex: bool = False
    project: str = ""
    location: str = ""
    credentials_file: str = ""
    access_token_env: str = TOKEN_ENV
    safety_settings: tuple[Mapping[str, Any], ...] = ()
    server_tools: tuple[Mapping[str, Any], ...] = ()
    models: Mapping[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for name in ("project", "location", "version"):
            value = getattr(self, name)
            if value and not _PLACE.fullmatch(value):
                raise UsageError(f"{name} is {value!r}", hint="Write letters, digits, dots, colons and hyphens only.")
        if self.vertex and self.base_url == OFFICIAL_URL:
            object.__setattr__(self, "base_url", _find_vertex_url(self.find_location()))
        super().__attrs_post_init__()

    @property
    def is_official(self) -> bool:
        """True for Google itself."""
        # The leading dot admits the host itself and hosts below it, but no other host with the same ending.
        return f".{urlsplit(self.base_url).hostname}".endswith(".googleapis.com")

    def facts(self, model: str) -> Facts:
        """Return the facts of a model: first from `models`, then from the server's settings, then general facts.

        Prices count for the Gemini API only: those of Vertex AI differ by region.
        """
        model = model.rpartition("/")[2]
        general = known(model)
        if self.vertex or not self.is_official:
            general = attrs.evolve(general, price=None)
        return known(model, self.models).over(self).over(general).over(OTHER if self.is_official else ELSEWHERE)

    def key(self) -> Key:
        """Return the API key to send, read now; for Vertex AI, the access token, or an empty key for a file instead.

        Raises `ConfigError` for a missing or unusable key.
        """
        variable = ""
        if self.vertex:
            if os.environ.get(self.access_token_env, "").strip():
                variable = self.access_token_env
        elif self.is_official and self.api_key is None and not self.api_key_env:
            # Without any key, the error names the first.
            variable = next((name for name in KEY_ENVS if find_key(name) is not None), KEY_ENVS[0])
        return self.find_key(PLUGIN, variable)

    def find_location(self) -> str:
        """Return the location of Vertex AI: from the settings, else from the environment, else `global`."""
        return self.location or os.environ.get(LOCATION_ENV, "").strip() or "global"

    def find_project(self, other: str = "") -> str:
        """Return the project: from the settings, else from the environment, else `other`. Raises `ConfigError`."""
        project = self.project or os.environ.get(PROJECT_ENV, "").strip() or other
        if not _PLACE.fullmatch(project):
            hint = f"Set project in [plugins.{PLUGIN}], or {PROJECT_ENV}."
            raise ConfigError(f"Vertex AI needs a project, and the project is {project!r}", hint=hint)
        return project

    def find_credentials(self) -> str:
        """Return the path of the file with credentials, or an empty text."""
        return self.credentials_file or os.environ.get(CREDENTIALS_ENV, "").strip()

    def path(self, model: str, project: str = "") -> str:
        """Return the path of the model's methods below the base URL, without the method's name."""
        name = quote(model, safe="/-._~@")
        if not self.vertex:
            return f"{self.version or 'v1beta'}/{name if '/' in model else f'models/{name}'}"
        version = self.version or "v1"
        if model.startswith("projects/"):
            return f"{version}/{name}"
        publisher = name if model.startswith("publishers/") else f"publishers/google/models/{name}"
        return f"{version}/projects/{project}/locations/{self.find_location()}/{publisher}"


def _find_vertex_url(location: str) -> str:
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in _MULTI_REGIONS:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


@attrs.frozen(kw_only=True)
class Settings(Server):
    """The table `[plugins.google]`: Google, and `servers` by name for `google:NAME:MODEL`."""

    servers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)


def choose(spec: str, settings: Mapping[str, Any]) -> tuple[str, str, Server]:
    """Return the model, the server's name (or "") and the server of a spec. Raises `UsageError`.

    Without a server of the name `vertex`, that name means Vertex AI with the settings of the plugin's own table.
    """
    servers = read_servers(
        PLUGIN,
        Server,
        Facts,
        settings,
        example='"http://127.0.0.1:8080", or vertex = true',
        needs_address=lambda server: not server.vertex,
    )
    is_vertex = spec.startswith(f"{VERTEX}:") and VERTEX not in servers
    read = read_table(Settings, Facts, {**settings, "vertex": True} if is_vertex else settings, f"plugins.{PLUGIN}")
    return choose_server(PLUGIN, spec, read, {**servers, VERTEX: read} if is_vertex else servers)
