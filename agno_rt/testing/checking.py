"""Checks that a workflow takes its times, random numbers, ids and waits from its flow."""

from __future__ import annotations

from typing import Any

from agno_rt.workflows.lint import find_unrecorded

__all__ = ["check_workflow"]


def check_workflow(workflow: Any) -> None:
    """Check the function of an `@workflow`, and the functions of its module that it uses, steps excluded.

    Raises `AssertionError` with a line for each call whose result a resumed workflow would not get again: `time.time`,
    `datetime.now`, `random`, `uuid4`, `os.urandom`, `trio.sleep`, a nursery of one's own, and the like.
    """
    found = find_unrecorded(workflow)
    assert not found, "\n".join(map(str, found))
