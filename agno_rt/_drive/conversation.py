"""Prepares a run's turns from its session, state, hooks, instructions, facts and history, and stores the outcome.

The run's messages are appended at the end, with the state and the summary, in one step; a run that fails before stores
nothing. Knows storage only by the protocols in `memory`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from agno_rt._decide.history import Bounds, text_tokens, window
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
from agno_rt._decide.turns import Turns, View
from agno_rt._drive import call_hooks
from agno_rt._drive.job import Job
from agno_rt._drive.render_instructions import render_instructions
from agno_rt._drive.session_access import SessionAccess
from agno_rt.errors import AgnoError, BackendError, RunCancelled, SessionConflict
from agno_rt.events import ContextCompacted
from agno_rt.failures import must_pass, named
from agno_rt.memory import Fact, FactStore, MemoryPolicy, Session, Summary, foreign_session
from agno_rt.messages import Message
from agno_rt.run_store import Appending

if TYPE_CHECKING:
    from agno_rt._drive.write_journal import Journal  # stored runs alone need the module

__all__ = ["Opening", "open_conversation", "reserve_session", "store_conversation"]

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
    notes = "" if job.resolved.providers is None else await _ask_providers(job)
    facts = () if job.facts is None else await _load_facts(job, job.facts)
    if policy.summary is not None and session is not None and kept is not None:
        summary, history = await _summarise(job, policy.summary, kept, session.total, history)
    # Written out here: the usual input, one user message, then costs no call.
    if access is not None and (job.input[1:] or (job.input and job.input[0].role == "system")):
        _move_system_messages(job)
    text = preamble(job.instructions, facts, summary) if facts or summary else job.instructions
    before = [Message("system", text), *history] if text else list(history)
    if notes or policy.summary is not None:
        _begin_view(turns, before, notes, len(job.input))
    turns.begin(before, job.input)
    if journal is not None:
        await _store_beginning(job, journal, turns, session, len(history), notes=notes)
    return session, kept


def _begin_view(turns: Turns, before: list[Message], notes: str, count: int) -> None:
    """Put the notes of context providers before the `count` messages of the input, and note what the model sees."""
    if notes:
        before.append(Message("user", notes))
    turns.view = View(bool(notes), count)


async def _ask_providers(job: Job, seen: Sequence[Message] | None = None) -> str:
    from agno_rt._context.provide import ask_providers  # costs nothing for agents without providers

    return await ask_providers(job, seen)


async def _store_beginning(
    job: Job, journal: Journal, turns: Turns, session: Session | None, count: int, *, notes: str
) -> None:
    """Store the run's beginning in its journal: the input, the system message, `count` messages of the session."""
    state = _keep_state(job, journal)
    system = turns.messages[0].text if turns.own > count + bool(notes) else ""
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
            notes=notes,
            todos=NO_STATE if job.resolved.providers is None else _encode_todos(job),
        )
    )


async def reserve_session(job: Job) -> None:
    """Begin the session of a run that is about to pause, if the run has the session's first turn.

    Otherwise another user could begin a session of the name meanwhile, and the run could never end. Raises `Forbidden`
    if another user has done so.
    """
    access, journal = job.session, job.journal
    if access is None or journal is None or journal.first is None or journal.first.version:
        return
    try:
        await access.memory.append(access.id, (), version=0, user=job.asked.user, agent=job.agent)
    except SessionConflict:
        pass  # the user has another run there
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise _make_session_error(access, exc) from exc


def _is_as_begun(session: Session, begun: Begun) -> bool:
    """Return whether nothing was stored in the session since the run began; reserving is not storing."""
    is_reserved = not begun.version and session.version == 1 and not session.total and not session.data
    return is_reserved or session.version == begun.version


def _encode_todos(job: Job) -> msgspec.Raw:
    """Return the todo list at the run's beginning; empty for an agent without one."""
    from agno_rt._decide.todos import TodoBoard  # few agents have context providers

    board: TodoBoard | None = (job.kept or {}).get(TodoBoard)
    return NO_STATE if board is None else board.encode_base()


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
        if session is not None and not _is_as_begun(session, begun):
            raise SessionConflict(
                f"the state of session {name!r} was changed by another run since run {replay.run!r} began",
                hint="Fork the run before it changed the state, or begin it anew.",
            )
        stored = msgspec.json.decode(replay.state, type=KeptState) if bytes(replay.state) else None
        job.state = new_state(policy.state) if stored is None else read_state(policy.state, stored, name)
        kept = None if session is None else read_kept(session.data, name)
    elif policy.summary is not None and session is not None and _is_as_begun(session, begun):
        # Other runs have added nothing, so that a summary of this run's messages covers the session's beginning.
        kept = read_kept(session.data, name)
    _keep_state(job, journal)
    job.instructions = begun.system
    before = [Message("system", begun.system), *history] if begun.system else list(history)
    if begun.notes or policy.summary is not None:
        _begin_view(turns, before, begun.notes, len(begun.input))
    turns.begin(before, begun.input)
    replay.into(turns)
    if bytes(begun.todos):
        from agno_rt._decide.todos import TodoBoard  # few agents have a todo list

        job.kept = {TodoBoard: TodoBoard.reopen(begun.todos, replay.steps)}
    if job.resolved.providers is not None:
        await _ask_providers(job, turns.messages[turns.own - bool(begun.notes) :])
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


async def store_conversation(job: Job, turns: Turns, opening: Opening, error: RunCancelled | None = None) -> None:
    """Store the run's messages in the session, with the run's end if there is a journal. A paused run has not ended.

    If another process has added a run meanwhile, store this run after it. The `error` is the reason of a run that was
    stopped before its end. Raises `SignalsWaiting` for a stored run with messages that it has not taken in.
    """
    access, journal, (session, kept) = job.session, job.journal, opening
    if turns.state == "paused":
        return
    if access is None or session is None:
        if journal is not None:
            await journal.end(turns.content, None, job.inbox, error)
        return
    data = None if kept is None else _write_kept(job, kept, session, turns)
    data = data if job.resolved.providers is None else _write_todos(job, data, session)
    own, version, attempts = turns.own_messages(), session.version, APPENDS
    while True:
        attempts -= 1
        try:
            if journal is not None:
                append = Appending(access.id, own, version, job.asked.user, data, job.agent)
                await journal.end(turns.content, append, job.inbox, error)
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
            version, data = now.version, None if job.resolved.providers is None else _write_todos(job, None, now)
        except AgnoError:
            raise
        except BaseException as exc:
            if must_pass(exc):
                raise
            raise _make_session_error(access, exc) from exc


def _write_kept(job: Job, kept: Kept, session: Session, turns: Turns) -> bytes | None:
    """Encode the session's data with the run's state and summary; return `None` if nothing has changed."""
    if turns.view is not None and turns.view.replaced and job.resolved.memory.summary is not None:
        from agno_rt._decide.compaction import covered_messages, old_summary  # few runs are compacted

        kept.summary = KeptSummary(old_summary(turns), covered_messages(turns, session.total))
    if (state := job.resolved.memory.state) is not None:
        kept.state = write_state(state, job.state, session.id)
    data = write_kept(kept)
    return None if data == session.data else data


def _write_todos(job: Job, data: bytes | None, session: Session) -> bytes | None:
    """Return the session's new `data` with the run's changes of the todo list; `None` if nothing has changed."""
    from agno_rt._decide.todos import TodoBoard, merge_todos  # few agents have context providers

    board: TodoBoard | None = (job.kept or {}).get(TodoBoard)
    if board is None:
        return data
    merged = merge_todos(board, session.data if data is None else data, session.id)
    return data if merged == session.data else merged


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
    from agno_rt._context.summarise import ask_summary  # only runs with a summary need the modules
    from agno_rt._decide.summary import pieces, summary_request

    covers, bounds, tokens = total - len(messages), Bounds.of(job.resolved.memory), job.resolved.memory.tokens
    text = "" if kept.summary is None else kept.summary.text
    start, taken = bounds.beginning(messages), 0
    if start == 0:
        return text, messages
    before = sum(map(bounds.count, messages)) + text_tokens(text)
    cut = bounds.scaled(asked.keep).beginning(messages)
    for piece in pieces(messages[:cut], tokens):
        renewed = await ask_summary(job, asked, summary_request(asked, text, piece, tokens, job.asked.user))
        if not renewed:
            return text, messages[max(start, taken) :]
        text, taken = renewed, taken + len(piece)
        kept.summary = KeptSummary(text, covers + taken)
    if job.emitter is not None:
        after = sum(map(bounds.count, messages[cut:])) + text_tokens(text)
        # The provider's cache misses the beginning, as it must.
        assert job.session is not None
        job.emitter.cached, job.session.cached = 0, None
        job.emitter.post(ContextCompacted(job.run_id, 0, before, after, cut))
    return text, messages[cut:]
