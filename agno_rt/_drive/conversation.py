"""Prepares a run's turns from its session, state, hooks, instructions, facts and history, and stores the outcome.

The run's messages are appended at the end, with the state and the summary, in one step; a run that fails before stores
nothing. Knows storage only by the protocols in `memory`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from agno_rt._decide.history import Bounds, window
from agno_rt._decide.journal import NO_STATE, Begun, Replay
from agno_rt._decide.session_data import (
    Kept,
    KeptState,
    KeptSummary,
    new_state,
    read_kept,
    read_state,
    write_kept,
    write_state,
)
from agno_rt._decide.system_message import choose_facts, preamble
from agno_rt._decide.turns import Turns
from agno_rt._drive import call_hooks
from agno_rt._drive.ask_model import ask_aside, wait_for_place
from agno_rt._drive.job import Job, SessionAccess
from agno_rt._drive.render_instructions import render_instructions
from agno_rt._drive.scopes import ended_as
from agno_rt._drive.write_journal import Journal
from agno_rt.errors import AgnoError, BackendError, ModelError, SessionConflict
from agno_rt.events import ModelEnded, ModelStarted
from agno_rt.failures import must_pass, named, text_of
from agno_rt.memory import Fact, MemoryPolicy, Session, Summary, foreign_session
from agno_rt.messages import Message
from agno_rt.models import NO_USAGE, ModelRequest
from agno_rt.run_store import Appending

__all__ = ["run_conversation"]

FIRST_LOAD = 100
"""Messages to load at first if the policy does not bound their number."""

APPENDS = 16
"""Attempts to store a run's messages while other processes write to the session."""


def _build_opening(job: Job, history: Sequence[Message]) -> list[Message]:
    """Return the messages before the input: instructions and history."""
    text = job.instructions
    assert isinstance(text, str), "the run has begun"
    return [Message("system", text), *history] if text else list(history)


async def run_conversation(job: Job, turns: Turns, converse: Callable[[], Awaitable[None]]) -> None:
    """Begin the turns with the messages before the input, let `converse` take the turns, and store the outcome.

    Runs on one session follow one another. A failed or cancelled run stores nothing.
    """
    access, policy = job.session, job.policy
    if access is None:
        await _run_without_session(job, turns, converse)
        return
    if not access.lock.try_acquire():
        await wait_for_place(access.lock, job.limits.queue_timeout)
    try:
        if access.shared is not None:
            await access.shared.acquire(job.patience())
        if job.journal is not None and job.journal.replay is not None:
            await _resume_conversation(job, turns, job.journal.replay, converse)
            return
        no_more = policy.state is None and policy.summary is None and policy.facts is None
        if no_more and policy.runs is None and policy.tokens is None:
            await _run_with_history(job, turns, access, converse)
        else:
            await _run_with_all(job, turns, access, converse)
    finally:
        if access.shared is not None:
            await access.shared.release(access.lock)
        else:
            access.lock.release()


async def _run_without_session(job: Job, turns: Turns, converse: Callable[[], Awaitable[None]]) -> None:
    """Run without a session: no history, and a state that ends with the run."""
    if job.journal is not None and job.journal.replay is not None:
        await _resume_conversation(job, turns, job.journal.replay, converse)
        return
    if job.policy.state is not None:
        job.state = new_state(job.policy.state)
    await _prepare_input(job)
    turns.begin(_build_full_opening(job, await _load_facts(job), "", ()), job.input)
    if job.journal is not None:
        await _store_beginning(job, job.journal, turns, None, 0)
    await converse()
    if job.journal is not None:
        await _store_end(job, turns, None, None)


async def _run_with_history(
    job: Job, turns: Turns, access: SessionAccess, converse: Callable[[], Awaitable[None]]
) -> None:
    """Run with the usual session: its last messages, and nothing else."""
    last = job.policy.messages
    session = await _load_session(access, last, job.user)
    if job.hooks is not None or type(job.instructions) is not str:
        await _prepare_input(job)
    history = window(session.messages, last)
    # Written out here and below: the usual input, one user message, then costs no call.
    if job.input[1:] or (job.input and job.input[0].role == "system"):
        _move_system_messages(job)
    turns.begin(_build_opening(job, history), job.input)
    if job.journal is not None:
        await _store_beginning(job, job.journal, turns, session, len(history))
    await converse()
    await _store_end(job, turns, session, None)


async def _run_with_all(job: Job, turns: Turns, access: SessionAccess, converse: Callable[[], Awaitable[None]]) -> None:
    """Run with a session whose policy has a state, a summary, facts, or bounds on runs or tokens."""
    policy = job.policy
    recall = _recall_bounded if policy.summary is None else _recall_unsummarised
    session, kept, history = await recall(access, policy, job.user)
    if policy.state is not None:
        stored = kept.state
        job.state = new_state(policy.state) if stored is None else read_state(policy.state, stored, access.id)
    await _prepare_input(job)
    facts = await _load_facts(job)
    if policy.summary is not None:
        covers = session.total - len(history)
        kept.summary, history = await _update_summary(job, policy.summary, kept.summary, covers, history)
    if job.input[1:] or (job.input and job.input[0].role == "system"):
        _move_system_messages(job)
    summary = "" if policy.summary is None or kept.summary is None else kept.summary.text
    turns.begin(_build_full_opening(job, facts, summary, history), job.input)
    if job.journal is not None:
        await _store_beginning(job, job.journal, turns, session, len(history))
    await converse()
    if policy.state is not None:
        kept.state = write_state(policy.state, job.state, access.id)
    data = write_kept(kept)
    await _store_end(job, turns, session, None if data == session.data else data)


async def _store_beginning(job: Job, journal: Journal, turns: Turns, session: Session | None, count: int) -> None:
    """Store the run's beginning in its journal: the input, the system message, `count` messages of the session."""
    state = _keep_state(job, journal)
    system = turns.messages[0].text if turns.own > count else ""
    total, version = (0, 0) if session is None else (session.total, session.version)
    await journal.begin(
        Begun(job.input, system, count, total, version, NO_STATE if state is None else msgspec.Raw(state()))
    )


def _keep_state(job: Job, journal: Journal) -> Callable[[], bytes] | None:
    """Let the journal store the session's state with each step; return the function to encode the state."""
    policy, session = job.policy.state, "" if job.session is None else job.session.id
    if policy is not None:
        journal.state = lambda: msgspec.json.encode(write_state(policy, job.state, session))
    return journal.state


async def _resume_conversation(job: Job, turns: Turns, replay: Replay, converse: Callable[[], Awaitable[None]]) -> None:
    """Bring the turns to the point where an earlier process stopped, and go on."""
    access, policy, begun = job.session, job.policy, replay.begun
    session: Session | None = None
    history: Sequence[Message] = ()
    if access is not None:
        session, history = await _load_as_shown(access, begun, job.user)
    name = "" if access is None else access.id
    if policy.state is not None:
        if session is not None and session.version != begun.version:
            raise SessionConflict(
                f"the state of session {name!r} was changed by another run since run {replay.run!r} began",
                hint="Fork the run before it changed the state, or begin it anew.",
            )
        kept = msgspec.json.decode(replay.state, type=KeptState) if bytes(replay.state) else None
        job.state = new_state(policy.state) if kept is None else read_state(policy.state, kept, name)
    assert job.journal is not None
    _keep_state(job, job.journal)
    job.instructions = begun.system
    turns.begin(_build_opening(job, history), begun.input)
    replay.into(turns)
    job.called = replay.counts
    if job.budget is not None:
        job.budget.spend(turns.usage)
        job.budget.tool_calls += replay.calls
    await converse()
    data = None
    if session is not None and policy.state is not None:
        saved = read_kept(session.data, name)
        saved.state = write_state(policy.state, job.state, name)
        data = write_kept(saved)
    await _store_end(job, turns, session, data)


async def _load_as_shown(access: SessionAccess, begun: Begun, user: str | None) -> tuple[Session, Sequence[Message]]:
    """Return the present session, and the messages shown to the run when it began."""
    session = await _load_session(access, begun.shown, user)
    if session.total < begun.total:
        raise SessionConflict(f"session {access.id!r} was deleted since the run began", hint="Begin the run anew.")
    since = session.total - begun.total
    if since:
        # Other runs have added messages: load as many more, and cut them off below.
        session = await _load_session(access, begun.shown + since, user)
    until = len(session.messages) - since
    return session, session.messages[until - begun.shown : until]


async def _prepare_input(job: Job) -> None:
    """Call the hooks with the input, then render the instructions. Both may read the session's state, loaded before."""
    if job.hooks is not None:
        await call_hooks.before_run(job, job.hooks)
    if type(job.instructions) is not str:
        job.instructions = await render_instructions(job.instructions, job.context())


def _move_system_messages(job: Job) -> None:
    """Move the input's system messages to the end of the instructions.

    Many chat templates refuse a system message in the middle of a conversation, and stored ones would pile up run after
    run. So they hold for this run, like the instructions, and are not part of the session.
    """
    assert isinstance(job.instructions, str), "the run has begun"
    if not any(message.role == "system" for message in job.input):
        return
    said = (message.text for message in job.input if message.role == "system")
    job.instructions = "\n\n".join(text for text in (job.instructions, *said) if text)
    job.input = tuple(message for message in job.input if message.role != "system")


def _build_full_opening(job: Job, facts: Sequence[Fact], summary: str, history: Sequence[Message]) -> list[Message]:
    """Return the messages before the input: instructions with facts and summary, and history."""
    assert isinstance(job.instructions, str), "the run has begun"
    text = preamble(job.instructions, facts, summary)
    return [Message("system", text), *history] if text else list(history)


async def _load_facts(job: Job) -> Sequence[Fact]:
    """Load the facts about the user to show to the model."""
    policy, store, user = job.policy.facts, job.facts, job.user
    if policy is None or store is None or user is None or policy.inject == "none":
        return ()
    query = None if policy.inject == "all" else "\n".join(each.text for each in job.input if each.role == "user")
    try:
        found = await store.facts(user, query=query, limit=policy.limit)
        strange = any(fact.user != user for fact in found)
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise BackendError(f"the memory backend failed on the facts about user {user!r}: {named(exc)}") from exc
    if strange:
        hint = "Tell the author of the memory backend."
        raise BackendError(f"the memory backend returned facts about a user other than {user!r}", hint=hint)
    return choose_facts(found[: policy.limit], policy.tokens)


async def _load_session(access: SessionAccess, last: int | None, user: str | None) -> Session:
    """Load the session for a run of `user`. Raises `Forbidden` for another user's session."""
    try:
        session = await access.memory.load(access.id, last)
        if session.__class__ is not Session and not isinstance(session, Session):
            raise TypeError(f"its load returned a {type(session).__name__}, not a Session")
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise _make_session_error(access, exc) from exc
    if session.user != user and session.version:
        raise foreign_session(access.id, session.user, user)
    return session


async def _store_end(job: Job, turns: Turns, session: Session | None, data: bytes | None) -> None:
    """Store the run's messages in the session, with the run's end if there is a journal. A paused run has not ended.

    If another process has added a run meanwhile, store this run after it.
    """
    access, journal = job.session, job.journal
    if journal is not None and (turns.state == "paused" or access is None or session is None):
        if turns.state != "paused":
            await journal.end("completed", turns.content, None, None)
        return
    assert access is not None
    assert session is not None
    own, version, attempts = turns.own_messages(), session.version, APPENDS
    while True:
        attempts -= 1
        try:
            if journal is not None:
                append = Appending(access.id, own, version, job.user, data, job.agent)
                await journal.end("completed", turns.content, None, append)
            else:
                await access.memory.append(access.id, own, version=version, user=job.user, data=data, agent=job.agent)
            return
        except SessionConflict as exc:
            from agno_rt._drive.session_order import check_follows  # rarely needed: another process wrote too

            now = await _load_session(access, 0, job.user)
            changed = data is not None and job.policy.state is not None
            check_follows(session, now, exc, state_changed=changed, attempts=attempts)
            # The new summary is dropped, as `data` belongs to the old version; a later run makes another one.
            version, data = now.version, None
        except AgnoError:
            raise
        except BaseException as exc:
            if must_pass(exc):
                raise
            raise _make_session_error(access, exc) from exc


def _make_session_error(access: SessionAccess, exc: BaseException) -> BackendError:
    return BackendError(f"the memory backend failed on session {access.id!r}: {named(exc)}")


async def _recall_bounded(
    access: SessionAccess, policy: MemoryPolicy, user: str | None
) -> tuple[Session, Kept, Sequence[Message]]:
    """Load the session, the data kept with it, and the messages to show by the policy."""
    last, bounds = policy.messages, Bounds.of(policy)
    searching = last is None and not (policy.runs is None and policy.tokens is None)
    if searching:
        last = FIRST_LOAD
    while True:
        session = await _load_session(access, last, user)
        shown = window(session.messages, policy.messages)
        start = bounds.beginning(shown)
        if start or not searching or last is None or len(session.messages) < last:
            return session, read_kept(session.data, access.id), shown[start:]
        last *= 4  # a bound on runs or tokens lies further back than the messages loaded so far


async def _recall_unsummarised(
    access: SessionAccess, policy: MemoryPolicy, user: str | None
) -> tuple[Session, Kept, Sequence[Message]]:
    """Load the session, the data kept with it, and all messages after the summary."""
    last = FIRST_LOAD if policy.messages is None else policy.messages
    while True:
        session = await _load_session(access, last, user)
        kept = read_kept(session.data, access.id)
        covers = 0 if kept.summary is None else kept.summary.covers
        wanted = max(0, session.total - covers)
        if wanted <= len(session.messages):
            return session, kept, session.messages[len(session.messages) - wanted :]
        last = wanted


async def _update_summary(
    job: Job, asked: Summary, old: KeptSummary | None, covers: int, messages: Sequence[Message]
) -> tuple[KeptSummary | None, Sequence[Message]]:
    """Return the summary and the messages shown beside it; make a new one if the messages pass the policy's bounds.

    If a model call fails, the summary covers the pieces so far, and the next run goes on from there.
    """
    from agno_rt._decide.summary import pieces, summary_request  # only runs with a summary need the module

    bounds = Bounds.of(job.policy)
    start = bounds.beginning(messages)
    if start == 0:
        return old, messages
    cut, taken, tokens = bounds.scaled(asked.keep).beginning(messages), 0, job.policy.tokens
    for piece in pieces(messages[:cut], tokens):
        request = summary_request(asked, "" if old is None else old.text, piece, tokens, job.user)
        text = await _ask_summary(job, request)
        if not text:
            return old, messages[max(start, taken) :]
        taken += len(piece)
        old = KeptSummary(text, covers + taken)
    return old, messages[cut:]


async def _ask_summary(job: Job, request: ModelRequest) -> str:
    """Ask for a summary, with events; return "" if the model fails. The request does not count as a turn."""
    model, emitter = job.model if job.summarizer is None else job.summarizer, job.emitter
    if emitter is not None:
        await emitter.send(ModelStarted(job.run_id, model.name, request.turn))
    try:
        if job.budget is not None:
            job.budget.check()
        response = await ask_aside(job, model, request)
        if not response.content.strip():
            raise ModelError(f"the model {model.name} made an empty summary", provider=model.name)
    except BaseException as exc:
        if emitter is not None:
            status = ended_as(exc)
            text = None if status == "cancelled" else text_of(exc)
            emitter.post(ModelEnded(job.run_id, model.name, request.turn, status, NO_USAGE, text))
        if not isinstance(exc, AgnoError):
            raise
        return ""
    if emitter is not None:
        reason = response.finish_reason
        emitter.post(ModelEnded(job.run_id, model.name, request.turn, "completed", response.usage, None, reason))
    return response.content.strip()
