"""Exception groups reduced to one cause, and statuses of errors."""

from __future__ import annotations

import os

import pytest
import trio

from agno_rt._drive.ids import new_id
from agno_rt._drive.scopes import cause, ended_as
from agno_rt.errors import LimitExceeded, ModelError
from agno_rt.failures import named

ONE, TWO, STOP = ValueError("one"), KeyError("two"), KeyboardInterrupt()


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (BaseExceptionGroup("g", [ONE]), ONE),
        (BaseExceptionGroup("g", [BaseExceptionGroup("h", [BaseExceptionGroup("i", [ONE])])]), ONE),
        (BaseExceptionGroup("g", [ONE, STOP, TWO]), STOP),
        (BaseExceptionGroup("g", [ONE, BaseExceptionGroup("h", [STOP])]), STOP),
    ],
)
def test_one_cause_stands_for_a_group(group: BaseExceptionGroup[BaseException], expected: BaseException) -> None:
    """A single failure comes out of any depth bare; an interrupt overrides failures."""
    assert cause(group) is expected


def test_several_causes_stay_a_group() -> None:
    """Several failures stay a group."""
    group = BaseExceptionGroup("g", [ONE, BaseExceptionGroup("h", [TWO])])

    assert cause(group) is group


async def test_a_cancellation_comes_before_failures() -> None:
    """A `Cancelled` overrides failures, and an interrupt overrides a `Cancelled`."""
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            assert cause(BaseExceptionGroup("g", [ONE, cancelled, TWO])) is cancelled  # noqa: PT017 - it is raised again
            assert cause(BaseExceptionGroup("g", [cancelled, STOP])) is STOP  # noqa: PT017 - it is raised again
            assert ended_as(cancelled) == "cancelled"  # noqa: PT017 - it is raised again
            raise

    assert scope.cancelled_caught


def test_statuses_and_names() -> None:
    """A limit gives the status limited, any other error failed. An exception without a text is named by type."""
    assert ended_as(LimitExceeded("x", limit="turns")) == "limited"
    assert ended_as(ModelError("x")) == ended_as(STOP) == "failed"
    assert (named(ONE), named(STOP)) == ("ValueError: one", "KeyboardInterrupt")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a child")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_draws_ids_of_its_own() -> None:
    """Parent and child never share an id."""
    new_id()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    of_child = os.read(reader, 100).decode()
    for end in (reader, writer):
        os.close(end)

    assert len(of_child) == 24
    assert of_child not in {new_id() for _ in range(600)}
