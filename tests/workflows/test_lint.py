"""The lint of workflows: calls whose results are not recorded, and no false alarm for steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agno_rt import Agent, Workflow
from agno_rt.testing import check_workflow
from agno_rt.workflows.lint import find_unrecorded
from tests.workflows import lint_samples as samples


def test_names_each_call() -> None:
    """Each call is named with its line and a remedy, also in functions of the module that the workflow uses."""
    found = find_unrecorded(samples.wrong)

    assert sorted(each.name for each in found) == sorted(
        [
            "time.time",
            "datetime.now",
            "dt.date.today",
            "read_clock",
            "chance.choice",
            "os.urandom",
            "secrets.token_hex",
            "random.randint",
            "time.sleep",
            "trio.sleep",
            "trio.open_nursery",
            "uuid.uuid4",
            "time.monotonic",
            "uuid.uuid1",
        ]
    )
    lines = Path(str(samples.__file__)).read_text(encoding="utf-8").splitlines()
    assert all(each.name in lines[each.line - 1] for each in found)
    assert {each.file for each in found} == {samples.__file__}
    by_name = {each.name: each.hint for each in found}
    assert "flow.now()" in by_name["time.time"]
    assert "flow.group()" in by_name["trio.open_nursery"]


def test_no_false_alarm() -> None:
    """Steps, also nested ones, the flow's own methods, seeded numbers, and variables with the names of modules pass."""
    assert find_unrecorded(samples.right) == []
    check_workflow(samples.right)


def test_the_check_of_the_testing_kit() -> None:
    """`check_workflow` fails with a line for each call."""
    with pytest.raises(AssertionError, match=r"lint_samples\.py:\d+: time\.time is not recorded\. Use"):
        check_workflow(samples.wrong)


@pytest.mark.parametrize("value", [Agent("answers:a", "a"), Workflow("declared", [samples.fetch]), len])
def test_values_without_a_function(value: Any) -> None:
    """Agents, declared workflows, whose functions are steps, and builtins have nothing to read."""
    assert find_unrecorded(value) == []
