"""Expressions of declared workflows: what they read and refuse, with the engine of the extra `cel` and without it."""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import sys
from typing import Annotated, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt import Runtime, Workflow
from agno_rt.errors import UsageError
from agno_rt.workflows import Condition, Loop, Map, Router, add
from agno_rt.workflows._expressions import Expression
from tests.workflows.cel_cases import ANSWERS, ENGINE_ALONE, ERRORS, FAULTS, VALUES

ENGINE = "cel_expr_python.cel"


@pytest.fixture(params=["engine", "own"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test with the engine and without it."""
    if request.param == "engine":
        pytest.importorskip(ENGINE)
    else:
        monkeypatch.setitem(sys.modules, ENGINE, None)
    return str(request.param)


class Kind(enum.Enum):
    """A kind of thing."""

    GREEN = "green"


@attrs.define
class Thing:
    """An output with fields."""

    count: int = 3
    name: str = "tea"
    parts: list[dict[str, int]] = attrs.Factory(lambda: [{"size": 1}, {"size": 2}])
    ready: bool = True
    none: None = None
    kind: Kind = Kind.GREEN
    day: dt.date = dt.date(2026, 11, 30)

    @property
    def title(self) -> str:
        """A field that is computed."""
        return self.name.title()


@attrs.define
class Plan:
    """A part of a state."""

    title: str = "Trio"


@attrs.define
class Total:
    """A state."""

    count: Annotated[int, add] = 5
    score: float = 0.5
    plan: Plan = attrs.Factory(Plan)
    names: list[str] = attrs.Factory(list)
    sizes: dict[str, int] = attrs.Factory(dict)
    note: str | None = None
    older: list[Plan] = attrs.Factory(list)


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


def read(expression: str) -> Any:
    """Return the value of an expression of the table."""
    return Expression.read(expression, "here").evaluate(VALUES, "there")


@pytest.mark.parametrize(("expression", "answer"), ANSWERS)
def test_both_readers_answer(reader: str, expression: str, answer: Any) -> None:
    """The engine and the reader without it give the same value, of the same type."""
    assert repr(read(expression)) == repr(answer)


@pytest.mark.parametrize("expression", ERRORS)
def test_both_readers_fail(reader: str, expression: str) -> None:
    """An expression without a value has none in either reader."""
    with pytest.raises(UsageError, match="there: the expression"):
        read(expression)


@pytest.mark.parametrize("expression", FAULTS)
def test_both_readers_refuse(reader: str, expression: str) -> None:
    """Text outside CEL, or with types that do not fit, is refused when declared."""
    with pytest.raises(UsageError, match=r"here: cannot read the expression (?s:.*) at column \d+: "):
        read(expression)


@pytest.mark.parametrize("expression", ENGINE_ALONE)
def test_the_engine_has_more(reader: str, expression: str) -> None:
    """A form that only the engine has is refused without it, with the command that installs it."""
    if reader == "engine":
        read(expression)
        return
    with pytest.raises(UsageError, match="cannot read the expression") as caught:
        read(expression)
    assert "pip install 'agno-rt[cel]'" in caught.value.hint


def test_the_table_is_long() -> None:
    """The two readers are compared by many expressions."""
    assert len(ANSWERS) + len(ERRORS) + len(FAULTS) >= 300


@pytest.mark.parametrize(
    "expression",
    [
        "output.ready",
        "output.count == 3 && output.count < state.count && state.count <= 5",
        "output.parts[0].size == 1 && output.parts[1]['size'] == 2",
        "size(output.parts) == 2 && output.parts.exists(part, part.size > 1)",
        "output.name in ['tea', 'milk'] && !(output.name in ['cake', 'pie'])",
        "output.none == null || output.none.missing",
        "output.kind == 'green' && output.day == '2026-11-30' && output.title == 'Tea'",
        "has(output.name) && !has(output.missing)",
        "output == output && size(state.names) == 0 && !('a' in state.sizes)",
        "state.plan.title.startsWith('T') && state.score < 1.0 && state.note == null",
        "state.older.all(plan, plan.title == 'x')",
    ],
)
async def test_an_expression_holds(reader: str, expression: str) -> None:
    """Fields of objects, computed ones too, and the state's are read as JSON would carry them."""
    assert await holds(expression)
    assert not await holds(f"!({expression})")


@pytest.mark.parametrize(
    ("expression", "match"),
    [
        ("output.", "column 8"),
        ("", "column 1"),
        ("outptu.ready", "column 1: there is no 'outptu', only output, state"),
        ("output.name.upper()", "there is no function upper()"),
        ("output.count > 1 + 'a'", "column 18: .* does not take"),
        ("1 + 1", "it is of type int, and a condition is true or false"),
        ("'" + "a" * 600 + "'", "602 characters"),
    ],
)
def test_an_expression_is_refused_when_declared(reader: str, expression: str, match: str) -> None:
    """Text that is not an expression is refused with the text, the place, the column and the reason."""
    with pytest.raises(UsageError, match=match) as caught:
        Condition(expression, print, name="gate")
    assert "when of 'gate'" in str(caught.value)
    assert "output.approved" in caught.value.hint


@pytest.mark.parametrize("expression", ["output.a and true", "not output.a", "len(output) > 1", "output.a is true"])
def test_python_is_told_from_cel(reader: str, expression: str) -> None:
    """An expression in Python's words is refused with CEL's."""
    with pytest.raises(UsageError) as caught:
        Condition(expression, print)
    assert "CEL has && for and" in caught.value.hint


@pytest.mark.parametrize(
    ("expression", "match"),
    [
        ("state.cuont > 3", r"at column \d+: .*cuont"),
        ("state.count > 'a'", r"at column 13: .*int, string"),
        ("state.count > 2.5", r"at column 13: .*int, double"),
        ("state.plan.titel == ''", r"at column \d+: .*titel"),
        ("state.plan == null", "object"),
        ("state.names[0] + 1 == 2", r"at column 16: .*string, int"),
        ("1 in state.names", r"at column 3: .*int, list\(string\)"),
        ("state.sizes.a == 'x'", r"at column 15: .*int, string"),
        ("has(state.count)", "always there"),
        ("state.names.exists(name, name > 1)", r"at column 31: .*string, int"),
        ("state.count", "it is of type int"),
    ],
)
def test_an_expression_fits_the_state(reader: str, expression: str, match: str) -> None:
    """A field that the state does not have, or a wrong type, is refused with workflow, node, expression and column."""
    with pytest.raises(UsageError, match=match) as caught:
        Workflow("report", [Loop(print, until=expression, name="rounds")], state=Total)
    assert "workflow 'report', until of 'rounds'" in str(caught.value)
    assert repr(expression) in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "match"),
    [
        ("output.missing", "output has no 'missing'"),
        ("output.parts[0].weight", r"output.parts\[0\] has no 'weight'"),
        ("output.name.upper", "output.name is a string without 'upper'"),
        ("output.__class__ == 1", "has no '__class__'"),
        ("output.parts[7]", "there is no item 7 in a list of 2"),
        ("output.name > 3", r"> does not take \(string, int\)"),
        ("output.name", "is 'tea', and a condition is true or false"),
    ],
)
async def test_an_expression_fails_by_name(reader: str, expression: str, match: str) -> None:
    """A missing field, a method and a comparison of unlike values fail, with the expression in the message."""
    with pytest.raises(UsageError, match=match) as caught:
        await holds(expression)
    assert f"condition: the expression {expression!r}" in str(caught.value)


async def test_over_keeps_objects(reader: str) -> None:
    """A path gives the objects of a list as they are; a computed list has plain values."""

    def plans() -> list[Plan]:
        return [Plan("a"), Plan("b")]

    def name(plan: Any) -> str:
        return plan.title if isinstance(plan, Plan) else f"plain {plan['title']}"

    for over, names in (("output", ["a", "b"]), ("output.filter(plan, plan.title == 'b')", ["plain b"])):
        async with Runtime() as rt:
            made = Workflow("w", [plans, Map(name, over=over)], memory={"journal": False})
            assert (await rt.run(made, "go")).output == names


async def test_a_router_takes_a_value(reader: str) -> None:
    """The name of a route is computed: a choice between two names, for instance."""

    def make() -> Thing:
        return Thing()

    def many(thing: Thing) -> str:
        return "many"

    by = "output.count > 2 ? 'many' : 'few'"
    async with Runtime() as rt:
        made = Workflow("w", [make, Router(by, {"many": many, "few": None})], memory={"journal": False})
        assert (await rt.run(made, "go")).content == "many"


@given(st.text(max_size=30) | st.text("outps.e_[]()'\"0 -<=,&|?:{}", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text brings another error than `UsageError`, in either reader."""
    with contextlib.suppress(UsageError):
        Condition(text, print)
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(UsageError):
        patch.setitem(sys.modules, ENGINE, None)
        Condition(text, print)
