"""Facts about the services, and the table `[plugins.media]` with a table for each kind of tool.

Reads the environment for keys; knows no HTTP client and no wire format. References: OpenAI's API reference, "Images"
and "Audio", and its page "Deprecations", read on 2026-11-30; EvoLink's documentation, "Quick Integration";
ElevenLabs' API reference, "Create speech".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import attrs

from agno_rt.config import read_settings
from agno_rt.errors import UsageError
from agno_rt.http_client.server import HttpServer, Key, without_query
from agno_rt.http_client.tables import split_spec
from agno_rt.media import MAX_BYTES

__all__ = ["SERVICES", "Kind", "MediaServer", "Service", "Settings", "choose"]

PLUGIN = "media"

Kind: TypeAlias = Literal["image", "edit", "speech", "transcribe", "video"]


@attrs.frozen(kw_only=True)
class Service:
    """What is known of a service.

    Attributes:
        base_url: the address before the paths
        domain: the domain of the service's own servers, which get the service's key
        key_env: the name of the service's key
        hosts: hosts of finished files; `*.` at the beginning stands for any name before the rest
        models: the models that are used without a setting, by the kind of tool; an empty text for none
    """

    base_url: str
    domain: str
    key_env: str
    hosts: tuple[str, ...] = ()
    models: Mapping[Kind, str]


SERVICES: dict[str, Service] = {
    "openai": Service(
        base_url="https://api.openai.com/v1",
        domain="api.openai.com",
        key_env="OPENAI_API_KEY",
        # gpt-4o-mini-tts, and with it the last model of /audio/speech, ends on 2027-01-06.
        models={
            "image": "gpt-image-2.6-flare",
            "edit": "gpt-image-2.6-flare",
            "speech": "gpt-4o-mini-tts",
            "transcribe": "gpt-transcribe",
        },
    ),
    "evolink": Service(
        base_url="https://api.evolink.ai/v1",
        domain="api.evolink.ai",
        key_env="EVOLINK_API_KEY",
        hosts=("*.evolink.ai",),
        models={"image": "", "edit": "", "video": ""},
    ),
    "elevenlabs": Service(
        base_url="https://api.elevenlabs.io/v1",
        domain="api.elevenlabs.io",
        key_env="ELEVENLABS_API_KEY",
        models={"speech": "eleven_multilingual_v2"},
    ),
}

_SECONDS: dict[Kind, float] = {"image": 300.0, "edit": 300.0, "speech": 120.0, "transcribe": 300.0, "video": 1_200.0}
_BARE = ("pcm", "ulaw", "alaw")
"""Formats of sound without a signature."""

_VIDEO_BYTES = 200 * 2**20
"""The default bound of a video in a file; a video in a result has the bound of all media."""


# Without slots, as its base class.
@attrs.frozen(kw_only=True, slots=False)
class MediaServer(HttpServer):
    """A service, and the way to use it. Raises `UsageError` for an unusable value.

    Attributes:
        service: the wire format: `openai`, `evolink` or `elevenlabs`
        base_url: the address before `/images/generations`
        api_key_env: the name of the key. Default: the service's own for its own servers, and no key for other servers
        model: the model; the service's default without one
        size: the size or the shape of images and videos, in the service's words: `1024x1024`, `16:9`
        quality: the quality, in the service's words
        format: the format of images or sound, such as `png` or `mp3`; not `pcm`, which has no signature to check
        voice: the voice of speech; for ElevenLabs the id of a voice, which has no default
        instructions: how to speak
        duration: the length of a video, in seconds
        folder: the folder for finished files, whose paths are told. Without a folder, the result holds the bytes
        show: with a folder, put the bytes into the result, too, so that a model that takes such media can see them
        max_bytes: the largest finished or given file. Default: 20 MiB, and 200 MiB for videos with a folder
        timeout: seconds for one call. Default: 300, 120 for speech and 1,200 for video
        poll: seconds before the first question for a task; later waits grow up to ten times as long
        hosts: more hosts to fetch finished files from: `cdn.example.com`, `*.example.com`
        extra: more fields of the body of a request
    """

    base_url: str = attrs.field(default=SERVICES["openai"].base_url, repr=lambda url: repr(without_query(url)))
    service: Literal["openai", "evolink", "elevenlabs"] = "openai"
    model: str = ""
    size: str = ""
    quality: str = ""
    format: str = ""
    voice: str = "coral"
    instructions: str = ""
    duration: int | None = None
    folder: str = ""
    show: bool = False
    max_bytes: int | None = None
    timeout: float | None = None
    poll: float = 2.0
    hosts: tuple[str, ...] = ()
    extra: Mapping[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        HttpServer.__attrs_post_init__(self)
        for name in ("timeout", "poll"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds < math.inf:
                raise UsageError(f"{name} is {seconds!r}", hint="Give seconds above 0.")
        for name in ("max_bytes", "duration"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise UsageError(f"{name} is {count!r}", hint="Give a whole number of at least 1.")
        for host in self.hosts:
            if not host.removeprefix("*.") or "/" in host or "*" in host.removeprefix("*."):
                raise UsageError(f"hosts has {host!r}", hint="Write cdn.example.com, or *.example.com.")
        if self.format.startswith(_BARE):
            hint = "Write format = 'mp3_44100_128'." if self.service == "elevenlabs" else "Write format = 'wav'."
            raise UsageError(f"format is {self.format!r}, which cannot be told from other bytes", hint=hint)

    @property
    def facts(self) -> Service:
        """Return what is known of the service."""
        return SERVICES[self.service]

    @property
    def is_official(self) -> bool:
        """True for the service's own servers."""
        # The leading dot admits the host itself and hosts below it, but no other host with the same ending.
        return f".{urlsplit(self.base_url).hostname}".endswith(f".{self.facts.domain}")

    def key(self) -> Key:
        """Return the key to send, read now. Raises `ConfigError` for a missing or unusable key."""
        return self.find_key(PLUGIN, self.facts.key_env if self.is_official else "")

    def seconds(self, kind: Kind) -> float:
        """Return the seconds for one call."""
        return _SECONDS[kind] if self.timeout is None else self.timeout

    def most_bytes(self, kind: Kind) -> int:
        """Return the bound of a file."""
        if self.max_bytes is not None:
            return self.max_bytes
        return _VIDEO_BYTES if kind == "video" and self.folder and not self.show else MAX_BYTES

    def may_fetch(self, host: str) -> bool:
        """Return whether finished files may be fetched from the host: the service's own, or one of the settings."""
        official = self.facts.hosts if self.is_official else ()
        own = urlsplit(self.base_url).hostname or ""
        return any(_is_host(host, pattern) for pattern in (own, *official, *self.hosts))


@attrs.frozen(kw_only=True, slots=False)
class Settings(MediaServer):
    """The table `[plugins.media]`: keys for all tools, and a table for each kind of tool with keys of its own."""

    image: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    edit: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    speech: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    transcribe: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    video: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


_TABLES = ("image", "edit", "speech", "transcribe", "video")
_OF_SERVICE = ("api_key", "api_key_env", "base_url", "extra", "headers", "hosts", "model", "size", "quality", "format")
"""Keys that hold for one service: they are not taken over from a table with another service."""


def choose(kind: Kind, spec: str, settings: Mapping[str, Any]) -> MediaServer:
    """Return the server for a tool, with its model. `spec` is `MODEL`, `SERVICE:MODEL`, `SERVICE:` or empty.

    Raises `ConfigError` for an unusable table, and `UsageError` for a tool that the service does not have, and for a
    missing model.
    """
    read_settings(Settings, settings, f"[plugins.{PLUGIN}]")
    common = {key: value for key, value in settings.items() if key not in _TABLES}
    own = settings.get(kind, {})
    named, model = split_spec(spec, SERVICES) if ":" in spec else ("", spec)
    table = _lay_over(_lay_over(common, own), {"service": named} if named else {})
    table.setdefault("base_url", SERVICES.get(table.get("service", "openai"), SERVICES["openai"]).base_url)
    where = f"[plugins.{PLUGIN}.{kind}]" if kind in settings else f"[plugins.{PLUGIN}]"
    # Alone first: a table of a file knows the lines of its keys.
    read_settings(MediaServer, own, where)
    read = read_settings(MediaServer, table, where)
    return complete(kind, attrs.evolve(read, model=model) if model else read)


def complete(kind: Kind, server: MediaServer) -> MediaServer:
    """Return the server with a model. Raises `UsageError` for a missing model, and for a tool without a service."""
    models = server.facts.models
    if kind not in models:
        others = ", ".join(name for name, facts in SERVICES.items() if kind in facts.models)
        hint = f'Write service = "{others}" in [plugins.{PLUGIN}.{kind}], or media:{kind}:{others}:MODEL.'
        raise UsageError(f"media:{kind} is not known for the service {server.service}", hint=hint)
    if server.model or models[kind]:
        return attrs.evolve(server, model=server.model or models[kind])
    hint = f"Write media:{kind}:{server.service}:MODEL, or model in [plugins.{PLUGIN}.{kind}]."
    raise UsageError(f"media:{kind} has no model for the service {server.service}", hint=hint)


def _lay_over(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return both tables as one. Keys of one service are left behind if the second table names another service."""
    if own.get("service", common.get("service", "openai")) != common.get("service", "openai"):
        common = {key: value for key, value in common.items() if key not in _OF_SERVICE}
    return {**common, **own}


def _is_host(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
