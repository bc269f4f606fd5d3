"""An agent as a model of the chat completions format."""

from __future__ import annotations

import time
from typing import Any

from agno_rt import Agent, Runnable, RunResult
from agno_rt_serve.api.agents import tool_names
from agno_rt_serve.api.launch import RUN_ERRORS
from agno_rt_serve.api.openai import answers, request
from agno_rt_serve.api.openai.client_tools import ClientTools, add_tools, without_stand_in
from agno_rt_serve.api.openai.described import describe
from agno_rt_serve.api.openai.models import find_model
from agno_rt_serve.api.openai.structured import is_typed, set_format
from agno_rt_serve.api.routing import Answer, Route
from agno_rt_serve.api.runner import Task
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import admit, payer_of
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, json_body, request_id, respond

__all__ = ["ChatCompletions"]


_ANY: Any = dict[str, Any]
_COMPLETE = describe(
    "complete_chat",
    "Complete a chat",
    (
        Answer(200, _ANY, "The completion."),
        Answer(200, None, "With `stream`: the completion in pieces.", "text/event-stream"),
    ),
    body=request.ChatBody,
    errors=(*RUN_ERRORS, 404),
)


class ChatCompletions:
    """Answers `/v1/chat/completions`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the route; errors have OpenAI's shape."""
        return [Route("POST", "/v1/chat/completions", self._complete, answers.error_body, _COMPLETE)]

    async def _complete(self, scope: Scope, receive: Receive, send: Send) -> None:
        chat = request.decode(await json_body(scope, receive))
        messages = request.conversation(chat, self._site.accepts)
        agent = find_model(self._site, chat.model)
        user = admit(scope, agent, chat.user or None)
        agent, taken = self._prepare(agent, chat)
        task = Task(agent, messages, user=user, payer=payer_of(scope))
        created = int(time.time())
        if not chat.stream:
            result = await self._site.runner.run(task)
            if result.status == "paused":
                raise answers.paused(result)
            calls = () if taken is None else taken.calls
            await respond(
                send, 200, JSON, answers.completion_body(without_stand_in(result, taken), chat.model, created, calls)
            )
            return
        chunks = answers.Chunks(chat.model, created, chat.include_usage, hold=is_typed(agent))

        def last(end: RunResult | HttpError) -> bytes:
            if isinstance(end, HttpError):
                return chunks.failed(end)
            if end.status == "paused":
                return chunks.failed(answers.paused(end))
            return chunks.end(without_stand_in(end, taken), () if taken is None else taken.calls)

        await self._site.runner.stream(task, send, chunks.feed, last, request_id(scope))

    def _prepare(self, agent: Runnable, chat: request.ChatBody) -> tuple[Runnable, ClientTools | None]:
        """Return the runnable with the client's settings, tools and format, and the hook that takes the calls."""
        format_ = request.read_format(chat)
        if not isinstance(agent, Agent):
            request.check_no_settings(chat, agent.kind)
            return agent if format_ is None else set_format(agent, format_, None, "response_format"), None
        own = tool_names(agent, self._site) if chat.tools else set()
        agent, taken = add_tools(request.apply_settings(agent, chat), own, request.read_tools(chat))
        return agent if format_ is None else set_format(agent, format_, taken, "response_format"), taken
