"""The names of a workflow's steps and the lookup of recorded steps, as values in and values out."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from agno_rt._decide.flow_journal import (
    FlowReplay,
    child_id,
    digest_of,
    read_error,
    store_error,
)
from agno_rt._decide.flow_paths import Place, PlaceCounter, name_branch
from agno_rt._decide.forks import entries_of_fork
from agno_rt._decide.journal import Begun, Ended, StepBegun, StepEnded, StoredError, encode_entry
from agno_rt.errors import AgnoError, DeadlineExceeded, JournalMismatch, ModelError, NotFound, StepFailed, UsageError
from agno_rt.messages import Message


def ended(place: Place, value: Any = None, digest: str = "") -> StepEnded:
    """Return the entry of a step at the place."""
    return StepEnded(place.path, place.trail, digest, msgspec.Raw(msgspec.json.encode(value)))


def test_each_scope_counts_for_itself() -> None:
    """A name is counted in its scope; the trail has the numbers of the places from the outermost scope."""
    root, branch = PlaceCounter(), PlaceCounter("parts#1/intro", (1, 0))

    assert [root.take(name).path for name in ("work", "parts", "work")] == ["work#1", "parts#1", "work#2"]
    place = branch.take("work")
    assert (place.path, place.scope, place.trail) == ("parts#1/intro/work#1", "parts#1/intro", (1, 0, 0))
    assert branch.take("a/b#c%").path == "parts#1/intro/a%2Fb%23c%25#1"


def test_branches_have_their_own_names() -> None:
    """A branch has its key or its number; a name that is taken is refused."""
    place = PlaceCounter().take("parts")

    assert (name_branch(place, None, (), 3), name_branch(place, "a/b", (), 3)) == ("3", "a%2Fb")
    with pytest.raises(UsageError, match="parts#1 has two branches '3'"):
        name_branch(place, None, {"3"}, 3)


def test_recorded_steps_are_found_by_their_path() -> None:
    """An ended step is found, a new one is not; another name or other arguments at the place raise both."""
    place = PlaceCounter().take("work")
    replay = FlowReplay([ended(place, 7, "d1")])

    found = replay.find(place, "d1")
    assert found is not None
    assert msgspec.json.decode(found.value) == 7
    assert replay.find(Place("work#2", "", (1,)), "d1") is None
    with pytest.raises(JournalMismatch, match=r"other arguments than in the journal \(d2, not d1\)") as caught:
        replay.find(place, "d2")
    assert caught.value.path == "work#1"
    with pytest.raises(JournalMismatch, match="does other#1, and its journal has work#1"):
        replay.check_place(PlaceCounter().take("other"))


def test_a_group_where_a_step_was() -> None:
    """A step in a branch shows the name of its group, so that other code in the place of the group is found."""
    replay = FlowReplay([ended(Place("parts#1/0/work#1", "parts#1/0", (0, 0, 0)))])

    replay.check_place(PlaceCounter().take("parts"))
    with pytest.raises(JournalMismatch, match="its journal has parts#1"):
        replay.check_place(PlaceCounter().take("work"))


def test_failures_that_ended_the_run_are_new_again() -> None:
    """The steps named by the run's end count as not done and not begun; what is stored after the end counts."""
    place = PlaceCounter().take("work")
    begun, failed = StepBegun(place.path, place.trail), StepEnded(place.path, place.trail, error=StoredError("x", "no"))
    over = Ended("failed", "no", again=("work#1",))

    assert FlowReplay([begun, failed]).has_ended(place)
    again = FlowReplay([begun, failed, over])
    assert (again.find(place, ""), again.begun) == (None, {})
    assert FlowReplay([begun, failed, over, ended(place, 1)]).find(place, "") is not None


def test_a_change_is_seen_by_runs_that_have_not_passed() -> None:
    """A change holds at a place that is new, or has the mark; not where the journal has something else, or a gap."""
    replay = FlowReplay(
        [ended(Place("work#1", "", (0,))), ended(Place("changed x#1", "", (1,))), ended(Place("a#1", "", (3,)))]
    )

    assert [replay.has_change("", number, "changed x#1") for number in range(5)] == [False, True, False, False, True]


@pytest.mark.parametrize(
    "error",
    [
        ModelError("gone", provider="x", status=503, retryable=True, retry_after=1.5),
        DeadlineExceeded("late", limit="timeout", hint="Wait."),
        StepFailed("work#1 failed", path="work#1"),
        UsageError("wrong"),
    ],
)
def test_errors_come_back_as_they_were(error: AgnoError) -> None:
    """A stored error has the same class, text, hint and attributes."""
    stored = msgspec.json.decode(msgspec.json.encode(store_error(error)), type=StoredError)
    again = read_error(stored)

    assert (type(again), str(again), again.hint) == (type(error), str(error), error.hint)
    names = ("provider", "status", "retryable", "retry_after", "limit", "path")
    assert [getattr(again, name, None) for name in names] == [getattr(error, name, None) for name in names]


def test_an_unknown_error_is_a_failed_step() -> None:
    """The error of a plugin that is not loaded comes back as a `StepFailed` with its text."""
    assert type(read_error(StoredError("of_a_plugin", "text"))) is StepFailed


def test_digests() -> None:
    """A digest depends on the values and not on the order of keys; any object has one."""
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1}) != digest_of({"a": 1})
    assert digest_of(threading.Lock()) == digest_of(threading.Lock())
    assert digest_of({(1, 2): 3}) == digest_of({(1, 2): 3})
    # Journals have them: a run of an older version goes on only if they stay.
    assert digest_of((1, "a", [2.5]), {"b": None}) == "8e119c4fcb16de7a"
    assert child_id("r", "work#1") == child_id("r", "work#1") != child_id("r", "work#2")


def test_entries_before_a_step() -> None:
    """A fork keeps what comes before the step and what other branches did, numbered without gaps."""
    places = [
        Place("first#1", "", (0,)),
        Place("two#1/a/work#1", "two#1/a", (1, 0, 0)),
        Place("two#1/b/work#1", "two#1/b", (1, 1, 0)),
        Place("two#1/a/work#2", "two#1/a", (1, 0, 1)),
        Place("last#1", "", (2,)),
    ]
    bodies = [Begun((Message("user", "go"),)), *map(ended, places), Ended("completed")]
    entries = [encode_entry(seq, body, 1.0) for seq, body in enumerate(bodies)]

    def kept(path: str) -> list[str]:
        found = entries_of_fork(entries, "r", path)
        assert [each.seq for each in found] == list(range(len(found)))
        return [msgspec.json.decode(each.body).get("path", "") for each in found]

    assert kept("two#1/a/work#1") == ["", "first#1", "two#1/b/work#1"]
    assert kept("two#1/a/work#2") == ["", "first#1", "two#1/a/work#1", "two#1/b/work#1"]
    assert kept("first#1") == [""]
    with pytest.raises(NotFound, match="unknown step 'none#1'"):
        kept("none#1")
