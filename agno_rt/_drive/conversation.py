"""Prepares a run's turns from its session, state, hooks, instructions, facts and history, and stores the outcome.

The run's messages are appended at the end, with the state and the summary, in one step; a run that fails before stores
nothing. Knows storage only by the protocols in `memory`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

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
from agno_rt._drive.ask_model import ask_aside
from agno_rt._drive.job import Job
from agno_rt._drive.render_instructions import render_instructions
from agno_rt._drive.session_access import SessionAccess
from agno_rt.errors import AgnoError, BackendError, SessionConflict
from agno_rt.failures import must_pass, named
from agno_rt.memory import Fact, FactStore, MemoryPolicy, Session, Summary, foreign_session
from agno_rt.messages import Message
from agno_rt.models import ModelRequest
from agno_rt.run_store import Appending

if TYPE_CHECKING:
    from agno_rt._drive.write_journal import Journal  # stored runs alone need the module

__all__ = ["Opening", "open_conversation", "store_conversation"]

FIRST_LOAD = 100
"""Messages to load at first if the policy does not bound their number."""

APPENDS = 16
"""Attempts to store a run's messages while other processes write to the session."""


_NO_HISTORY: Sequence[Message] = ()


Opening: TypeAlias = tuple[Session | None, Kept | None]
"""The session as a run read it, and the data kept with the session if the run may change the data.

A tuple, because a new value of another type would cost each run in a session an allocation.
"""


async def open_conversation(job: Job, turns: Turns) -> Opening:
    """Begin the turns with the messages before the input: instructions with facts and summary, then history.

    A run with a session must hold the session's lock. A resumed run gets the messages that it was shown before.
    """
    access, policy, journal = job.session, job.resolved.memory, job.journal
    if journal is not None and journal.replay is not None:
        return await _reopen_conversation(job, turns, journal, journal.replay)
    session, kept, history, summary = None, None, _NO_HISTORY, ""
    if access is not None:
        session, kept, history = await _recall(access, policy, job.asked.user)
    if policy.state is not None:
        stored = None if kept is None else kept.state
        name = "" if access is None else access.id
        job.state = new_state(policy.state) if stored is None else read_state(policy.state, stored, name)
    # Hooks and instructions may read the state, so the state comes before them.
    if job.resolved.hooks is not None:
        await call_hooks.before_run(job, job.resolved.hooks)
    if type(job.instructions) is not str:
        job.instructions = await render_instructions(job.instructions, job.context())
    facts = () if job.facts is None else await _load_facts(job, job.facts)
    if policy.summary is not None and session is not None and kept is not None:
        summary, history = await _summarise(job, policy.summary, kept, session.total, history)
    # Written out here: the usual input, one user message, then costs no call.
    if access is not None and (job.input[1:] or (job.input and job.input[0].role == "system")):
        _move_system_messages(job)
    text = preamble(job.instructions, facts, summary) if facts or summary else job.instructions
    turns.begin([Message("system", text), *history] if text else list(history), job.input)
    if journal is not None:
        await _store_beginning(job, journal, turns, session, len(history))
    return session, kept


async def _store_beginning(job: Job, journal: Journal, turns: Turns, session: Session | None, count: int) -> None:
    """Store the run's beginning in its journal: the input, the system message, `count` messages of the session."""
    state = _keep_state(job, journal)
    system = turns.messages[0].text if turns.own > count else ""
    total, version = (0, 0) if session is None else (session.total, session.version)
    await journal.begin(
        Begun(
            job.input,
            system,
            count,
            total,
            version,
            NO_STATE if state is None else msgspec.Raw(state()),
            job.resolved.code_version,
        )
    )


def _keep_state(job: Job, journal: Journal) -> Callable[[], bytes] | None:
    """Let the journal store the session's state with each step; return the function to encode the state."""
    policy, session = job.resolved.memory.state, "" if job.session is None else job.session.id
    if policy is not None:
        journal.state = lambda: msgspec.json.encode(write_state(policy, job.state, session))
    return journal.state


async def _reopen_conversation(job: Job, turns: Turns, journal: Journal, replay: Replay) -> Opening:
    """Bring the turns to the point where an earlier process stopped."""
    access, policy, begun = job.session, job.resolved.memory, replay.begun
    session, kept, history = None, None, _NO_HISTORY
    name = "" if access is None else access.id
    if access is not None:
        session, history = await _load_as_shown(access, begun, job.asked.user)
    if policy.state is not None:
        if session is not None and session.version != begun.version:
            raise SessionConflict(
                f"the state of session {name!r} was changed by another run since run {replay.run!r} began",
                hint="Fork the run before it changed the state, or begin it anew.",
            )
        stored = msgspec.json.decode(replay.state, type=KeptState) if bytes(replay.state) else None
        job.state = new_state(policy.state) if stored is None else read_state(policy.state, stored, name)
        kept = None if session is None else read_kept(session.data, name)
    _keep_state(job, journal)
    job.instructions = begun.system
    turns.begin([Message("system", begun.system), *history] if begun.system else list(history), begun.input)
    replay.into(turns)
    job.called = replay.counts
    if job.budget is not None:
        job.budget.spend(turns.usage)
        job.budget.tool_calls += replay.calls
    return session, kept


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


async def _load_facts(job: Job, store: FactStore) -> Sequence[Fact]:
    """Load the facts about the user to show to the model."""
    policy, user = job.resolved.memory.facts, job.asked.user
    if policy is None or user is None or policy.inject == "none":
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


async def store_conversation(job: Job, turns: Turns, opening: Opening) -> None:
    """Store the run's messages in the session, with the run's end if there is a journal. A paused run has not ended.

    If another process has added a run meanwhile, store this run after it. Raises `SignalsWaiting` for a stored run with
    messages that it has not taken in.
    """
    access, journal, (session, kept) = job.session, job.journal, opening
    if turns.state == "paused":
        return
    if access is None or session is None:
        if journal is not None:
            await journal.end(turns.content, None, job.inbox)
        return
    data = None if kept is None else _write_kept(job, kept, session)
    own, version, attempts = turns.own_messages(), session.version, APPENDS
    while True:
        attempts -= 1
        try:
            if journal is not None:
                append = Appending(access.id, own, version, job.asked.user, data, job.agent)
                await journal.end(turns.content, append, job.inbox)
            else:
                await access.memory.append(
                    access.id, own, version=version, user=job.asked.user, data=data, agent=job.agent
                )
            return
        except SessionConflict as exc:
            from agno_rt._drive.session_order import check_follows  # rarely needed: another process wrote too

            now = await _load_session(access, 0, job.asked.user)
            changed = data is not None and job.resolved.memory.state is not None
            check_follows(session, now, exc, state_changed=changed, attempts=attempts)
            # The new summary is dropped, as `data` belongs to the old version; a later run makes another one.
            version, data = now.version, None
        except AgnoError:
            raise
        except BaseException as exc:
            if must_pass(exc):
                raise
            raise _make_session_error(access, exc) from exc


def _write_kept(job: Job, kept: Kept, session: Session) -> bytes | None:
    """Encode the session's data with the run's state; return `None` if nothing has changed."""
    if (state := job.resolved.memory.state) is not None:
        kept.state = write_state(state, job.state, session.id)
    data = write_kept(kept)
    return None if data == session.data else data


def _make_session_error(access: SessionAccess, exc: BaseException) -> BackendError:
    return BackendError(f"the memory backend failed on session {access.id!r}: {named(exc)}")


async def _recall(
    access: SessionAccess, policy: MemoryPolicy, user: str | None
) -> tuple[Session, Kept | None, Sequence[Message]]:
    """Load the session, the data kept with it if the policy needs the data, and the messages that the policy shows."""
    if policy.summary is not None:
        return await _recall_unsummarised(access, policy, user)
    last = policy.messages
    if policy.runs is None and policy.tokens is None:
        session = await _load_session(access, last, user)
        history = window(session.messages, last)
    else:
        session, history = await _recall_bounded(access, policy, user)
    return session, None if policy.state is None else read_kept(session.data, access.id), history


async def _recall_bounded(
    access: SessionAccess, policy: MemoryPolicy, user: str | None
) -> tuple[Session, Sequence[Message]]:
    """Load the session, and the messages within the policy's bounds on runs and tokens."""
    last, bounds = policy.messages, Bounds.of(policy)
    searching = last is None
    if searching:
        last = FIRST_LOAD
    while True:
        session = await _load_session(access, last, user)
        shown = window(session.messages, policy.messages)
        start = bounds.beginning(shown)
        if start or not searching or last is None or len(session.messages) < last:
            return session, shown[start:]
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


async def _summarise(
    job: Job, asked: Summary, kept: Kept, total: int, messages: Sequence[Message]
) -> tuple[str, Sequence[Message]]:
    """Return the summary's text and the messages shown beside it; renew the summary if they pass the policy's bounds.

    If a model call fails, the summary covers the pieces so far, and the next run goes on from there.
    """
    from agno_rt._decide.summary import pieces, summary_request  # only runs with a summary need the module

    covers, bounds, tokens = total - len(messages), Bounds.of(job.resolved.memory), job.resolved.memory.tokens
    text = "" if kept.summary is None else kept.summary.text
    start, taken = bounds.beginning(messages), 0
    if start == 0:
        return text, messages
    cut = bounds.scaled(asked.keep).beginning(messages)
    for piece in pieces(messages[:cut], tokens):
        renewed = await _ask_summary(job, summary_request(asked, text, piece, tokens, job.asked.user))
        if not renewed:
            return text, messages[max(start, taken) :]
        text, taken = renewed, taken + len(piece)
        kept.summary = KeptSummary(text, covers + taken)
    return text, messages[cut:]


async def _ask_summary(job: Job, request: ModelRequest) -> str:
    """Ask for a summary; return "" if the model fails or writes nothing. The request does not count as a turn."""
    resolved = job.resolved
    try:
        response = await ask_aside(job, resolved.summarizer or resolved.model, request)
    except AgnoError:
        return ""
    return response.content.strip()
