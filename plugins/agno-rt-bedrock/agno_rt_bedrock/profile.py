"""Facts about Bedrock as a service: region, address, credentials, and the schema of the settings table.

Reads the environment and AWS's files for keys; knows no HTTP client and no wire format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs

from agno_rt.errors import ConfigError, UsageError
from agno_rt.http_client.server import HttpServer, Key, without_query
from agno_rt.http_client.tables import choose_server, read_servers, read_table
from agno_rt.keys.find import find_key
from agno_rt_bedrock.credentials import BEARER_ENV, find_credentials, find_region
from agno_rt_bedrock.facts import OTHER, Facts, find_price, known
from agno_rt_bedrock.signing import Credentials

__all__ = ["OFFICIAL_URL", "Server", "Settings", "choose"]

OFFICIAL_URL = "https://bedrock-runtime.{region}.amazonaws.com"
PLUGIN = "bedrock"
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:([a-z0-9-]+):")


@attrs.frozen(kw_only=True)
class Server(HttpServer, Facts):
    """Bedrock in a region (see `HttpServer`), and the facts for all of its models (see `Facts`).

    Raises `UsageError` for an unusable value.

    Attributes:
        base_url: everything before `/model/`, with `{region}` in place of the region
        region: the region; the default comes from the model's ARN, from AWS_REGION or AWS_DEFAULT_REGION, or from
            AWS's files
        profile: the profile in AWS's files; the default is AWS_PROFILE, and then `default`
        api_key_env: the variable with an API key, or the name of a kept key. Default: AWS_BEARER_TOKEN_BEDROCK if such
            a key is there; otherwise requests are signed with AWS credentials
        cache: the lifetime of cached prefixes: `5m`, `1h` (not for all models), or `off`
        body: fields of every request, as in the reference: `guardrailConfig`, `serviceTier`, `performanceConfig` …
        models: `Facts` about single models, by name or by a prefix with a `*` at the end
    """

    base_url: str = attrs.field(default=OFFICIAL_URL, repr=lambda url: repr(without_query(url)))
    region: str | None = None
    profile: str | None = None
    cache: Literal["5m", "1h", "off"] = "5m"
    body: Mapping[str, Any] = attrs.field(factory=dict)
    models: Mapping[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.region is not None and not _REGION.fullmatch(self.region):
            raise UsageError(f"region is {self.region!r}", hint="Write it as in 'eu-central-1'.")
        if self.profile == "":
            raise UsageError("profile is empty", hint="Name a profile of ~/.aws/config, or leave it out.")

    @property
    def is_official(self) -> bool:
        """True for AWS itself."""
        # The leading dot admits hosts below the name, but no other host with the same ending.
        return f".{urlsplit(self.base_url).hostname}".endswith((".amazonaws.com", ".amazonaws.com.cn"))

    def facts(self, model: str) -> Facts:
        """Return the facts of a model: first from `models`, then from the server's settings, then general facts.

        Prices count for AWS itself only.
        """
        general = known(model)
        if self.is_official:
            general = attrs.evolve(general, price=find_price(model))
        return known(model, self.models).over(self).over(general).over(OTHER)

    def find_region(self, model: str) -> str:
        """Return the region for the model; empty without one. Raises `ConfigError` for an unusable one or file."""
        arn = _ARN.match(model)
        found = self.region or (arn and arn[1]) or find_region(self.profile)
        if found and not _REGION.fullmatch(found):
            raise ConfigError(f"the AWS region is {found!r}", hint="Write it as in 'eu-central-1'.")
        return found

    def in_region(self, region: str) -> Server:
        """Return the server with the address for the region; unchanged for an empty region."""
        if not region:
            return self
        url = self.base_url.replace("{region}", region)
        if region.startswith("cn-") and self.base_url == OFFICIAL_URL:
            url += ".cn"
        return attrs.evolve(self, base_url=url, region=region)

    def find_access(self) -> Key | Credentials:
        """Return the API key to send, or the credentials to sign with, read now.

        An API key in the settings comes first, then a `profile` in the settings, then AWS_BEARER_TOKEN_BEDROCK, then
        the usual AWS credentials. Raises `ConfigError` for missing or unusable ones.
        """
        if self.api_key is not None or self.api_key_env:
            return self.find_key(PLUGIN)
        if self.profile is None and find_key(BEARER_ENV) is not None:
            return self.find_key(PLUGIN, BEARER_ENV)
        return find_credentials(self.profile)


@attrs.frozen(kw_only=True)
class Settings(Server):
    """The table `[plugins.bedrock]`, and `servers` by name for `bedrock:NAME:MODEL`: other regions and accounts."""

    servers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)


def choose(spec: str, settings: Mapping[str, Any]) -> tuple[str, str, Server]:
    """Return the model, the server's name (or "") and the server of a spec. Raises `UsageError`."""
    read = read_table(Settings, Facts, settings, f"plugins.{PLUGIN}")
    servers = read_servers(PLUGIN, Server, Facts, settings)
    return choose_server(PLUGIN, spec, read, servers)
