"""Agent cards: the descriptions of runnables for clients of A2A."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any, TypeAlias

import msgspec

from agno_rt import Agent, Runnable
from agno_rt.errors import ConfigError, suggest
from agno_rt_serve.api.a2a.bind import read_user
from agno_rt_serve.api.a2a.legacy import write_legacy_card
from agno_rt_serve.api.a2a.messages import INPUT_MODES
from agno_rt_serve.api.a2a.push import PushNotifications
from agno_rt_serve.api.a2a.refusals import UNSUPPORTED_OPERATION, Refusal
from agno_rt_serve.api.agents import list_tools
from agno_rt_serve.api.openai.structured import is_typed
from agno_rt_serve.api.site import Site, can_be_logged
from agno_rt_serve.auth.caller import caller_of, scope_kind, user_of
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, header, respond

__all__ = ["CARD", "LEGACY_CARD", "Cards", "unknown_card"]

Json: TypeAlias = dict[str, Any]

CARD = "/.well-known/agent-card.json"
LEGACY_CARD = f"/v0.3{CARD}"
MAX_AGE = 300
MOST_SKILLS = 100


class Cards:
    """Makes and serves the cards."""

    def __init__(self, site: Site, push: PushNotifications, *, locked: bool) -> None:
        self._site = site
        self._push = push
        self._locked = locked
        self._settings = site.settings.a2a
        self.default = self._find_default()

    @property
    def is_open(self) -> bool:
        """True if everybody may see the cards' beginnings."""
        return self._locked and self._settings.open_cards

    def _find_default(self) -> Runnable | None:
        """Return the runnable of the server's own card. Raises `ConfigError` for an unknown name in the settings."""
        known = {name: each for name, each in self._site.project.runnables.items() if can_be_logged(each)}
        wanted = self._settings.agent
        if wanted and wanted not in known:
            hint = suggest("agent", wanted, known)
            raise ConfigError(f"[plugins.serve.a2a]: there is no agent {wanted!r}", hint=hint)
        return known[wanted] if wanted else next(iter(known.values()), None)

    async def serve(self, runnable: Runnable, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the card of the runnable, if the caller may see it."""
        await self._serve(runnable, scope, send, lambda card: card)

    async def serve_legacy(self, runnable: Runnable, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the card in the form of version 0.3."""
        await self._serve(runnable, scope, send, write_legacy_card)

    async def _serve(self, runnable: Runnable, scope: Scope, send: Send, write: Callable[[Json], Json]) -> None:
        caller = caller_of(scope)
        if not self.is_open and not caller.may_run(runnable, "read"):
            caller.check("read", scope_kind(runnable), runnable.name)
        body = msgspec.json.encode(write(self.make(runnable, scope, whole=not self.is_open)))
        tag = b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()
        kept = b"private" if self._locked and not self.is_open else b"public"
        headers = [(b"cache-control", b"%b, max-age=%d" % (kept, MAX_AGE)), (b"etag", tag)]
        if tag in header(scope, b"if-none-match"):
            await respond(send, 304, headers, b"")
        else:
            await respond(send, 200, [*JSON, *headers], body)

    def make_extended(self, runnable: Runnable, scope: Scope) -> Json:
        """Return the whole card for a caller with a key. Raises `Refusal` on a server without keys."""
        if not self._locked:
            raise Refusal(
                UNSUPPORTED_OPERATION, "this server has no extended cards", f"GET {CARD} has all of the card."
            )
        caller = caller_of(scope)
        user_of(scope, read_user(scope))
        if not caller.may_run(runnable, "read"):
            caller.check("read", scope_kind(runnable), runnable.name)
        return self.make(runnable, scope, whole=True)

    def make(self, runnable: Runnable, scope: Scope, *, whole: bool) -> Json:
        """Return the card; a card that is not whole does not name tools, members and examples."""
        url = f"{self._find_base(scope)}/a2a/{runnable.name}"
        card: Json = {
            "name": runnable.name,
            "description": _describe(runnable),
            "version": version("agno-rt-serve"),
            "supportedInterfaces": [
                {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
                {"url": url, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
                {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
            ],
            "capabilities": {
                "streaming": True,
                "pushNotifications": self._push.is_supported,
                "extendedAgentCard": self._locked,
            },
            "defaultInputModes": list(INPUT_MODES),
            "defaultOutputModes": ["application/json" if is_typed(runnable) else "text/plain"],
            "skills": list(self._list_skills(runnable, whole=whole)),
        }
        if self._locked:
            card |= self._describe_security()
        return card

    def _describe_security(self) -> Json:
        scheme: Json = {"scheme": "Bearer", "description": "A key of this server, or a token that it trusts."}
        if self._site.settings.jwt.is_set and not (self._site.settings.key or self._site.settings.keys_file):
            scheme |= {"bearerFormat": "JWT", "description": "A token that this server trusts."}
        required: list[Json] = [{"schemes": {"bearer": {"list": []}}}]
        if self._site.settings.anonymous.agents:
            required.append({"schemes": {}})
        return {
            "securitySchemes": {"bearer": {"httpAuthSecurityScheme": scheme}},
            "securityRequirements": required,
        }

    def _find_base(self, scope: Scope) -> str:
        if self._settings.url:
            return self._settings.url.rstrip("/")
        host = header(scope, b"host").decode("latin-1") or "localhost"
        return f"{scope.get('scheme', 'http')}://{host}"

    def _list_skills(self, runnable: Runnable, *, whole: bool) -> Iterator[Json]:
        own: Json = {
            "id": runnable.name,
            "name": runnable.name,
            "description": _describe(runnable),
            "tags": [runnable.kind],
        }
        if whole and (examples := self._site.settings.suggestions.get(runnable.name)):
            own["examples"] = list(examples)
        yield own
        if not whole:
            return
        count = 1
        for part in runnable.parts():
            if count < MOST_SKILLS:
                count += 1
                yield _make_skill(f"{runnable.name}/{part.name}", part.name, _describe(part), part.kind)
        for tool in list_tools(runnable, self._site.tool) if isinstance(runnable, Agent) else ():
            if count < MOST_SKILLS:
                count += 1
                about = tool.description or f"The tool {tool.name}."
                yield _make_skill(f"{runnable.name}/{tool.name}", tool.name, about, "tool")


def _make_skill(id_: str, name: str, description: str, tag: str) -> Json:
    return {"id": id_, "name": name, "description": description, "tags": [tag]}


def _describe(runnable: Runnable) -> str:
    return runnable.description or f"The {runnable.kind} {runnable.name}."


def unknown_card() -> HttpError:
    """Return the error for the card of a server without runnables for A2A."""
    return HttpError(404, "not_found", "this server has no runnable for A2A", "Serve a project with an agent.")
