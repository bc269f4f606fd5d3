"""An agent as a model of the chat completions format: listing models, and asking a model."""

from __future__ import annotations

import time

from agno_rt import Agent, Runnable, RunResult
from agno_rt.errors import NotFound
from agno_rt_serve.api.agents import tool_names
from agno_rt_serve.api.openai import answers, request
from agno_rt_serve.api.openai.client_tools import add_tools
from agno_rt_serve.api.routing import Route, path_value
from agno_rt_serve.api.runner import Task
from agno_rt_serve.api.site import Site
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, json_body, request_id, respond

__all__ = ["ChatCompletions"]


class ChatCompletions:
    """Answers under `/v1`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._created = int(time.time())
        self._models = answers.models_body(site.project.runnables, self._created)

    def routes(self) -> list[Route]:
        """Return the routes; errors have OpenAI's shape."""
        return [
            Route("GET", "/v1/models", self._list_models, answers.error_body),
            Route("GET", "/v1/models/{name}", self._get_model, answers.error_body),
            Route("POST", "/v1/chat/completions", self._complete, answers.error_body),
        ]

    async def _list_models(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, JSON, self._models)

    async def _get_model(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = path_value(scope, "name")
        self._agent(name)
        await respond(send, 200, JSON, answers.model_body(name, self._created))

    def _agent(self, name: str) -> Runnable:
        try:
            return self._site.project.runnable(name)
        except NotFound as exc:
            raise answers.unknown_model(exc) from exc

    async def _complete(self, scope: Scope, receive: Receive, send: Send) -> None:
        chat = request.decode(await json_body(scope, receive))
        messages = request.conversation(chat, self._site.accepts)
        agent = self._agent(chat.model)
        taken = None
        if isinstance(agent, Agent):
            own = tool_names(agent, self._site) if chat.tools else set()
            agent, taken = add_tools(request.apply_settings(agent, chat), own, chat)
        else:
            request.check_no_settings(chat, agent.kind)
        task = Task(agent, messages, user=chat.user or None)
        created = int(time.time())
        if not chat.stream:
            result = await self._site.runner.run(task)
            if result.status == "paused":
                raise answers.paused(result)
            calls = () if taken is None else taken.calls
            await respond(send, 200, JSON, answers.completion_body(result, chat.model, created, calls))
            return
        chunks = answers.Chunks(chat.model, created, chat.include_usage)

        def last(end: RunResult | HttpError) -> bytes:
            if isinstance(end, HttpError):
                return chunks.failed(end)
            if end.status == "paused":
                return chunks.failed(answers.paused(end))
            return chunks.end(end, () if taken is None else taken.calls)

        await self._site.runner.stream(task, send, chunks.feed, last, request_id(scope))
