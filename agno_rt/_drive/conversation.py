"""Drives what lies between a run's admission and its turns: its session, state, hooks, instructions, facts, history.

What the run added is appended at the end, with the state and the summary, in one step; a run that does not get there
stores nothing. Knows storage only by the protocols in `memory`.
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
from agno_rt._drive.ask_model import ask_aside, waited
from agno_rt._drive.job import Job, SessionAccess
from agno_rt._drive.render_instructions import instructions_text
from agno_rt._drive.scopes import ended_as
from agno_rt._drive.write_journal import Journal
from agno_rt.errors import AgnoError, BackendError, ModelError, SessionConflict
from agno_rt.events import ModelEnded, ModelStarted
from agno_rt.failures import must_pass, named, text_of
from agno_rt.memory import Fact, MemoryPolicy, Session, Summary, foreign_session
from agno_rt.messages import Message
from agno_rt.models import NO_USAGE, ModelRequest
from agno_rt.run_store import Appending

__all__ = ["before", "in_conversation"]

FIRST_LOAD = 100
"""How many messages are asked for at first, where the policy does not say how many it needs."""

APPENDS = 16
"""How often a run tries to store what it added, where other processes store theirs at the same time."""


def before(job: Job, history: Sequence[Message]) -> list[Message]:
    """What the model sees before the input, where that is no more than the instructions and the history."""
    text = job.instructions
    assert isinstance(text, str), "the run has begun"
    return [Message("system", text), *history] if text else list(history)


async def in_conversation(job: Job, turns: Turns, converse: Callable[[], Awaitable[None]]) -> None:
    """Begin the turns with all that goes before the input, let `converse` carry them out, and store what they added.

    Runs on one session follow one another. Where anything fails or is cancelled on the way, nothing is stored.
    """
    access, policy = job.session, job.policy
    if access is None:
        await _without_session(job, turns, converse)
        return
    if not access.lock.try_acquire():
        await waited(access.lock, job.limits.queue_timeout)
    try:
        if access.shared is not None:
            await access.shared.acquire(job.patience())
        if job.journal is not None and job.journal.replay is not None:
            await _resumed(job, turns, job.journal.replay, converse)
            return
        no_more = policy.state is None and policy.summary is None and policy.facts is None
        if no_more and policy.runs is None and policy.tokens is None:
            await _with_history(job, turns, access, converse)
        else:
            await _with_all(job, turns, access, converse)
    finally:
        if access.shared is not None:
            await access.shared.release(access.lock)
        else:
            access.lock.release()


async def _without_session(job: Job, turns: Turns, converse: Callable[[], Awaitable[None]]) -> None:
    if job.journal is not None and job.journal.replay is not None:
        await _resumed(job, turns, job.journal.replay, converse)
        return
    if job.policy.state is not None:
        job.state = new_state(job.policy.state)
    await _prepare(job)
    turns.begin(_before(job, await _facts(job), "", ()), job.input)
    if job.journal is not None:
        await _begin(job, job.journal, turns, None, 0)
    await converse()
    if job.journal is not None:
        await _end(job, turns, None, None)


async def _with_history(job: Job, turns: Turns, access: SessionAccess, converse: Callable[[], Awaitable[None]]) -> None:
    """The usual session: its last messages, and nothing else."""
    last = job.policy.messages
    session = await _load(access, last, job.user)
    if job.hooks is not None or type(job.instructions) is not str:
        await _prepare(job)
    history = window(session.messages, last)
    # So written, the usual input costs no object and no call.
    if job.input[1:] or (job.input and job.input[0].role == "system"):
        _lead_with_system(job)
    turns.begin(before(job, history), job.input)
    if job.journal is not None:
        await _begin(job, job.journal, turns, session, len(history))
    await converse()
    await _end(job, turns, session, None)


async def _with_all(job: Job, turns: Turns, access: SessionAccess, converse: Callable[[], Awaitable[None]]) -> None:
    policy = job.policy
    recall = _recall_bounded if policy.summary is None else _recall_unsummarised
    session, kept, history = await recall(access, policy, job.user)
    if policy.state is not None:
        stored = kept.state
        job.state = new_state(policy.state) if stored is None else read_state(policy.state, stored, access.id)
    await _prepare(job)
    facts = await _facts(job)
    if policy.summary is not None:
        covers = session.total - len(history)
        kept.summary, history = await _summarised(job, policy.summary, kept.summary, covers, history)
    if job.input[1:] or (job.input and job.input[0].role == "system"):
        _lead_with_system(job)
    summary = "" if policy.summary is None or kept.summary is None else kept.summary.text
    turns.begin(_before(job, facts, summary, history), job.input)
    if job.journal is not None:
        await _begin(job, job.journal, turns, session, len(history))
    await converse()
    if policy.state is not None:
        kept.state = write_state(policy.state, job.state, access.id)
    data = write_kept(kept)
    await _end(job, turns, session, None if data == session.data else data)


async def _begin(job: Job, journal: Journal, turns: Turns, session: Session | None, count: int) -> None:
    """Store the beginning of a run that has a journal: what it was shown, `count` messages of its session among it."""
    state = _keep_state(job, journal)
    system = turns.messages[0].text if turns.own > count else ""
    total, version = (0, 0) if session is None else (session.total, session.version)
    await journal.begin(
        Begun(job.input, system, count, total, version, NO_STATE if state is None else msgspec.Raw(state()))
    )


def _keep_state(job: Job, journal: Journal) -> Callable[[], bytes] | None:
    """Let the journal have the session's state with each step."""
    policy, session = job.policy.state, "" if job.session is None else job.session.id
    if policy is not None:
        journal.state = lambda: msgspec.json.encode(write_state(policy, job.state, session))
    return journal.state


async def _resumed(job: Job, turns: Turns, replay: Replay, converse: Callable[[], Awaitable[None]]) -> None:
    """Lead the turns to where an earlier process left them, and go on from there."""
    access, policy, begun = job.session, job.policy, replay.begun
    session: Session | None = None
    history: Sequence[Message] = ()
    if access is not None:
        session, history = await _shown_then(access, begun, job.user)
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
    turns.begin(before(job, history), begun.input)
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
    await _end(job, turns, session, data)


async def _shown_then(access: SessionAccess, begun: Begun, user: str | None) -> tuple[Session, Sequence[Message]]:
    """The session as it is now, and the messages of it that the run was shown when it began."""
    session = await _load(access, begun.shown, user)
    if session.total < begun.total:
        raise SessionConflict(f"session {access.id!r} was deleted since the run began", hint="Begin the run anew.")
    since = session.total - begun.total
    if since:
        session = await _load(access, begun.shown + since, user)
    until = len(session.messages) - since
    return session, session.messages[until - begun.shown : until]


async def _prepare(job: Job) -> None:
    """With the session's state there: hooks see the input, then instructions are made."""
    if job.hooks is not None:
        await call_hooks.before_run(job, job.hooks)
    if type(job.instructions) is not str:
        job.instructions = await instructions_text(job.instructions, job.context())


def _lead_with_system(job: Job) -> None:
    """Put the input's system messages behind the instructions.

    In the middle of a conversation many chat templates refuse them; and stored, they would pile up run after run. They
    hold for this run, as instructions do, and are no part of the session.
    """
    assert isinstance(job.instructions, str), "the run has begun"
    if not any(message.role == "system" for message in job.input):
        return
    said = (message.text for message in job.input if message.role == "system")
    job.instructions = "\n\n".join(text for text in (job.instructions, *said) if text)
    job.input = tuple(message for message in job.input if message.role != "system")


def _before(job: Job, facts: Sequence[Fact], summary: str, history: Sequence[Message]) -> list[Message]:
    assert isinstance(job.instructions, str), "the run has begun"
    text = preamble(job.instructions, facts, summary)
    return [Message("system", text), *history] if text else list(history)


async def _facts(job: Job) -> Sequence[Fact]:
    """What the model is shown of what is known about the user."""
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
        raise BackendError(f"the memory backend gave out facts about others than user {user!r}", hint=hint)
    return choose_facts(found[: policy.limit], policy.tokens)


async def _load(access: SessionAccess, last: int | None, user: str | None) -> Session:
    """Load the session for a run of `user`. Raises `Forbidden` for one that belongs to another."""
    try:
        session = await access.memory.load(access.id, last)
        if session.__class__ is not Session and not isinstance(session, Session):
            raise TypeError(f"its load returned a {type(session).__name__}, not a Session")
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise _failed(access, exc) from exc
    if session.user != user and session.version:
        raise foreign_session(access.id, session.user, user)
    return session


async def _end(job: Job, turns: Turns, session: Session | None, data: bytes | None) -> None:
    """Store what the run added to its session; with its end, if it has a journal. One that is paused has not ended.

    Where another process has added a run meanwhile, this one is stored after it.
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
            from agno_rt._drive.session_order import check_follows  # for the few that meet another run

            now = await _load(access, 0, job.user)
            changed = data is not None and job.policy.state is not None
            check_follows(session, now, exc, state_changed=changed, attempts=attempts)
            # A summary that the run has made is made again.
            version, data = now.version, None
        except AgnoError:
            raise
        except BaseException as exc:
            if must_pass(exc):
                raise
            raise _failed(access, exc) from exc


def _failed(access: SessionAccess, exc: BaseException) -> BackendError:
    return BackendError(f"the memory backend failed on session {access.id!r}: {named(exc)}")


async def _recall_bounded(
    access: SessionAccess, policy: MemoryPolicy, user: str | None
) -> tuple[Session, Kept, Sequence[Message]]:
    """The session, what it keeps, and the messages that the policy shows."""
    last, bounds = policy.messages, Bounds.of(policy)
    searching = last is None and not (policy.runs is None and policy.tokens is None)
    if searching:
        last = FIRST_LOAD
    while True:
        session = await _load(access, last, user)
        shown = window(session.messages, policy.messages)
        start = bounds.beginning(shown)
        if start or not searching or last is None or len(session.messages) < last:
            return session, read_kept(session.data, access.id), shown[start:]
        last *= 4


async def _recall_unsummarised(
    access: SessionAccess, policy: MemoryPolicy, user: str | None
) -> tuple[Session, Kept, Sequence[Message]]:
    """The session, what it keeps, and all messages that are not in its summary."""
    last = FIRST_LOAD if policy.messages is None else policy.messages
    while True:
        session = await _load(access, last, user)
        kept = read_kept(session.data, access.id)
        covers = 0 if kept.summary is None else kept.summary.covers
        wanted = max(0, session.total - covers)
        if wanted <= len(session.messages):
            return session, kept, session.messages[len(session.messages) - wanted :]
        last = wanted


async def _summarised(
    job: Job, asked: Summary, old: KeptSummary | None, covers: int, messages: Sequence[Message]
) -> tuple[KeptSummary | None, Sequence[Message]]:
    """The summary, made anew where the messages pass the policy's bounds, and those that are shown beside it.

    Where it cannot be made, what it has taken in so far counts, and the next run goes on from there.
    """
    from agno_rt._decide.summary import pieces, summary_request  # for those who have one

    bounds = Bounds.of(job.policy)
    start = bounds.beginning(messages)
    if start == 0:
        return old, messages
    cut, taken, tokens = bounds.scaled(asked.keep).beginning(messages), 0, job.policy.tokens
    for piece in pieces(messages[:cut], tokens):
        request = summary_request(asked, "" if old is None else old.text, piece, tokens, job.user)
        text = await _summary(job, request)
        if not text:
            return old, messages[max(start, taken) :]
        taken += len(piece)
        old = KeptSummary(text, covers + taken)
    return old, messages[cut:]


async def _summary(job: Job, request: ModelRequest) -> str:
    """What the model answers; nothing where it fails, which those who listen are told. It is no turn of the run."""
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
