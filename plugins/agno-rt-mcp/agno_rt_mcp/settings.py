"""The settings of servers: tables `[plugins.mcp.servers.NAME]`, a file `.mcp.json`, and specs such as `./server.py`."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import msgspec

from agno_rt.config import read_settings
from agno_rt.errors import ConfigError, NotFound

__all__ = [
    "OAuthSettings",
    "PluginSettings",
    "ServerSettings",
    "fill_secrets",
    "find_server",
    "list_servers",
    "make_prefix",
    "show_url",
]

WHERE = "[plugins.mcp]"
JSON_FILE = ".mcp.json"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def _make_texts(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


def _hide_values(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name!r}: ..." for name in values) + "}"


@attrs.frozen(eq=False)
class OAuthSettings:
    """The login at a server over HTTP: the table `oauth`, in which all is optional. Raises `ConfigError`.

    Attributes:
        grant: `code` for the login of a person; `client_credentials` for a machine, without a person
        client_id: a client registered beforehand, or the https address of a document about the client; by default the
            login registers a client
        client_secret: the client's secret. `${NAME}` is the variable or key of the name
        issuer: the authorization server of the client, the only one to see the secret or what the key has signed
        scopes: the scopes to ask for, in place of those that the server names
        port: the port of this machine for the browser's way back; any free one by default
        key_file: the path of the client's private key in PEM form, in place of a secret (`private_key_jwt`)
        key_id: the issuer's name of the key, if the issuer wants one
    """

    grant: Literal["code", "client_credentials"] = "code"
    client_id: str = ""
    client_secret: str = attrs.field(default="", repr=False)
    issuer: str = ""
    scopes: tuple[str, ...] = attrs.field(default=(), converter=_make_texts)
    port: int = 0
    key_file: str = ""
    key_id: str = ""

    def __attrs_post_init__(self) -> None:
        if self.grant not in ("code", "client_credentials"):
            raise ConfigError(f"grant is {self.grant!r}", hint="Write code or client_credentials.")
        if self.client_secret and self.key_file:
            raise ConfigError("client_secret and key_file are two ways to say the same", hint="Leave one of them out.")
        proof = "client_secret" if self.client_secret else "key_file" if self.key_file else ""
        if self.grant == "client_credentials" and not (self.client_id and proof):
            hint = 'Write client_id = "..." and client_secret = "${NAME}", or key_file = "robot.pem".'
            raise ConfigError("grant client_credentials needs a client_id and a client_secret or a key_file", hint=hint)
        if proof and not (self.client_id and self.issuer):
            hint = 'Write issuer = "https://...": a server could name another issuer, and would get the secret.'
            raise ConfigError(f"{proof} needs a client_id and an issuer", hint=hint)
        if not 0 <= self.port < 65536:
            raise ConfigError(f"port is {self.port!r}", hint="Give 0 for any port, or a number up to 65535.")


@attrs.frozen(eq=False)
class ServerSettings:
    """A server: a command or a URL, and rules for the tools. Raises `ConfigError`.

    Attributes:
        name: the name in errors
        command: the program to start, which speaks over stdin and stdout
        args: the arguments of the command
        env: the environment, beside HOME, PATH and a few more variables of this process
        cwd: the working directory
        url: the address of a server over HTTP, in place of a command
        headers: sent with each request. In `env` and `headers`, `${NAME}` is the variable or key of the name
        oauth: how to log in at a server over HTTP without a header `Authorization`
        allow: the tools to take, by the server's names; all by default
        rename: other names for tools, by the server's names
        prefix: put before the names of the other tools
        approve: when to ask a person before a call. `declared`: for tools declared as destructive; `writes`: for
            all tools but those declared as read-only; `always`, `never`
        prompts: whether to offer two tools that list and fill in the server's prompts
        resources: whether to offer two tools that list and read the server's resources
        questions: whether a server may ask a person in the middle of a call: the run pauses, and calls again
        protocol: `auto`, `legacy` for the handshake of 2025 and before, or a later version
        connect_timeout: seconds for the start, up to the list of tools
        timeout: seconds for one call
        grace: seconds between closing a server's input, SIGTERM and SIGKILL
        restarts: how often in a row a lost server is started again, later each time
        max_message: the most bytes of a message
        max_pages: the most pages of a list
    """

    name: str = ""
    command: str = ""
    args: tuple[str, ...] = attrs.field(default=(), converter=_make_texts)
    env: Mapping[str, str] = attrs.field(factory=dict, repr=_hide_values)
    cwd: str | None = None
    url: str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=_hide_values)
    oauth: OAuthSettings = attrs.field(factory=OAuthSettings)
    allow: tuple[str, ...] = attrs.field(default=(), converter=_make_texts)
    rename: Mapping[str, str] = attrs.field(factory=dict)
    prefix: str = ""
    approve: Literal["declared", "writes", "always", "never"] = "declared"
    prompts: bool = False
    resources: bool = False
    questions: bool = True
    protocol: str = "auto"
    connect_timeout: float = 30.0
    timeout: float = 120.0
    grace: float = 2.0
    restarts: int = 6
    max_message: int = 16 * 2**20
    max_pages: int = 100

    @property
    def has_own_key(self) -> bool:
        """True if the headers have a key, so that no login is needed."""
        return any(name.lower() == "authorization" for name in self.headers)

    def __attrs_post_init__(self) -> None:
        if bool(self.command) == bool(self.url):
            hint = 'Write command = "..." to start it, or url = "https://..." to reach it.'
            raise ConfigError(f"the MCP server {self.name!r} needs either a command or a url", hint=hint)
        if self.url and not self.url.startswith(("https://", "http://")):
            raise ConfigError(f"url is {self.url!r}", hint="Write https://HOST/PATH.")
        for name in ("connect_timeout", "timeout", "grace", "max_message", "max_pages"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)!r}", hint="Give a number above 0.")
        if self.restarts < 0:
            raise ConfigError(f"restarts is {self.restarts!r}", hint="Give 0 or more.")
        if self.approve not in ("declared", "writes", "always", "never"):
            raise ConfigError(f"approve is {self.approve!r}", hint="Write declared, writes, always or never.")


@attrs.frozen
class PluginSettings:
    """The table `[plugins.mcp]`: servers by name, the file of servers shared with others, and our own server."""

    servers: Mapping[str, Any] = attrs.Factory(dict)
    file: str = JSON_FILE
    serve: Mapping[str, Any] = attrs.Factory(dict)


def list_servers(settings: Mapping[str, Any]) -> dict[str, ServerSettings | ConfigError]:
    """Return the servers of the table and of the file, by name; the table wins. Raises `ConfigError`.

    The file is shared with other programs: an entry that is of no use here is the error of its name alone.
    """
    table = read_settings(PluginSettings, settings, WHERE)
    own = settings.get("servers", {})  # these tables know the lines of the file
    found = {name: _read_table(name, given) for name, given in own.items()}
    return _read_file(Path(table.file)) | found


def find_server(spec: str, settings: Mapping[str, Any]) -> ServerSettings:
    """Return the server of a spec: a name, a URL, a file or a command line. Raises `ConfigError`, `NotFound`."""
    if spec.startswith(("https://", "http://")):
        return ServerSettings(show_url(spec), url=spec)
    if re.fullmatch(r"[\w.-]+", spec) and not spec.endswith((".py", ".js")):
        known = list_servers(settings)
        if (found := known.get(spec)) is not None:
            if isinstance(found, ConfigError):
                raise found
            return found
        hint = f"Write [plugins.mcp.servers.{spec}], or a file or a command line: mcp:./server.py."
        raise NotFound("MCP server", spec, known, hint="" if known else hint)
    try:
        command, *args = shlex.split(spec)
    except ValueError as exc:
        raise ConfigError(f"{spec!r} is not a command line: {exc}", hint="Close the quotes.") from exc
    name = Path(command).stem if not args else spec
    if command.endswith(".py"):
        return ServerSettings(name, command=sys.executable, args=(command, *args))
    if command.endswith((".js", ".mjs")):
        return ServerSettings(name, command="node", args=(command, *args))
    return ServerSettings(name, command=command, args=tuple(args))


def make_prefix(server: ServerSettings) -> str:
    """Return the beginning of the names of tools that are ours, and not the server's."""
    return server.prefix or re.sub(r"\W+", "_", server.name).strip("_") + "_"


def show_url(url: str) -> str:
    """Return the URL without a password and a query, which may be secrets."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])


def _read_table(name: str, given: Any) -> ServerSettings:
    if not isinstance(given, Mapping):
        raise ConfigError(f"the MCP server {name!r} is not a table", hint=f"Write [plugins.mcp.servers.{name}].")
    made = read_settings(ServerSettings, given, f"[plugins.mcp.servers.{name}]")
    return attrs.evolve(made, name=name)


class _JsonServer(msgspec.Struct):
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str = ""
    headers: dict[str, str] = {}
    type: str = ""


class _JsonFile(msgspec.Struct):
    servers: dict[str, Any] = msgspec.field(default_factory=dict, name="mcpServers")


def _read_file(path: Path) -> dict[str, ServerSettings | ConfigError]:
    """Return the servers of a file `.mcp.json`; none without the file. Unknown keys belong to other programs."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}") from exc
    try:
        found = msgspec.json.decode(text, type=_JsonFile).servers
    except msgspec.MsgspecError as exc:
        raise ConfigError(f"{path} cannot be used: {exc}", hint='It has {"mcpServers": {"NAME": {...}}}.') from exc
    servers = dict[str, ServerSettings | ConfigError]()
    for name, given in found.items():
        try:
            servers[name] = _read_entry(name, given)
        except ConfigError as exc:
            servers[name] = exc.at(str(path))
    return servers


def _read_entry(name: str, given: Any) -> ServerSettings:
    try:
        each = msgspec.convert(given, _JsonServer)
    except msgspec.ValidationError as exc:
        hint = 'Write {"command": "...", "args": ["..."]} or {"url": "https://..."}.'
        raise ConfigError(f"the MCP server {name!r} cannot be used: {exc}", hint=hint) from exc
    if each.type == "sse":
        hint = "The transport is deprecated; ask for the server's streamable HTTP address."
        raise ConfigError(f"the MCP server {name!r} is reached by SSE alone", hint=hint)
    return ServerSettings(name, each.command, each.args, each.env, each.cwd, each.url, each.headers)


def fill_secrets(server: str, values: Mapping[str, str]) -> dict[str, str]:
    """Replace `${NAME}` and `${NAME:-default}` by variables of the environment, or keys of the user's file of keys.

    Raises `ConfigError` for a missing variable. Errors contain no values.
    """
    from agno_rt.keys.find import find_key

    def fill(found: re.Match[str]) -> str:
        name, default = found.group(1), found.group(2)
        if (text := os.environ.get(name)) is not None:
            return text
        if (key := find_key(name)) is not None:
            return key.text
        if default is not None:
            return default
        hint = f"Set the variable, or store it: agno-rt keys set {name}."
        raise ConfigError(f"the MCP server {server!r} needs {name}, which is not set", hint=hint)

    return {key: _VARIABLE.sub(fill, text) for key, text in values.items()}
