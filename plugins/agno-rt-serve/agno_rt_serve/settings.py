"""The settings of the plugin: the table `[plugins.serve]` of agno-rt.toml. Knows none of its readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs

from agno_rt_serve.api.a2a.settings import A2ASettings
from agno_rt_serve.api.runs.webhook_settings import WebhookSettings
from agno_rt_serve.auth.settings import AnonymousSettings, JwtSettings

__all__ = ["Settings", "keys_place"]


@attrs.frozen
class Settings:
    """Settings of the server. Times are in seconds, sizes in bytes.

    host, port       the address to listen on; port 0 takes a free port
    unix             the path of a Unix socket to listen on, in place of host and port
    unix_mode        the permissions of that socket, in octal
    server           `own`, or `hypercorn` for TLS and HTTP/2 in this process; needs agno-rt-serve[hypercorn]
    tls_cert         the file of the certificate, with its chain; only for hypercorn
    tls_key          the file of the certificate's key
    workers          processes that serve on the port; each has its own memory, limits and connections
    reload           start anew when a .py or .toml file in the project's folder changes: for developers of the agents
    grace            time for running requests to end once the server is told to stop
    drain_delay      time for which a server that is told to stop still accepts, but says that it is not ready: a load
                     balancer turns away from it meanwhile
    max_connections  open at once; for one more the idlest is closed, or 503 is answered if every connection has a
                     request under way
    max_per_client   connections of one address at once; one more is answered 429. Trusted proxies have no such bound
    body_memory      the requests of all connections together, until they are answered; more is answered 503
    max_head         a request's line and headers; more is answered 431
    max_body         a request's body, which is held in memory; more is answered 413 (and so is more than seven eighths
                     of body_memory). Also a message on a WebSocket; more is closed with 1009
    max_media        one image, audio, video or file in a body; more is answered 413
    media_urls       accept media by URL, for the model's provider to fetch
    head_timeout     from a request's first byte to the end of its head; then 408
    body_timeout     from the end of the head to the end of the body, with a second more for each min_rate bytes that
                     have arrived; then 408
    keep_alive       time that a connection may stay open between requests
    send_timeout     time for a client to read the next bytes of a response; then the connection is cut
    min_rate         bytes a second that a client has to send of a body, or to read of a response that waits for it
    ping             time of silence after which a WebSocket's client is pinged; after the same time again it is cut
                     off. A stream of A2A gets a comment
    trusted_proxies  addresses and networks of proxies whose word counts about client, scheme, host and request id, or
                     `unix` for all who connect over a Unix socket
    proxy_headers    the headers that the proxies set: `x-forwarded` (X-Forwarded-For, -Proto, -Host) or `forwarded`
    key              the key for clients; better kept in the environment, or in a file
    key_file         a file with the key, readable only by its owner; a missing file is made with a new key
    keys_file        the file of `agno-rt serve keys`; by default serve-keys.json beside agno-rt.toml, if present
    rate_key         requests of each key without a rate, such as "60/m"
    rate_user        requests of each user, over all keys and tokens
    rate_address     requests of each client address, with and without a key
    audit_log        a file for lines of JSON about the deeds of callers; empty for no log
    jwt              the tokens to accept, as the table [plugins.serve.jwt]
    anonymous        the rights of callers without a key, as the table [plugins.serve.anonymous]
    no_auth          serve beyond this machine without a key
    allowed_hosts    names that the Host header may have, beside loopback's; if empty, a server with a key allows any
    cors_origins     origins of pages that may use the API from a browser; `*` is any
    show_errors      tell clients the whole text of inner errors: for developers of the agents
    access_log       log a line for each request
    log_format       `console` for people, or `json`: one object a line
    profile          serve /debug/profile and /debug/memory, for clients on this machine
    profile_remote   serve both for all clients
    inspect          let `agno-rt top` of the same user, on this machine, ask about the agents' runs
    warm             connect to the agents' models, and load models in this process, before serving
    wakes            resume paused runs when their time comes: sleeps, timeouts and expired approvals
    benchmarks       the folder of a published dashboard of benchmarks, served at /benchmarks; empty is none
    webhooks         whom to tell of the ends of runs, as the table [plugins.serve.webhooks]
    suggestions      questions to offer for an agent, by the agent's name
    agentos          where the routes of Agno-Go's AgentOS are; empty for nowhere
    a2a              the routes of the Agent2Agent protocol, as the table [plugins.serve.a2a]
    embedders        the embedders of /v1/embeddings: specs, by the name that clients send as `model`
    """

    host: str = "127.0.0.1"
    port: int = 7777
    unix: str = ""
    unix_mode: str = "660"
    server: Literal["own", "hypercorn"] = "own"
    tls_cert: str = ""
    tls_key: str = ""
    workers: int = 1
    reload: bool = False
    grace: float = 10.0
    drain_delay: float = 0.0
    max_connections: int = 5_000
    max_per_client: int = 2_500
    body_memory: int = 268_435_456
    max_head: int = 32_768
    max_body: int = 10_000_000
    max_media: int = 7_000_000
    media_urls: bool = True
    head_timeout: float = 10.0
    body_timeout: float = 60.0
    keep_alive: float = 75.0
    send_timeout: float = 30.0
    min_rate: int = 500
    ping: float = 20.0
    trusted_proxies: tuple[str, ...] = ()
    proxy_headers: Literal["x-forwarded", "forwarded"] = "x-forwarded"
    key: str = attrs.field(default="", repr=False)
    key_file: str = ""
    keys_file: str = ""
    rate_key: str = ""
    rate_user: str = ""
    rate_address: str = ""
    audit_log: str = ""
    jwt: JwtSettings = JwtSettings()
    anonymous: AnonymousSettings = AnonymousSettings()
    no_auth: bool = False
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    show_errors: bool = False
    access_log: bool = False
    log_format: Literal["console", "json"] = "console"
    profile: bool = False
    profile_remote: bool = False
    inspect: bool = True
    warm: bool = False
    wakes: bool = True
    benchmarks: str = ""
    webhooks: WebhookSettings = WebhookSettings()
    suggestions: Mapping[str, tuple[str, ...]] = attrs.Factory(dict)
    embedders: Mapping[str, str] = attrs.Factory(dict)
    agentos: str = "/api/v1"
    a2a: A2ASettings = A2ASettings()

    @property
    def asks_for_keys(self) -> bool:
        """True if clients need a key or a token, except for anonymous agents."""
        return bool(self.key or self.keys_file or self.jwt.is_set)


def keys_place(settings: Settings, folder: Path) -> Path:
    """Return the path of the file of keys, for a project in the folder."""
    return Path(settings.keys_file) if settings.keys_file else folder / "serve-keys.json"
