"""The routes of AG-UI: to run an agent, a team or a workflow in a thread, and to ask what it offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from agno_rt import Agent, AgnoError, Runnable, RunResult, Tool
from agno_rt.run_store import Approval, Resume
from agno_rt_serve.api.ag_ui.asked import RunAgentInput, read_input, read_tools
from agno_rt_serve.api.ag_ui.capabilities import Capabilities, list_capabilities
from agno_rt_serve.api.ag_ui.empty_messages import NoEmptyMessages
from agno_rt_serve.api.ag_ui.resume import PausedRun, Thread
from agno_rt_serve.api.ag_ui.state import StateWatch
from agno_rt_serve.api.ag_ui.stream import AgUiStream, Shared, render_refusal
from agno_rt_serve.api.agents import tool_names
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.launch import RUN_ERRORS
from agno_rt_serve.api.openai.client_tools import ClientTools, add_tools
from agno_rt_serve.api.routing import Answer, Doc, Route, path_value, read_body, read_query
from agno_rt_serve.api.run_format import state_of
from agno_rt_serve.api.runner import STREAM_HEADERS, Task
from agno_rt_serve.api.site import Site
from agno_rt_serve.api.users import UserQuery
from agno_rt_serve.auth.caller import Reach, admit, caller_of, payer_of
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, request_id, respond

__all__ = ["AgUi"]

_RUN = Doc(
    "ag_ui_run",
    "Run an agent, a team or a workflow for a client of AG-UI",
    Answer(200, None, "The events of AG-UI 1.0, from RUN_STARTED to RUN_FINISHED or RUN_ERROR.", "text/event-stream"),
    query=UserQuery,
    body=RunAgentInput,
    errors=RUN_ERRORS,
    tag="ag-ui",
    about="The thread is a session. A paused run ends with the outcome `interrupt`; `resume` in the next request "
    "answers its interrupts, and the run goes on. If the server keeps the thread, the messages after its last answer "
    "are new; else the whole conversation is read.",
)
_CAPABILITIES = Doc(
    "ag_ui_capabilities",
    "Get the capabilities of an agent, a team or a workflow, for a client of AG-UI",
    Capabilities,
    tag="ag-ui",
)


class AgUi:
    """Answers `/agents/{name}/ag-ui`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._faults = Faults(show=site.settings.show_errors)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("POST", "/agents/{name}/ag-ui", self._run, doc=_RUN),
            Route("GET", "/agents/{name}/ag-ui/capabilities", self._list_capabilities, doc=_CAPABILITIES),
        ]

    async def _list_capabilities(self, scope: Scope, receive: Receive, send: Send) -> None:
        runnable = self._site.project.runnable(path_value(scope, "name"))
        self._site.check(scope, "read", runnable.name)
        await respond(send, 200, JSON, msgspec.json.encode(list_capabilities(self._site, runnable)))

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        said = read_query(scope, UserQuery).user
        asked = await read_body(scope, receive, RunAgentInput)
        runnable = self._site.project.runnable(path_value(scope, "name"))
        # A caller without a name has no session: the conversation is what the client sends.
        session = None if caller_of(scope).kind == "anonymous" else asked.thread_id
        user = admit(scope, runnable, said, session)
        thread = Thread(self._site, runnable, session, Reach(user))
        try:
            paused = await self._find_paused(scope, thread, asked)
        except HttpError as error:
            if error.status == 403:
                raise
            await _refuse(send, asked, error)
            return
        except AgnoError as exc:
            await _refuse(send, asked, self._faults.describe(exc, request_id(scope)))
            return
        if paused is not None and paused.record.status == "completed":
            await self._send_again(send, asked, paused)
            return
        await self._stream(scope, send, asked, thread, paused)

    async def _find_paused(self, scope: Scope, thread: Thread, asked: RunAgentInput) -> PausedRun | None:
        """Return the run to go on with, decided; None to begin a run. Raises `HttpError` as the protocol wants."""
        if not asked.resume:
            if (open_run := await thread.find_paused()) is not None:
                hint = f"Answer them with `resume`: {', '.join(open_run.open) or open_run.record.id}."
                raise HttpError(409, "interrupts_open", "the thread's last run waits for answers", hint)
            return None
        paused = await thread.find_answered(asked.resume)
        await thread.decide(scope, paused, asked.resume)
        if paused.record.status not in ("paused", "completed"):
            status = paused.record.status
            raise HttpError(409, "run_conflict", f"the run {paused.record.id} is {status}", "Begin a new run.")
        return paused

    async def _stream(
        self, scope: Scope, send: Send, asked: RunAgentInput, thread: Thread, paused: PausedRun | None
    ) -> None:
        runnable, state = thread.runnable, StateWatch()
        equipped, taken = self._equip(runnable, asked, state)
        shared = Shared(
            state,
            self._name_streamed(equipped),
            (lambda: ()) if taken is None else (lambda: taken.calls),
            self._find_parameters,
            () if paused is None else paused.approvals,
        )
        events = AgUiStream(asked, shared)
        user, session = thread.reach.user, thread.session
        task = Task(equipped, "", session, user, events.feed_within, payer=payer_of(scope))
        if paused is not None:
            resume = Resume(paused.record.id)
            task = attrs.evolve(task, input=resume, session=None, user=paused.record.user, of_session=session)
        else:
            known = session is not None and (await self._site.runtime.memory.load(session, 0)).version > 0
            given = read_input(asked, runnable, self._site.accepts, known=known)
            # Clients send an empty state for none.
            deps = state_of(asked.state, runnable) if runnable.kind == "workflow" and asked.state else None
            task = attrs.evolve(task, input=given, deps=deps)
        await self._site.runner.stream(task, send, events.feed, events.end, request_id(scope))

    def _equip(
        self, runnable: Runnable, asked: RunAgentInput, state: StateWatch
    ) -> tuple[Runnable, ClientTools | None]:
        """Return the runnable with the client's tools, and with an eye on its state."""
        if not isinstance(runnable, Agent):
            if asked.tools:
                hint = "Leave `tools` out, or give the tools to an agent."
                raise HttpError(400, "invalid_body", f"{runnable.name} is a {runnable.kind}, and takes no tools", hint)
            return runnable, None
        own = tool_names(runnable, self._site) if asked.tools else set()
        agent, taken = add_tools(runnable, own, read_tools(asked))
        return attrs.evolve(agent, hooks=(*agent.hooks, state, NoEmptyMessages())), taken

    def _name_streamed(self, runnable: Runnable) -> set[str]:
        return tool_names(runnable, self._site) if isinstance(runnable, Agent) else set()

    def _find_parameters(self, approval: Approval) -> Mapping[str, Any] | None:
        """Return the JSON Schema of the tool that the approval is about, if the agent is known."""
        agent = self._site.project.runnables.get(approval.agent)
        if not isinstance(agent, Agent):
            return None
        try:
            tool: Tool | None = self._site.runtime.tools(agent).get(approval.call.name)
        except AgnoError:
            return None
        return None if tool is None else tool.parameters

    async def _send_again(self, send: Send, asked: RunAgentInput, paused: PausedRun) -> None:
        """Send the answer of a run that is over: the client sent its answers to the interrupts twice."""
        record = paused.record
        events = AgUiStream(asked, Shared(StateWatch()))
        body = events.end(RunResult(record.id, "completed", record.content))
        await respond(send, 200, STREAM_HEADERS, body)


async def _refuse(send: Send, asked: RunAgentInput, error: HttpError) -> None:
    await respond(send, 200, STREAM_HEADERS, render_refusal(asked, error))
