"""Every error says what happened and what to do, and has all that a server needs to report the error."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable

import pytest

from agno_rt import errors
from agno_rt.errors import (
    AgnoError,
    BackendError,
    ConfigError,
    ContextOverflow,
    DeadlineExceeded,
    Forbidden,
    LimitExceeded,
    ModelError,
    NotFound,
    OutputError,
    Overloaded,
    PluginError,
    SessionConflict,
    ToolDefinitionError,
    UsageError,
    suggest,
)
from agno_rt.failures import named, text_of

CLASSES = [getattr(errors, name) for name in errors.__all__ if isinstance(getattr(errors, name), type)]


def test_the_base_cannot_be_raised() -> None:
    """The base class cannot be made: each error belongs to a class that tells who is to blame."""
    with pytest.raises(TypeError, match="base class"):
        AgnoError("something")


def test_codes_are_stable_and_unique() -> None:
    """Each class has a unique code. Clients may rely on the codes."""
    codes = {cls.__name__: cls.code for cls in CLASSES}

    assert len(set(codes.values())) == len(codes)
    assert codes == {
        "AgnoError": "error",
        "BackendError": "backend",
        "Blocked": "blocked",
        "ConfigError": "config",
        "ContextOverflow": "context_overflow",
        "DeadlineExceeded": "deadline",
        "Forbidden": "forbidden",
        "HookError": "hook",
        "JournalMismatch": "journal_mismatch",
        "LimitExceeded": "limit",
        "ModelError": "model",
        "NotFound": "not_found",
        "OutputError": "output",
        "Overloaded": "overloaded",
        "PluginError": "plugin",
        "RunCancelled": "cancelled",
        "RunInterrupted": "interrupted",
        "RunRolledBack": "rolled_back",
        "SessionBusy": "session_busy",
        "SessionConflict": "session_conflict",
        "StateConflict": "state_conflict",
        "StepFailed": "step_failed",
        "StepUncertain": "step_uncertain",
        "ToolDefinitionError": "tool_definition",
        "Unanswered": "unanswered",
        "UsageError": "usage",
        "WorkflowError": "workflow",
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("x"), 400),
        (Forbidden("x"), 403),
        (ConfigError("x"), 400),
        (ToolDefinitionError("x"), 400),
        (NotFound("agent", "x", []), 404),
        (ModelError("x"), 502),
        (ContextOverflow("x"), 413),
        (OutputError("x"), 502),
        (PluginError("x", plugin="p"), 500),
        (LimitExceeded("x", limit="turns"), 422),
        (DeadlineExceeded("x", limit="run_timeout"), 504),
        (Overloaded("x", limit="runs"), 503),
        (BackendError("x"), 503),
        (SessionConflict("x"), 409),
    ],
)
def test_each_error_has_its_http_status(error: AgnoError, status: int) -> None:
    """An error has an HTTP status, and no result before a run sets one."""
    assert error.http_status == status
    assert error.result is None


def test_a_model_error_says_whether_to_retry() -> None:
    """A model's error has the provider, the status, and the advice on retries."""
    error = ModelError("busy", provider="acme", status=429, retryable=True, retry_after=2.5)

    assert (error.provider, error.status, error.retryable, error.retry_after) == ("acme", 429, True, 2.5)
    assert (ModelError("x").provider, ModelError("x").status, ModelError("x").retryable) == ("", None, False)


def test_not_found_names_thing_place_and_nearest() -> None:
    """An unknown name is told with kind and place. The hint has the nearest name and the list."""
    error = NotFound("agent", "asistant", ["librarian", "assistant"], where="agno-rt.toml")

    assert error.message == "unknown agent 'asistant' (agno-rt.toml)"
    assert error.hint == "Did you mean 'assistant'? Known: assistant, librarian."
    assert (error.kind, error.name) == ("agent", "asistant")


def test_not_found_takes_a_hint_of_its_own() -> None:
    """A given hint replaces the suggestion. An empty place is left out."""
    error = NotFound("module", "nope", ["other"], hint="Name a file.")

    assert error.full_text == "unknown module 'nope'\nName a file."


def test_the_text_is_the_message_alone() -> None:
    """The text of an error leaves out the hint, so that a program showing both says the hint once. A traceback has the
    hint as a note."""
    error = UsageError("no such thing", hint="Look elsewhere.")

    assert (str(error), error.hint) == ("no such thing", "Look elsewhere.")
    assert traceback.format_exception_only(error)[-2:] == [
        "agno_rt.errors.UsageError: no such thing\n",
        "Look elsewhere.\n",
    ]
    assert not hasattr(UsageError("no such thing"), "__notes__")
    assert UsageError("no such thing").full_text == "no such thing"


def test_texts_for_logs_and_models_have_the_hint() -> None:
    """Texts for stores, logs and models include the hint."""
    error = UsageError("no such thing", hint="Look elsewhere.").at("a.toml")

    assert text_of(error) == "a.toml: no such thing\nLook elsewhere."
    assert named(error) == "UsageError: a.toml: no such thing\nLook elsewhere."


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_copies_have_the_hint_once(copied: Callable[[UsageError], UsageError]) -> None:
    """A copied or pickled error keeps message, hint and note."""
    error = copied(UsageError("no such thing", hint="Look elsewhere."))

    assert (str(error), error.hint, error.__notes__) == ("no such thing", "Look elsewhere.", ["Look elsewhere."])


def test_not_found_cuts_what_is_too_long() -> None:
    """A name of megabytes is cut to its beginning and length. The nearest name is found nevertheless."""
    error = NotFound("agent", "assistant" * 1_000_000, ["assistant" * 11, "librarian"])

    assert len(str(error)) < 1_000
    assert "unknown agent 'assistantassistant" in error.message
    assert error.message.endswith("... of 9,000,000 characters")
    assert error.hint.startswith("Did you mean 'assistantassistant")


class TestSuggest:
    """The hint for an unknown name."""

    def test_nothing_to_choose_from(self) -> None:
        """An empty list of names gives "There are no ..."."""
        assert suggest("tool", "x", []) == "There are no tools."

    def test_nothing_near(self) -> None:
        """The hint without a near name lists all names, sorted, each once."""
        assert suggest("tool", "zzz", ["b", "a", "b"]) == "Known: a, b."

    def test_long_lists_are_cut(self) -> None:
        """A long list is cut after twelve names, and says how many more follow; a single name is never cut."""
        assert suggest("tool", "zzz", [f"n{at:02}" for at in range(13)]).endswith("n11, n12.")
        hint = suggest("tool", "zzz", [f"n{at:02}" for at in range(15)])

        assert hint.endswith("n11, and 3 more.")


def test_blame_is_in_the_class() -> None:
    """The base class of an error tells who can mend the fault."""
    assert issubclass(NotFound, UsageError)
    assert issubclass(ConfigError, UsageError)
    assert issubclass(OutputError, ModelError)
    assert issubclass(Overloaded, LimitExceeded)
    assert issubclass(DeadlineExceeded, LimitExceeded)
    assert issubclass(SessionConflict, BackendError)


def test_a_plain_error_can_cross_a_process() -> None:
    """An error with a message alone survives pickling."""
    assert str(pickle.loads(pickle.dumps(UsageError("gone")))) == "gone"
