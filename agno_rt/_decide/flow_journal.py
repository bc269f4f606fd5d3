"""The steps of a workflow in its journal: looked up by their paths, and turned into values and errors again. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from agno_rt._decide.flow_paths import Place
from agno_rt._decide.journal import NO_STATE, Ended, StepBegun, StepEnded, StoredError
from agno_rt._schema.pydantic_types import plain_value
from agno_rt.errors import AgnoError, JournalMismatch, StepFailed
from agno_rt.messages import Message, Usage
from agno_rt.models import NO_USAGE, FinishReason
from agno_rt.result import RunResult

__all__ = [
    "FlowReplay",
    "StoredResult",
    "child_id",
    "digest_of",
    "read_error",
    "store_error",
    "store_result",
]

_SIMPLE = (str, int, float, bool, type(None))
_UNSTORED = frozenset(("message", "hint", "result", "_placed", "__notes__"))


class StoredResult(msgspec.Struct, omit_defaults=True):
    """The result of a run within a workflow, as stored. `output` is JSON, and empty for a run without an output."""

    content: str
    output: msgspec.Raw = NO_STATE
    messages: tuple[Message, ...] = ()
    finish_reason: FinishReason = "stop"
    reasoning: str = ""


class FlowReplay:
    """The steps of an earlier process, by path. Without entries, every step is new."""

    def __init__(self, steps: Sequence[Any] = ()) -> None:
        self.begun: dict[str, StepBegun] = {}
        self.signals: set[int] = set()
        self._ended: dict[str, StepEnded] = {}
        # The names that were used in each scope, by number, to find a step that now has another name.
        self._names: dict[tuple[str, int], str] = {}
        self.is_empty = not steps
        self._lengths: dict[str, int] = {}
        # The paths of groups, which have no entries of their own.
        self._with_branches: set[str] = set()
        for body in steps:
            if isinstance(body, StepBegun):
                self.begun[body.path] = body
                self._note_names(body)
            elif isinstance(body, StepEnded):
                self._ended[body.path] = body
                self.signals.add(body.signal)
                self._note_names(body)
            elif isinstance(body, Ended):
                self.retake(body.again)

    def retake(self, paths: Iterable[str]) -> None:
        """Take the steps at the paths as new: their failures ended the run."""
        for path in paths:
            self._ended.pop(path, None)
            self.begun.pop(path, None)

    def _note_names(self, body: StepBegun | StepEnded) -> None:
        # A path alternates names with branches, `group#1/branch/step#1`, and so does its trail.
        parts = body.path.split("/")
        for at in range(0, len(parts), 2):
            scope, number = "/".join(parts[:at]), body.trail[at]
            self._names[scope, number] = parts[at]
            self._lengths[scope] = max(self._lengths.get(scope, 0), number + 1)
            if at:
                self._with_branches.add("/".join(parts[: at - 1]))

    def check_place(self, place: Place) -> None:
        """Raise `JournalMismatch` if the journal has another name at the place."""
        known = self._names.get((place.scope, place.trail[-1]))
        name = place.path.rpartition("/")[2]
        if known is not None and known != name:
            scope = f"{place.scope}/" if place.scope else ""
            raise _mismatch(f"the workflow does {place.path}, and its journal has {scope}{known} there", place.path)

    def check_end(self, taken: int) -> None:
        """Raise `JournalMismatch` if the journal has a step after the first `taken` places of the main branch."""
        bodies: list[StepBegun | StepEnded] = [*self._ended.values(), *self.begun.values()]
        skipped = min((body for body in bodies if body.trail[0] >= taken), key=lambda body: body.trail, default=None)
        if skipped is not None:
            raise _mismatch(f"the workflow has ended without {skipped.path}, which its journal has", skipped.path)

    def check_group(self, place: Place) -> None:
        """Raise `JournalMismatch` if the journal has a step at the place of a group."""
        if place.path in self._ended or place.path in self.begun:
            raise _mismatch(f"{place.path} is a group now, and a step in its journal", place.path)

    def find(self, place: Place, digest: str) -> StepEnded | None:
        """Return the ended step at the place.

        Raises `JournalMismatch` for other arguments than the journal's, and if the journal has a group there.
        """
        if place.path in self._with_branches:
            raise _mismatch(f"{place.path} is a step now, and a group in its journal", place.path)
        for found in (self._ended.get(place.path), self.begun.get(place.path)):
            if found is not None and found.digest != digest:
                problem = f"{place.path} gets other arguments than in the journal ({digest}, not {found.digest})"
                raise _mismatch(problem, place.path)
        return self._ended.get(place.path)

    def find_begun(self, place: Place) -> StepBegun | None:
        """Return the beginning of the step at the place, or None."""
        return self.begun.get(place.path)

    def has_ended(self, place: Place, digest: str | None = None) -> bool:
        """Return whether the step at the place has ended, with these arguments where a step may have others."""
        return place.path in self._ended

    def usage_of(self, place: Place) -> Usage:
        """Return the usage of the run at the place, ended or failed."""
        found = self._ended.get(place.path)
        return NO_USAGE if found is None or found.usage is None else found.usage

    def is_at(self, scope: str, number: int, name: str) -> bool:
        """Return whether the journal has the name at the place."""
        return self._names.get((scope, number)) == name

    def has_more(self, scope: str, number: int) -> bool:
        """Return whether the journal has a step of the scope at the place or later."""
        return self._lengths.get(scope, 0) > number

    def has_change(self, scope: str, number: int, name: str) -> bool:
        """Return whether code marked by the change may run at this place: the mark is there, or nothing is yet."""
        return self.is_at(scope, number, name) or not self.has_more(scope, number)


def _mismatch(problem: str, path: str) -> JournalMismatch:
    hint = (
        "Guard changed code by `if await flow.changed('id'):`, or by `flow.version`; or fork the run before the step. "
        "Times, random numbers and ids must come from the flow: `flow.now()`, `flow.random()`, `flow.id()`."
    )
    return JournalMismatch(problem, path=path, hint=hint)


def digest_of(*values: Any) -> str:
    """Return a short digest of the values, the same in each process. Objects count by their names or types."""
    try:
        text = _ENCODER.encode(values)
    except (TypeError, ValueError, RecursionError):
        # Dicts with keys that JSON does not have, and the like: compared by the types of the values alone.
        text = ",".join(type(value).__qualname__ for value in values).encode()
    digest = _DIGEST.copy()
    digest.update(text)
    return digest.hexdigest()


_DIGEST = hashlib.blake2b(digest_size=8)
"""The digest of nothing: a copy takes half the time of a new one with its parameters."""


def _describe_value(value: Any) -> Any:
    try:
        return plain_value(value)
    except TypeError:
        return getattr(value, "name", None) or f"{type(value).__module__}.{type(value).__qualname__}"


_ENCODER = msgspec.json.Encoder(enc_hook=_describe_value, order="deterministic")


def child_id(journal: str, path: str) -> str:
    """Return the id of the run at the path, by the name of the journal around: whoever resumes finds the same id."""
    return hashlib.blake2b(f"{journal}/{path}".encode(), digest_size=12).hexdigest()


def store_result(result: RunResult, output: bytes) -> StoredResult:
    """Return the result as a value to store; `output` is the result's output as JSON."""
    raw = msgspec.Raw(output) if output else NO_STATE  # only this very object is left out of the JSON
    return StoredResult(result.content, raw, result.messages, result.finish_reason, result.reasoning)


def store_error(exc: AgnoError) -> StoredError:
    """Return the error as a value to store."""
    fields = {name: value for name, value in vars(exc).items() if name not in _UNSTORED and isinstance(value, _SIMPLE)}
    return StoredError(exc.code, exc.message, exc.hint, fields)


def read_error(stored: StoredError) -> AgnoError:
    """Return the stored error: of the same class where the class is known, with the same text and attributes."""
    classes = [AgnoError]
    for cls in classes:
        classes.extend(cls.__subclasses__())
    found = next((cls for cls in classes if cls.code == stored.code and cls is not AgnoError), StepFailed)
    # Not by the class's `__init__`, which may take anything.
    error = found.__new__(found, stored.message)
    Exception.__init__(error, stored.message)
    error.message, error.hint = stored.message, stored.hint
    for name, value in stored.fields.items():
        setattr(error, name, value)
    return error
