"""The protocol of memory backends, the values they keep, and the policy of how much a run sees. Knows no trio."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import attrs
import msgspec

from agno_rt.errors import Forbidden, UsageError
from agno_rt.messages import Message
from agno_rt.models import Model
from agno_rt.names import UNSEEN
from agno_rt.providers import ContextProvider

__all__ = [
    "MAX_TITLE",
    "CacheStore",
    "DamagedWarning",
    "Fact",
    "FactStore",
    "LargeResults",
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
    ProviderOrSpec: TypeAlias = ContextProvider | str
else:
    # msgspec reads these classes from agno-rt.toml, too, and cannot handle protocols.
    ModelOrSpec = Counter = ProviderOrSpec = Any


class DamagedWarning(RuntimeWarning):
    """A stored item cannot be read, and was left out of a list; the message names the item."""


@attrs.define
class Session:
    """A conversation as read from a store: the last messages, as many as were asked for, and the version at that time.

    `user` is the session's owner, or `None` for a session begun without a user. `total` is the number of all messages.
    `data` is the data of the last append with any: bytes without a meaning for a backend.
    """

    id: str
    messages: Sequence[Message] = ()
    version: int = 0
    user: str | None = None
    total: int = 0
    data: bytes = b""


@attrs.frozen
class SessionInfo:
    """A session in a list: its size, and the times of its making and last change (seconds since the epoch).

    Attributes:
        title: the title from a rename, or else the first words of the user; may be empty
        agent: the agent that wrote to the session last; empty for an agent without a name
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
    """Something known about a user. `id` is unique among the facts of one user.

    `session` is the session in which the fact was learned, if known; times are seconds since the epoch.
    """

    id: str
    user: str
    text: str
    created_at: float
    updated_at: float
    session: str | None = None
    topics: tuple[str, ...] = ()


def _check_whole_or_none(value: object, field: Any, given: int | None) -> None:
    # True is an int in Python, but not a count.
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 0):
        raise UsageError(
            f"{field.name} of a memory policy is {given!r}", hint="Give a whole number of at least 0, or None."
        )


def _check_positive(value: object, field: Any, given: int) -> None:
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise UsageError(
            f"{field.name} of {type(value).__name__} is {given!r}", hint="Give a whole number of at least 1."
        )


@attrs.frozen
class Summary:
    """A model's summary of the messages that a memory policy cuts off, shown before the other messages.

    A new summary is made when the policy's bound is passed: of the old summary and the messages that are cut. The cut
    leaves only the share `keep` of the bound, so that the next runs need no new summary. Every message is either shown
    or summarised. If the summary's model fails, the run continues without the cut messages, and the next run tries
    again. The events of the model call have turn 0.

    Where the size of the model's context is known, the same happens before any turn whose request would fill more than
    the share `fill` of the context, in the middle of a run too: the system message, the input and the last messages
    stay. The session and the result keep every message. When the model refuses a request as too large, the
    conversation is compacted once, and the model is asked again. A run compacts at most once before a turn; a request
    that then does not fit, or a summary that is larger than its messages, raises `ContextOverflow`.

    Attributes:
        model: a spec string or a `Model`; `None` for the agent's own
        prompt: instructions for the summary, in place of the default
        keep: the share of the policy's bound that is left after a summary, between 0 and 1
        tokens: the most tokens in a summary; a longer one loses its middle
        fill: the share of the model's context that a request may fill, between 0 and 1
        window: the tokens of the model's context; by default `ModelProfile.context`, where the model's plugin knows it
    """

    model: ModelOrSpec = None
    prompt: str = ""
    keep: float = 0.5
    tokens: int = attrs.field(default=500, validator=_check_positive)
    fill: float = 0.8
    window: int | None = attrs.field(default=None, validator=attrs.validators.optional(_check_positive))

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.fill, int | float) or not 0 < self.fill <= 1:
            raise UsageError(f"fill of a summary is {self.fill!r}", hint="Give a share above 0, and at most 1.")
        if not isinstance(self.keep, int | float) or not 0 <= self.keep < 1:
            raise UsageError(f"keep of a summary is {self.keep!r}", hint="Give a share: at least 0, and less than 1.")
        if not (self.model is None or isinstance(self.model, str) or hasattr(self.model, "respond")):
            hint = "Give a spec such as 'llamacpp:smollm2', a Model, or None for the agent's own."
            raise UsageError(f"model of a summary is {self.model!r}", hint=hint)


@attrs.frozen
class LargeResults:
    """The bound of the results of tools that the model sees whole.

    Of a larger text the model sees a preview with a name, and has the tools `read_result` and `search_result` for the
    rest, also in later runs of the session. The session, the journal, the events and the `RunResult` have the whole
    text.

    Attributes:
        characters: the most characters of a result without a preview
        preview: the characters of a preview: the beginning, and a quarter from the end

    Raises `UsageError` for a preview larger than the bound.
    """

    characters: int = attrs.field(default=20_000, validator=_check_positive)
    preview: int = attrs.field(default=2_000, validator=_check_positive)

    def __attrs_post_init__(self) -> None:
        if self.preview > self.characters - 500 or self.characters < 1_000:
            hint = "Give at least 1,000 characters, and a preview that is 500 shorter."
            problem = f"results of {self.characters} characters with a preview of {self.preview} make no sense"
            raise UsageError(problem, hint=hint)


@attrs.frozen
class SessionState:
    """The long form of `MemoryPolicy(state=...)`: the state's type, its version, and how to read an older version.

    Attributes:
        type: an attrs, data or pydantic class, a Struct, a TypedDict, `dict`, `list[str]`, ...: anything JSON can
            carry. Fields whose names begin with an underscore are not stored
        version: raise the number when a stored state no longer fits the type
        upgrade: called with the stored version, if lower, and the data as decoded from JSON; returns data that fits the
            type. Without `upgrade`, an older state is read as if it had this version
        new: makes the state of a new session; by default the type is called without arguments

    A stored state that does not fit raises an error and changes nothing; so does a state that could not be read again.
    Raises `UsageError` for a type that JSON cannot carry.
    """

    type: Any
    version: int = attrs.field(default=1, validator=_check_positive)
    upgrade: Callable[[int, Any], Any] | None = None
    new: Callable[[], Any] | None = None

    def __attrs_post_init__(self) -> None:
        try:
            _check_state_type(self.type)
        except (TypeError, NameError) as exc:
            hint = "Give an attrs, data or pydantic class, a Struct, a TypedDict or dict of what JSON can carry."
            raise UsageError(f"{self.type!r} is not a type for a session's state: {exc}", hint=hint) from exc


def _check_state_type(type_: Any) -> None:
    try:
        msgspec.json.schema(type_)
    except TypeError as exc:
        from agno_rt._schema.describe import type_schema  # for types that msgspec alone does not read, as pydantic's

        try:
            type_schema(type_, what="it", error=UsageError)
        except UsageError:
            raise exc from None


def _convert_state(given: Any) -> SessionState | None:
    return given if given is None or isinstance(given, SessionState) else SessionState(given)


@attrs.frozen
class UserMemory:
    """The use of facts about a run's user. A run without a user has no facts.

    The facts appear in the system message, below the instructions, marked as notes and not as instructions. The memory
    backend must be a `FactStore`; your program can call the store's methods directly.

    Attributes:
        inject: `all` for the facts kept or corrected last first; `relevant` for the facts that share words with the
            input, best first; `none` for no facts
        limit: the most facts to show
        tokens: the most tokens for facts, as estimated
        tools: give the model tools to remember, recall, correct and forget facts about the user
    """

    inject: Literal["all", "relevant", "none"] = "all"
    limit: int = attrs.field(default=20, validator=_check_positive)
    tokens: int = attrs.field(default=500, validator=_check_positive)
    tools: bool = True

    def __attrs_post_init__(self) -> None:
        if self.inject not in ("all", "relevant", "none"):
            raise UsageError(f"inject of UserMemory is {self.inject!r}", hint="Give 'all', 'relevant' or 'none'.")


def _convert_providers(given: Any) -> tuple[Any, ...]:
    """Return the providers as a tuple. Raises `UsageError` for a single provider or spec outside of a list."""
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        hint = "Write context=[...], even for one provider."
        raise UsageError(f"context of a memory policy is {given!r}, not a list of providers", hint=hint)
    return tuple(given)


@attrs.frozen
class MemoryPolicy:
    """What the model sees besides the instructions and the input, and what to keep. The narrowest bound counts.

    A tool call and its results count as one and are never parted, so the model may see slightly less than a bound
    allows.

    Attributes:
        messages: the number of last messages of the session to show; `None` for all
        runs: the number of last runs to show; a run begins with a user's message that follows another role's
        tokens: show the last messages with at most this many tokens together. The instructions, the input and a summary
            do not count
        count: a function that counts the tokens of a message; by default about four characters to a token, a few tokens
            for the message itself, and a fixed number for an image and the like
        summary: have a model summarise the messages that are cut off
        state: the type of the session's state, or a `SessionState`. Tools, hooks and instructions receive the state and
            change it in place. The state is stored with the run's messages; a run without a session has its own
        facts: how a run uses the facts about its user
        journal: store each finished step of the run before the next step begins, so that a crashed run can be resumed
        events: log the events of stored runs, too, so that any process can follow the run; see `Runtime.follow`
        results: the bound of the results of tools that the model sees whole; `None` for no bound
        context: where else a run's context comes from: providers (`ContextProvider`), or their spec strings. They are
            asked in this order
    """

    messages: int | None = attrs.field(default=100, validator=_check_whole_or_none)
    runs: int | None = attrs.field(default=None, validator=_check_whole_or_none)
    tokens: int | None = attrs.field(default=None, validator=_check_whole_or_none)
    count: Counter = None
    summary: Summary | None = None
    state: Any = attrs.field(default=None, converter=_convert_state)
    facts: UserMemory | None = None
    journal: bool = False
    events: bool = False
    results: LargeResults | None = None
    context: Sequence[ProviderOrSpec] = ()

    def __attrs_post_init__(self) -> None:
        if self.context != ():
            object.__setattr__(self, "context", _convert_providers(self.context))
        # msgspec builds the policy from a file without calling attrs' converters.
        if self.state is not None and not isinstance(self.state, SessionState):
            hint = "Give a type: MemoryPolicy(state=Cart), in Python."
            raise UsageError(f"state of a memory policy is {self.state!r}, which is not a type", hint=hint)
        if self.count is not None and not callable(self.count):
            raise UsageError(
                f"count of a memory policy is {self.count!r}", hint="Give a function of a message, in Python."
            )


@runtime_checkable
class MemoryBackend(Protocol):
    """The protocol of a memory plugin. Every method raises `BackendError` if the store cannot be used.

    Any number of tasks may share a backend. A method cancelled while waiting to begin does nothing; once a method has
    begun to write, it finishes, shielded, and returns: the caller must know which of the two happened. A damaged item
    is left out of a list with a `DamagedWarning`, and does not hide other items. A backend with limits of its own may
    have a `statistics()` that returns a tuple of `LimitStatistics`; a backend that may be out of reach may have a
    `check_ready()` that raises the error of a run that tried (see `readiness`).
    """

    async def load(self, session: str, last: int | None = None) -> Session:
        """Return the session with its last `last` messages (all for `None`); a new session is empty, with version 0."""
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
        """Add messages in one atomic step, replace the session's data if `data` is given, and return the new version.

        The session notes the name of the `agent`, if there is one. The first append creates the session and makes it
        belong to `user` from then on, even if `user` is `None`.

        Raises `Forbidden` if the session belongs to another user (see `foreign_session`), `SessionConflict` if the
        session has moved on from `version`, and the errors of `check_name` for a new session's name or user. After an
        error nothing is stored.
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
        """List the sessions written to last, newest first; sessions with the same time by id, in descending order.

        `user` selects the sessions of a user, `unowned` the sessions without a user; otherwise all are listed. `query`
        selects sessions whose title contains the query, in any case. `before` is the `(updated_at, id)` of a session
        after which the list continues.
        """
        ...

    async def session_info(self, session: str) -> SessionInfo | None:
        """Return the session's entry as in a list; `None` for a session that does not exist."""
        ...

    async def rename(self, session: str, title: str) -> bool:
        """Set the session's title, shortened by `session_title`, and return whether the session exists.

        An empty title restores the first words. The session's version and its place in lists do not change.
        """
        ...

    async def delete(self, session: str) -> bool:
        """Forget the session and its data; return whether the session existed."""
        ...

    async def aclose(self) -> None:
        """Release open resources. Later calls may raise."""
        ...


MAX_TITLE = 80
"""The most characters in a session's title."""

_CONTROLS = re.compile(f"[{UNSEEN}\ud800-\udfff]")


def session_title(text: str) -> str:
    """Make a title of a text: one line without control characters, cut at a word if longer than `MAX_TITLE`.

    The title is empty if the text has no visible characters.
    """
    # Look at the beginning only: an input may have megabytes, and the rest would be cut off anyway.
    words = text[: 10 * MAX_TITLE].split() or text.split()
    line = " ".join(_CONTROLS.sub("", " ".join(words)).split())
    if len(line) <= MAX_TITLE:
        return line
    start = line[: MAX_TITLE - 1]
    # Cut in the middle of a word if the last space is far from the end: not every script has spaces.
    at = len(start) if line[len(start)] == " " else start.rfind(" ")
    return f"{start[: at if at > MAX_TITLE // 2 else None].rstrip()}…"


def first_words(messages: Iterable[Message]) -> str:
    """Return the title of a session without a given one: the first words of the user in `messages`."""
    for message in messages:
        if message.role == "user" and (title := session_title(message.text)):
            return title
    return ""


def foreign_session(session: str, owner: str | None, user: str | None) -> Forbidden:
    """Return the error for `user` on a session that belongs to `owner`, without naming the owner."""
    if owner is None:
        problem, hint = "was begun without a user", "Leave out the user to continue it, or name another session."
    elif user is None:
        problem, hint = "belongs to a user, and none was named", "Say who it is for, or name another session."
    else:
        problem, hint = "belongs to another user", "Name another session."
    return Forbidden(f"session {session!r} {problem}", hint=hint)


@runtime_checkable
class FactStore(Protocol):
    """The protocol of a memory backend that keeps facts about users. No call crosses from one user to another.

    The rules for the methods of a `MemoryBackend` apply here too. `agno_rt.facts` has the parts that every store needs:
    the checks of a fact's text, the comparison of two facts, and the ranking of a search.
    """

    async def remember(self, user: str, text: str, *, session: str | None = None, topics: Sequence[str] = ()) -> Fact:
        """Keep a fact and return it; if the fact is known already, return the known fact unchanged.

        Raises `UsageError` for a text that is empty or too long, and for a user with too many facts.
        """
        ...

    async def facts(self, user: str, *, query: str | None = None, limit: int = 100) -> list[Fact]:
        """Return the user's facts, last changed first; with a query, the facts that fit its words, best first."""
        ...

    async def correct(self, user: str, id: str, text: str) -> Fact:
        """Replace a fact's text and return the fact. Raises `NotFound` if this user has no fact with that id."""
        ...

    async def forget(self, user: str, id: str | None = None) -> int:
        """Forget a fact, or all facts of the user for `None`; return the number of facts forgotten.

        Raises `NotFound` if this user has no fact with that id.
        """
        ...


@runtime_checkable
class CacheStore(Protocol):
    """The protocol of a memory backend that keeps cached answers: bytes by key, for a time, up to a number of values.

    The rules for the methods of a `MemoryBackend` apply here too. Any cached value may vanish at any time.
    """

    async def cached(self, key: str) -> bytes | None:
        """Return the value under the key, or `None` if the value is missing or has expired."""
        ...

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        """Keep the value under the key, replacing any other, for `seconds` (`None` for no end).

        If the whole store then has more than `size` values, the values asked for longest ago are forgotten.
        """
        ...

    async def uncache(self, key: str | None = None) -> int:
        """Forget the value under the key, or all cached values for `None`; return the number of values forgotten."""
        ...


@runtime_checkable
class SessionLocks(Protocol):
    """The protocol of a memory backend that several processes share: locks that put the runs on one session in order.

    A run holds its session's lock from before the session is loaded until it is stored. A process that dies frees its
    locks. Without these methods, runs of several processes on one session run at once, and are stored one after the
    other.
    """

    async def lock_session(self, session: str, *, wait: bool) -> bool:
        """Take the session's lock, waiting for it if `wait` is true; return whether the caller holds the lock.

        Returns `False` at once if the backend cannot lock at all. Of several callers in one process, one holds the
        lock.
        """
        ...

    async def unlock_session(self, session: str) -> None:
        """Release the lock, even during cancellation."""
        ...
