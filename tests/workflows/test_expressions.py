"""Expressions of declared workflows: what they read, and what they refuse."""

from __future__ import annotations

import contextlib
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt import Runtime, Workflow
from agno_rt.errors import UsageError
from agno_rt.workflows import Condition


@attrs.define
class Thing:
    """An output with fields."""

    count: int = 3
    name: str = "tea"
    parts: list[dict[str, int]] = attrs.Factory(lambda: [{"size": 1}, {"size": 2}])
    ready: bool = True
    none: None = None


@attrs.define
class Total:
    """A state."""

    count: int = 5


async def holds(expression: str) -> Any:
    """Return whether the expression holds for a thing as output."""

    def make() -> Thing:
        return Thing()

    def yes(thing: Thing) -> bool:
        return True

    def no(thing: Thing) -> bool:
        return False

    async with Runtime() as rt:
        made = Workflow("w", [make, Condition(expression, yes, no)], state=Total, memory={"journal": False})
        return (await rt.run(made, "go")).output


@pytest.mark.parametrize(
    "expression",
    [
        "output.ready",
        "output.ready is true and output.none == null and false == False",
        "not output.none",
        "output.count == 3 and output.count < state.count <= 5",
        "output.count > -1",
        "1 < 2 < 3 and not 1 < 2 > 3",
        "output.parts[0].size == 1 and output.parts[-1]['size'] == 2",
        "len(output.parts) == 2",
        "output.name in ['tea', 'milk'] and output.name not in ('cake', 'pie')",
        "'e' in output.name",
        "output.none is None or output.none.missing",
        "output.count != 4 and output.count >= 3 and output.count is not None",
    ],
)
async def test_an_expression_holds(expression: str) -> None:
    """Fields, entries, items, comparisons, membership, lengths and constants are read as in Python."""
    assert await holds(expression)
    assert not await holds(f"not ({expression})")


@pytest.mark.parametrize(
    ("expression", "match"),
    [
        ("output.", "invalid syntax"),
        ("", "invalid syntax"),
        ("outptu.ready", "there is no 'outptu', only output, state"),
        ("output.__class__", "'__class__' is private"),
        ("output.name.upper()", "calls something else than len"),
        ("open('x')", "calls something else than len"),
        ("len(output.parts, 1)", "calls something else than len"),
        ("[x for x in output.parts]", "nothing that an expression may have"),
        ("output.count + 1", "nothing that an expression may have"),
        ("9 ** 9 ** 9", "nothing that an expression may have"),
        ("(lambda: 1)", "nothing that an expression may have"),
        ("output.parts[state.count]", "malformed"),
        ("output.parts[0:1]", "malformed"),
        ("(" * 300 + ")" * 300, "600 characters"),
    ],
)
def test_an_expression_is_refused_when_declared(expression: str, match: str) -> None:
    """Text that is not an expression is refused with the text, the place and the reason."""
    with pytest.raises(UsageError, match=match) as caught:
        Condition(expression, print, name="gate")
    assert "when of 'gate'" in str(caught.value)
    assert "output.approved" in caught.value.hint


@pytest.mark.parametrize(
    ("expression", "match"),
    [
        ("output.missing", "output is a Thing without 'missing'"),
        ("output.parts[0].weight", r"output.parts\[0\] is a dict without 'weight'"),
        ("output.name.upper", "output.name is a str without 'upper'"),
        ("output.parts[7]", "IndexError"),
        ("output.name > 3", "TypeError"),
    ],
)
async def test_an_expression_fails_by_name(expression: str, match: str) -> None:
    """A missing field, a method, and a comparison of unlike values fail, with the expression in the message."""
    with pytest.raises(UsageError, match=match) as caught:
        await holds(expression)
    assert f"condition: the expression {expression!r} failed" in str(caught.value)


@given(st.text(max_size=30) | st.text("outps.e_[]()'\"0 -<=,", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text brings another error than `UsageError`."""
    with contextlib.suppress(UsageError):
        Condition(text, print)
