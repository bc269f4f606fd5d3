"""The settings of the plugin: the table `[plugins.serve]` of agno-rt.toml. Knows none of its readers."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

__all__ = ["Settings"]


@attrs.frozen
class Settings:
    """Settings of the server. Times are in seconds, sizes in bytes.

    host, port       the address to listen on; port 0 takes a free port
    workers          processes that serve on the port; each has its own memory, limits and connections
    grace            time for running requests to end once the server is told to stop
    max_connections  open at once; for one more the idlest is closed, or 503 is answered if every connection has a
                     request under way
    body_memory      the requests of all connections together, until they are answered; more is answered 503
    max_head         a request's line and headers; more is answered 431
    max_body         a request's body, which is held in memory; more is answered 413 (and so is more than seven eighths
                     of body_memory)
    max_media        one image, audio, video or file in a body; more is answered 413
    media_urls       accept media by URL, for the model's provider to fetch
    head_timeout     from a request's first byte to the end of its head; then 408
    body_timeout     from the end of the head to the end of the body; then 408
    keep_alive       time that a connection may stay open between requests
    send_timeout     time for a client to read the next bytes of a response; then the connection is cut
    key              the key for clients; better kept in the environment, or in a file
    key_file         a file with the key, readable only by its owner; a missing file is made with a new key
    no_auth          serve beyond this machine without a key
    allowed_hosts    names that the Host header may have, beside loopback's; if empty, a server with a key allows any
    cors_origins     origins of pages that may use the API from a browser; `*` is any
    show_errors      tell clients the whole text of inner errors: for developers of the agents
    access_log       log a line for each request
    profile          serve /debug/profile and /debug/memory, for clients on this machine
    profile_remote   serve both for all clients
    inspect          let `agno-rt top` of the same user, on this machine, ask about the agents' runs
    wakes            resume paused runs when their time comes: sleeps, timeouts and expired approvals
    benchmarks       the folder of a published dashboard of benchmarks, served at /benchmarks; empty is none
    suggestions      questions to offer for an agent, by the agent's name
    """

    host: str = "127.0.0.1"
    port: int = 7777
    workers: int = 1
    grace: float = 10.0
    max_connections: int = 5_000
    body_memory: int = 268_435_456
    max_head: int = 32_768
    max_body: int = 10_000_000
    max_media: int = 7_000_000
    media_urls: bool = True
    head_timeout: float = 10.0
    body_timeout: float = 60.0
    keep_alive: float = 75.0
    send_timeout: float = 30.0
    key: str = attrs.field(default="", repr=False)
    key_file: str = ""
    no_auth: bool = False
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    show_errors: bool = False
    access_log: bool = False
    profile: bool = False
    profile_remote: bool = False
    inspect: bool = True
    wakes: bool = True
    benchmarks: str = ""
    suggestions: Mapping[str, tuple[str, ...]] = attrs.Factory(dict)
