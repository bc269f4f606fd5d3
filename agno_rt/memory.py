"""What a memory backend keeps and how it is asked: sessions, facts about users. And how much of it a run is shown.

Knows nothing of runs or trio.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import attrs
import msgspec

from agno_rt.errors import Forbidden, UsageError
from agno_rt.messages import Message
from agno_rt.models import Model
from agno_rt.names import UNSEEN

__all__ = [
    "MAX_TITLE",
    "CacheStore",
    "DamagedWarning",
    "Fact",
    "FactStore",
    "MemoryBackend",
    "MemoryPolicy",
    "Session",
    "SessionInfo",
    "SessionLocks",
    "SessionState",
    "Summary",
    "UserMemory",
    "first_words",
    "foreign_session",
    "session_title",
]

if TYPE_CHECKING:
    ModelOrSpec: TypeAlias = Model | str | None
    Counter: TypeAlias = Callable[[Message], int] | None
else:
    # msgspec reads these classes from agno-rt.toml too, and knows no protocols.
    ModelOrSpec = Counter = Any


class DamagedWarning(RuntimeWarning):
    """Something that is stored cannot be read, and was left out of a list; the message names it."""


@attrs.define
class Session:
    """A conversation as it was read: at most the asked-for number of its last messages, and the version it had.

    `user` is whose it is: nobody's in particular where it was begun without one. `total` is how many messages it has in
    all. `data` is what the last append that had any gave it beside messages: bytes that mean nothing to a backend.
    """

    id: str
    messages: Sequence[Message] = ()
    version: int = 0
    user: str | None = None
    total: int = 0
    data: bytes = b""


@attrs.frozen
class SessionInfo:
    """A session in a list: its size, and when it was made and last written (seconds since the epoch).

    Attributes:
        title: what it is called: as somebody renamed it, or else by the first words of its user; may be empty
        agent: the agent that wrote to it last; empty where that has no name
    """

    id: str
    user: str | None
    messages: int
    created_at: float
    updated_at: float
    title: str = ""
    agent: str = ""


@attrs.frozen
class Fact:
    """Something that is known about a user. `id` tells the facts of one user apart.

    `session` is where it was learned, where that is known; times are seconds since the epoch.
    """

    id: str
    user: str
    text: str
    created_at: float
    updated_at: float
    session: str | None = None
    topics: tuple[str, ...] = ()


def _whole_or_none(value: object, field: Any, given: int | None) -> None:
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 0):
        raise UsageError(f"a memory policy of {given!r} {field.name}", hint="Give a whole number from 0, or None.")


def _positive(value: object, field: Any, given: int) -> None:
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise UsageError(
            f"{field.name} of {type(value).__name__} is {given!r}", hint="Give a whole number of at least 1."
        )


@attrs.frozen
class Summary:
    """A summary, made by a model, of what a memory policy cuts off; it goes to the model before the messages.

    It is made anew when the policy's bound is passed, of the old summary and of what is cut, and then so much is cut
    that only the share `keep` of the bound is left: the next runs need no new one. Every message is shown, or is in the
    summary. Where the model that makes it fails, the run goes on without what is cut, and the next run tries again;
    events tell of the model call as of turn 0.

    Attributes:
        model: a spec string or a `Model`; the agent's own for `None`
        prompt: what the model is told to do, in place of the usual text
        keep: how much of the policy's bound is left when a summary is made, between 0 and 1
        tokens: how long a summary may be
    """

    model: ModelOrSpec = None
    prompt: str = ""
    keep: float = 0.5
    tokens: int = attrs.field(default=500, validator=_positive)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.keep, int | float) or not 0 <= self.keep < 1:
            raise UsageError(f"keep of a summary is {self.keep!r}", hint="Give a share: at least 0, and less than 1.")
        if not (self.model is None or isinstance(self.model, str) or hasattr(self.model, "respond")):
            hint = "Give a spec such as 'llamacpp:smollm2', a Model, or None for the agent's own."
            raise UsageError(f"model of a summary is {self.model!r}", hint=hint)


@attrs.frozen
class SessionState:
    """The long form of `MemoryPolicy(state=...)`: the state's type, its version, and how an older one is read.

    Attributes:
        type: an attrs, data or pydantic class, a Struct, a TypedDict, `dict`, `list[str]`, ...: what JSON can carry.
            Fields whose names begin with an underscore are not stored
        version: raise it when a stored state no longer fits the type
        upgrade: called with the stored version, if that is lower, and the data as JSON has it; returns the data as the
            type has it. Without it, an older state is read as if it were of this version
        new: makes the state of a new session; by default the type is called without arguments

    A stored state that does not fit is an error that changes nothing; so is one that could not be read again. Raises
    `UsageError` for a type that JSON cannot carry.
    """

    type: Any
    version: int = attrs.field(default=1, validator=_positive)
    upgrade: Callable[[int, Any], Any] | None = None
    new: Callable[[], Any] | None = None

    def __attrs_post_init__(self) -> None:
        try:
            _check_state(self.type)
        except (TypeError, NameError) as exc:
            hint = "Give an attrs, data or pydantic class, a Struct, a TypedDict or dict of what JSON can carry."
            raise UsageError(f"{self.type!r} is no type for a session's state: {exc}", hint=hint) from exc


def _check_state(type_: Any) -> None:
    try:
        msgspec.json.schema(type_)
    except TypeError as exc:
        from agno_rt._schema.describe import type_schema  # for types that msgspec alone does not read, as pydantic's

        try:
            type_schema(type_, what="it", error=UsageError)
        except UsageError:
            raise exc from None


def _as_state(given: Any) -> SessionState | None:
    return given if given is None or isinstance(given, SessionState) else SessionState(given)


@attrs.frozen
class UserMemory:
    """What a run is shown of the facts about its user, and whether the model may keep them. A run without a user: none.

    They are shown in the system message, below the instructions, as notes that are no instructions. The memory backend
    must be a `FactStore`; the caller uses its methods as they are.

    Attributes:
        inject: `all`, those kept or corrected last first; `relevant`, those that share words with the input, best
            first; `none`
        limit: how many facts are shown at most
        tokens: how many tokens they may take up, as estimated
        tools: give the model tools to remember, recall, correct and forget facts about the user
    """

    inject: Literal["all", "relevant", "none"] = "all"
    limit: int = attrs.field(default=20, validator=_positive)
    tokens: int = attrs.field(default=500, validator=_positive)
    tools: bool = True

    def __attrs_post_init__(self) -> None:
        if self.inject not in ("all", "relevant", "none"):
            raise UsageError(f"inject of UserMemory is {self.inject!r}", hint="Give 'all', 'relevant' or 'none'.")


@attrs.frozen
class MemoryPolicy:
    """What of the past goes to the model, and what else a session keeps. Bounds hold together: the narrowest counts.

    A tool call and its results count as one and are never parted, so a little less than a bound may go.

    Attributes:
        messages: the last so many messages of the session; all of them for `None`
        runs: the last so many runs; a run begins with a user's message that follows another's
        tokens: the last messages that have so many tokens together. The instructions, the input and a summary are not
            counted
        count: how many tokens a message has; by default about four characters to a token, a few tokens for the message
            itself, and a fixed number for an image and the like
        summary: have a model summarise what is cut off
        state: the type of the session's state, or a `SessionState`: tools, hooks and instructions are given it, and
            change it in place. It is stored with the run's messages; a run without a session has one of its own
        facts: what the model is shown of what is known about the user
        journal: store each finished step of the run before the next one begins, so that it can be resumed after a crash
    """

    messages: int | None = attrs.field(default=100, validator=_whole_or_none)
    runs: int | None = attrs.field(default=None, validator=_whole_or_none)
    tokens: int | None = attrs.field(default=None, validator=_whole_or_none)
    count: Counter = None
    summary: Summary | None = None
    state: Any = attrs.field(default=None, converter=_as_state)
    facts: UserMemory | None = None
    journal: bool = False

    def __attrs_post_init__(self) -> None:
        if self.summary is not None and self.messages is self.runs is self.tokens is None:
            hint = "Bound what is shown: messages=..., runs=... or tokens=...."
            raise UsageError("a memory policy has a summary, but cuts nothing off", hint=hint)
        # Read from a file, it went through no converter.
        if self.state is not None and not isinstance(self.state, SessionState):
            hint = "Give a type: MemoryPolicy(state=Cart), in Python."
            raise UsageError(f"state of a memory policy is {self.state!r}, which is no type", hint=hint)
        if self.count is not None and not callable(self.count):
            raise UsageError(
                f"count of a memory policy is {self.count!r}", hint="Give a function of a message, in Python."
            )


@runtime_checkable
class MemoryBackend(Protocol):
    """What a memory plugin implements. Every method raises `BackendError` where the store cannot be used.

    A backend may be shared by any number of tasks. A method that is cancelled while it waits to begin does nothing;
    once it has begun to write it finishes, shielded, and returns: the caller must know which of the two it was. What
    is damaged is left out of a list with a `DamagedWarning`, and does not hide the rest. A backend that has
    limits of its own may have a `statistics()` that returns a tuple of `LimitStatistics`; one that may be out of reach
    a `check_ready()` that raises the error which a run would meet (see `readiness`).
    """

    async def load(self, session: str, last: int | None = None) -> Session:
        """The session with its last `last` messages (all for `None`); one never written to is empty, version 0."""
        ...

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """Add the messages, put `data` in the place of the session's data if it is given, and return the new version.

        The session notes the `agent` that wrote to it, unless that has no name. All in one atomic step. The first
        append makes the session, whose `user` it belongs to from then on, `None` included. Where it belongs to another,
        `Forbidden` is raised (see `foreign_session`); where it has moved on from the `version` that was read,
        `SessionConflict`; for a new one whose name, or user's, `check_name` refuses, what that raises. Then nothing is
        stored.
        """
        ...

    async def sessions(
        self,
        *,
        user: str | None = None,
        unowned: bool = False,
        query: str = "",
        before: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[SessionInfo]:
        """List the sessions written to last, newest first; of those written at the same time, the greater id first.

        With a `user`, those of the user; `unowned`, those that belong to nobody; else all. With a `query`, those whose
        title has it in it, in whatever case. `before` is `(updated_at, id)` of a session: the list goes on after it.
        """
        ...

    async def session_info(self, session: str) -> SessionInfo | None:
        """Return what a list says of the session; `None` for one never written to."""
        ...

    async def rename(self, session: str, title: str) -> bool:
        """Give the session a title, as `session_title` makes it, and return whether there is such a session.

        An empty one leaves it with its first words. Neither its version nor its place in lists changes.
        """
        ...

    async def delete(self, session: str) -> bool:
        """Forget the session, its data included; whether there was one."""
        ...

    async def aclose(self) -> None:
        """Let go of what is open. Later calls may raise."""
        ...


MAX_TITLE = 80
"""How many characters the title of a session has at most."""

_CONTROLS = re.compile(f"[{UNSEEN}\ud800-\udfff]")


def session_title(text: str) -> str:
    """Make a title of a text: one line without control characters, cut at a word where it is longer than `MAX_TITLE`.

    Empty where there is nothing to be seen in the text.
    """
    # What comes later would be cut off anyhow, and an input may have megabytes.
    words = text[: 10 * MAX_TITLE].split() or text.split()
    line = " ".join(_CONTROLS.sub("", " ".join(words)).split())
    if len(line) <= MAX_TITLE:
        return line
    start = line[: MAX_TITLE - 1]
    # Not every script has spaces, and not every space is near the end.
    at = len(start) if line[len(start)] == " " else start.rfind(" ")
    return f"{start[: at if at > MAX_TITLE // 2 else None].rstrip()}…"


def first_words(messages: Iterable[Message]) -> str:
    """Return the title of a session that nobody named: the first words that a user says in its messages."""
    for message in messages:
        if message.role == "user" and (title := session_title(message.text)):
            return title
    return ""


def foreign_session(session: str, owner: str | None, user: str | None) -> Forbidden:
    """The error for a run or an append of `user` on a session that belongs to `owner`, whom it does not name."""
    if owner is None:
        problem, hint = "was begun without a user", "Leave the user out to go on with it, or name another session."
    elif user is None:
        problem, hint = "belongs to a user, and none was named", "Say who it is for, or name another session."
    else:
        problem, hint = "belongs to another user", "Name another session."
    return Forbidden(f"session {session!r} {problem}", hint=hint)


@runtime_checkable
class FactStore(Protocol):
    """What a memory backend also implements that keeps facts about users. No call ever crosses from user to user.

    What holds for the methods of a `MemoryBackend` holds for these. `agno_rt.facts` has what every store needs:
    what a fact's text must be, when two are the same, and how a search ranks them.
    """

    async def remember(self, user: str, text: str, *, session: str | None = None, topics: Sequence[str] = ()) -> Fact:
        """Keep a fact and return it; one that is known already is not kept twice, but returned as it is.

        Raises `UsageError` for a text that is empty or too long, and where the user has too many facts.
        """
        ...

    async def facts(self, user: str, *, query: str | None = None, limit: int = 100) -> list[Fact]:
        """The user's facts, those kept or corrected last first; with a query, those that fit its words, best first."""
        ...

    async def correct(self, user: str, id: str, text: str) -> Fact:
        """Put another text in place of a fact's and return it. Raises `NotFound` for one that this user has not."""
        ...

    async def forget(self, user: str, id: str | None = None) -> int:
        """Forget a fact, or all of the user's for `None`; how many were forgotten.

        Raises `NotFound` for an id that this user has not.
        """
        ...


@runtime_checkable
class CacheStore(Protocol):
    """What a memory backend also implements that keeps cached answers: bytes by key, for a time, so many at most.

    What holds for the methods of a `MemoryBackend` holds for these. Whatever is kept may be gone at any time.
    """

    async def cached(self, key: str) -> bytes | None:
        """What was kept under the key, if it is there still and its time has not passed."""
        ...

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        """Keep the value under the key, in place of what was there, for so many seconds (`None`: without an end).

        Of more than `size` values in the whole store, those asked for longest ago are forgotten.
        """
        ...

    async def uncache(self, key: str | None = None) -> int:
        """Forget what is kept under the key, or everything that is cached for `None`; how many values there were."""
        ...


@runtime_checkable
class SessionLocks(Protocol):
    """What a memory backend also implements that several processes share: it puts their runs on one session in order.

    A run holds the lock of its session from before it loads it until it is stored. The lock of a process that dies is
    free. Without these methods, runs of several processes on one session run at once, and are stored one after the
    other.
    """

    async def lock_session(self, session: str, *, wait: bool) -> bool:
        """Take the lock of the session, and wait for it where `wait` says so; return whether it is held now.

        Return False at once where the backend cannot lock at all. Of several callers in this process, one holds it.
        """
        ...

    async def unlock_session(self, session: str) -> None:
        """Give the lock back, whatever is being cancelled."""
        ...
