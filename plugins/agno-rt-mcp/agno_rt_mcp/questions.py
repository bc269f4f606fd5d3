"""Questions of servers to people (elicitation), as stored questions of the run: no process has to stay for the answer.

A server of protocol 2026-07-28 answers a call with questions, and gets the call again with the answers. The run pauses
in between, and the resumed run makes the call again. A server of an earlier protocol asks while the call stays open:
the call is cancelled, and the resumed run makes the call again and answers there. Source: the MCP specification,
"Elicitation" and "Multi round-trip requests".
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import attrs
import mcp_types
import msgspec
import trio

from agno_rt.context import RunContext
from agno_rt.errors import Unanswered
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import Message
from agno_rt.result import RunResult
from agno_rt.runnable import Ask, Flow, Runnable
from agno_rt_mcp.forms import make_type

__all__ = ["Answers", "OpenCall", "OpenCalls", "ask_for_visits", "ask_person"]

REFUSED = mcp_types.ElicitResult(action="decline")
NOBODY = mcp_types.ElicitResult(action="cancel")


@attrs.frozen
class Answers:
    """Answers to a server's questions by key, and the state that the server wants back with them."""

    responses: dict[str, Any]
    state: str | None = None


class _Question(msgspec.Struct, omit_defaults=True):
    """A form to fill in, or an address to visit."""

    message: str
    schema: dict[str, Any] | None = None
    url: str = ""


class _Asked(msgspec.Struct, omit_defaults=True):
    questions: dict[str, _Question]
    state: str | None = None


@attrs.define(eq=False)
class _Questions(Runnable[Any, Any]):
    """The questions of a call, asked in a run within the run. A resumed run has the questions of its beginning."""

    asked: bytes
    name: str = "mcp_questions"
    description: str = "Asks a person for a server."
    memory: MemoryPolicy = MemoryPolicy(journal=True)

    async def conduct(self, flow: Flow, input: tuple[Message, ...]) -> dict[str, Any]:
        """Ask each question, and return the answers by key, None for a refusal, with the server's state."""
        recorded = await flow.given("asked", self.asked)
        asked = msgspec.json.decode(recorded or self.asked, type=_Asked)
        answers: dict[str, Any] = {}
        for key, question in asked.questions.items():
            kind: Any = Literal["done"] if question.url else make_type(question.schema or {})
            try:
                answer = await flow.ask(Ask(kind, question.message))
            except Unanswered:
                answers[key] = None
            else:
                answers[key] = {} if question.url else msgspec.to_builtins(answer)
        return {"answers": answers, "state": asked.state}


async def ask_person(
    context: RunContext[Any] | None, tool: str, request: mcp_types.InputRequiredResult, key: Any
) -> RunResult | Answers:
    """Return the answers to the server's questions; or the result of a paused run, for the tool to return.

    Without a run, and for anything but a question to a person, the answer is a refusal. `key` names the call: the same
    call finds its questions again.
    """
    requests = request.input_requests or {}
    questions = {name: _make_question(tool, each.params) for name, each in requests.items()}
    found = {name: question for name, question in questions.items() if question is not None}
    refused: dict[str, Any] = {name: REFUSED for name, each in requests.items() if _is_question(each)}
    if context is None or not found:
        return Answers(refused, request.request_state)
    answered = await _run_questions(context, _Asked(found, request.request_state), [tool, key])
    return (
        answered if isinstance(answered, RunResult) else attrs.evolve(answered, responses=refused | answered.responses)
    )


async def ask_for_visits(context: RunContext[Any] | None, tool: str, data: Any) -> RunResult | bool:
    """Ask a person to visit the addresses of the error `URL_ELICITATION_REQUIRED`; return whether the person did.

    Returns the result of a paused run as `ask_person`.
    """
    try:
        wanted = mcp_types.ElicitationRequiredErrorData.model_validate(data).elicitations
    except ValueError:
        return False
    if context is None or not wanted:
        return False
    questions = {str(number): _ask_for_visit(tool, each) for number, each in enumerate(wanted)}
    answered = await _run_questions(context, _Asked(questions), [tool, *map(_make_key, questions.values())])
    if isinstance(answered, RunResult):
        return answered
    return all(each.action == "accept" for each in answered.responses.values())


class OpenCall:
    """A call of an earlier protocol, in which the server may ask.

    A question is asked by a task of the connection with the variables of the tool's task, so that a call without
    questions needs no task of its own. The task ends before the call.
    """

    def __init__(self, context: RunContext[Any], tool: str) -> None:
        self._context = context
        self._tool = tool
        self._variables = contextvars.copy_context()
        self._scope = trio.CancelScope()
        self._asks: list[_Ask] = []
        self._outcome: RunResult | Exception | None = None

    async def run(self, send: Callable[[], Awaitable[Any]]) -> Any:
        """Return the result of the call; or the result of a run that waits for the person, and cancel the call."""
        result: Any = None
        try:
            with self._scope:
                result = await send()
        finally:
            for ask in self._asks:
                await ask.end()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome or result

    async def answer(self, params: Any, nursery: trio.Nursery) -> mcp_types.ElicitResult:
        """Ask the person in a task of the nursery, and return the answer."""
        ask = _Ask()
        self._asks.append(ask)
        self._variables.copy().run(nursery.start_soon, self._ask, ask, params)
        return await ask.wait()

    async def _ask(self, ask: _Ask, params: Any) -> None:
        try:
            with ask.scope:
                question = _make_question(self._tool, params)
                if question is None:
                    ask.give(REFUSED)
                    return
                asked, key = _Asked({"": question}), [self._tool, _make_key(question)]
                answered = await _run_questions(self._context, asked, key)
                if isinstance(answered, Answers):
                    ask.give(answered.responses[""])
                else:
                    self._stop(answered)
        except Exception as exc:  # raised by the call
            self._stop(exc)
        finally:
            ask.done.set()

    def _stop(self, outcome: RunResult | Exception) -> None:
        self._outcome = self._outcome or outcome
        self._scope.cancel()


class OpenCalls:
    """The open calls of a connection in which the server may ask. A question does not name its call."""

    def __init__(self) -> None:
        self.nursery: trio.Nursery | None = None
        self._calls: list[OpenCall] = []

    async def run(self, context: RunContext[Any], tool: str, send: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call in which the server may ask, and return the result as `OpenCall.run`."""
        call = OpenCall(context, tool)
        self._calls.append(call)
        try:
            return await call.run(send)
        finally:
            self._calls.remove(call)

    async def answer(self, context: Any, params: Any) -> mcp_types.ElicitResult:
        """Answer a server's question: by the person of the one open call; nobody answers among several calls."""
        if len(self._calls) != 1 or self.nursery is None:
            return NOBODY
        return await self._calls[0].answer(params, self.nursery)


class _Ask:
    """A question under way. The first answer counts; at the end of the call, nobody answers."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.done = trio.Event()
        self._given = trio.Event()
        self._answer = NOBODY

    def give(self, answer: mcp_types.ElicitResult) -> None:
        if not self._given.is_set():
            self._answer = answer
            self._given.set()

    async def wait(self) -> mcp_types.ElicitResult:
        await self._given.wait()
        return self._answer

    async def end(self) -> None:
        """Cancel the question, and wait for the end of its task: a run within must not outlive the call."""
        self.scope.cancel()
        with trio.CancelScope(shield=True):
            await self.done.wait()
        self.give(NOBODY)


async def _run_questions(context: RunContext[Any], asked: _Asked, key: Any) -> RunResult | Answers:
    named = msgspec.json.encode(key, order="deterministic").decode()
    result: RunResult = await context.run(_Questions(msgspec.json.encode(asked)), named)
    if result.status != "completed":
        return result
    said = msgspec.json.decode(result.content)
    responses = {name: _make_answer(asked, name, content) for name, content in said["answers"].items()}
    return Answers(responses, said["state"])


def _make_answer(asked: _Asked, name: str, content: Any) -> mcp_types.ElicitResult:
    if content is None:
        return REFUSED
    question = asked.questions.get(name)
    if question is not None and question.url:
        return mcp_types.ElicitResult(action="accept")
    return mcp_types.ElicitResult(action="accept", content=content)


def _is_question(request: Any) -> bool:
    return isinstance(request, mcp_types.ElicitRequest)


def _make_question(tool: str, params: Any) -> _Question | None:
    if isinstance(params, mcp_types.ElicitRequestURLParams):
        return _ask_for_visit(tool, params)
    if isinstance(params, mcp_types.ElicitRequestFormParams):
        return _Question(f"{tool}: {params.message}", params.requested_schema)
    return None


def _ask_for_visit(tool: str, params: mcp_types.ElicitRequestURLParams) -> _Question:
    # The person sees the whole address before the visit; nothing here opens it.
    said = f"{tool}: {params.message}\nOpen this address if you trust it, and answer done afterwards: {params.url}"
    return _Question(said, url=params.url)


def _make_key(question: _Question) -> Any:
    """Return the parts of a question that do not change when the server asks again."""
    if question.url:
        return question.url.partition("?")[0]
    return [question.message, question.schema]
