"""All routes of A2A: the cards, JSON-RPC and HTTP+JSON, for each runnable."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs

from agno_rt import Runnable
from agno_rt.errors import NotFound
from agno_rt_serve.api.a2a.bind import Streams
from agno_rt_serve.api.a2a.cards import CARD, LEGACY_CARD, Cards, unknown_card
from agno_rt_serve.api.a2a.follow import Followers
from agno_rt_serve.api.a2a.operations import Operations
from agno_rt_serve.api.a2a.push import PushNotifications
from agno_rt_serve.api.a2a.refusals import encode_status
from agno_rt_serve.api.a2a.rest import Rest, Serve
from agno_rt_serve.api.a2a.rpc import Rpc, RpcRequest
from agno_rt_serve.api.a2a.shapes import A2ATask, PushConfig, PushConfigs, SendRequest, TaskPage
from agno_rt_serve.api.a2a.tasks import Tasks
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.routing import Answer, Doc, Route, path_value
from agno_rt_serve.api.runs.background import BackgroundRuns
from agno_rt_serve.api.runs.webhooks import Webhooks
from agno_rt_serve.api.site import Site, can_be_logged
from agno_rt_serve.http.asgi import Receive, Scope, Send

__all__ = ["A2A"]

_ANY: Any = dict[str, Any]
_EVENTS = Answer(200, None, "The updates of the task.", "text/event-stream")
_HEADERS = {"A2A-Version": "The version of the protocol, `1.0`. A request without it counts as one of version 0.3."}


def _describe(id_: str, summary: str, answers: Any, **more: Any) -> Doc:
    return Doc(f"a2a_{id_}", summary, answers, tag="a2a", headers=_HEADERS, error=_ANY, **more)


class A2A:
    """The routes of A2A, if the settings do not turn them off."""

    def __init__(
        self, site: Site, background: BackgroundRuns, faults: Faults, webhooks: Webhooks, *, locked: bool
    ) -> None:
        self._site = site
        tasks = Tasks(site, faults)
        followers = Followers(site, background, tasks, faults)
        self.push = PushNotifications(site, webhooks, tasks)
        operations = Operations(site, background, tasks, self.push, followers)
        self._cards = Cards(site, self.push, locked=locked)
        streams = Streams(faults, site.settings.ping)
        self._rpc = Rpc(operations, self._cards, faults, streams)
        self._rest = Rest(operations, self._cards, streams)

    @property
    def open_paths(self) -> frozenset[str]:
        """The paths of the cards, if everybody may see them."""
        if not self._cards.is_open:
            return frozenset()
        names = [name for name, each in self._site.project.runnables.items() if can_be_logged(each)]
        return frozenset({CARD, *(f"/a2a/{name}{card}" for name in names for card in (CARD, LEGACY_CARD))})

    def routes(self) -> list[Route]:
        """Return the routes; errors have the shapes of A2A."""
        card, is_open = partial(self._find_and_serve, self._cards.serve), self._cards.is_open
        doc = Doc("a2a_get_server_card", "Get the card of the server's first agent", _ANY, is_open=is_open, tag="a2a")
        own = Doc("a2a_get_card", "Get the card of a runnable", _ANY, is_open=is_open, tag="a2a")
        rpc = _describe(
            "rpc", "Call a method of A2A by JSON-RPC", (Answer(200, _ANY, "The answer."), _EVENTS), body=RpcRequest
        )
        answer = partial(self._find_and_serve, self._rpc.answer)
        return [
            Route("GET", CARD, self._serve_default, doc=doc),
            Route("GET", f"/a2a/{{name}}{CARD}", card, doc=own),
            Route(
                "GET",
                f"/a2a/{{name}}{LEGACY_CARD}",
                partial(self._find_and_serve, self._cards.serve_legacy),
                doc=attrs.evolve(own, id="a2a_get_legacy_card", summary="Get the card of a runnable for version 0.3"),
            ),
            Route("POST", "/a2a/{name}", answer, encode_status, rpc),
            # Some clients end the address of a card with a slash.
            Route("POST", "/a2a/{name}/", answer, encode_status, attrs.evolve(rpc, id="a2a_rpc_slash")),
            *self._list_rest(),
        ]

    def _list_rest(self) -> list[Route]:
        rest, task = self._rest, "/tasks/{id}"
        config = "/tasks/{taskId}/pushNotificationConfigs"
        subscribe = _describe("subscribe_to_task", "Follow a task until its end", _EVENTS)
        body = {"body": SendRequest}
        sent = Answer(200, _ANY, "The `task`.")
        return [
            self._bind("POST", "/message:send", rest.send, _describe("send_message", "Send a message", sent, **body)),
            self._bind(
                "POST", "/message:stream", rest.stream, _describe("stream_message", "Send a message", _EVENTS, **body)
            ),
            self._bind("GET", "/extendedAgentCard", rest.get_card, _describe("get_extended_card", "Get a card", _ANY)),
            self._bind("GET", f"{task}:subscribe", rest.subscribe, subscribe),
            self._bind(
                "POST", f"{task}:subscribe", rest.subscribe, attrs.evolve(subscribe, id="a2a_subscribe_to_task_post")
            ),
            self._bind("POST", f"{task}:cancel", rest.cancel, _describe("cancel_task", "Cancel a task", A2ATask)),
            self._bind("GET", "/tasks", rest.list_tasks, _describe("list_tasks", "List tasks", TaskPage)),
            self._bind("GET", task, rest.get, _describe("get_task", "Get a task", A2ATask)),
            self._bind(
                "POST",
                config,
                rest.create_config,
                _describe("create_push_config", "Add an address to notify of a task", PushConfig, body=PushConfig),
            ),
            self._bind("GET", config, rest.list_configs, _describe("list_push_configs", "List addresses", PushConfigs)),
            self._bind(
                "GET", f"{config}/{{id}}", rest.get_config, _describe("get_push_config", "Get an address", PushConfig)
            ),
            self._bind(
                "DELETE",
                f"{config}/{{id}}",
                rest.delete_config,
                _describe("delete_push_config", "Forget an address", _ANY),
            ),
        ]

    def _bind(self, method: str, path: str, serve: Serve, doc: Doc | None = None) -> Route:
        return Route(method, f"/a2a/{{name}}{path}", partial(self._find_and_serve, serve), encode_status, doc)

    async def _find_and_serve(self, serve: Serve, scope: Scope, receive: Receive, send: Send) -> None:
        await serve(self._find(path_value(scope, "name")), scope, receive, send)

    def _find(self, name: str) -> Runnable:
        found = self._site.project.runnable(name)
        if not can_be_logged(found):
            raise NotFound("agent", name, ())
        return found

    async def _serve_default(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._cards.default is None:
            raise unknown_card()
        await self._cards.serve(self._cards.default, scope, receive, send)
