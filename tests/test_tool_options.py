"""Options of a tool, checked when the tool is made. Each error has a remedy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal, Protocol

import attrs
import pytest
from msgspec import Meta

from agno_rt.context import Deps, FromUser, RunContext
from agno_rt.errors import ToolDefinitionError, UsageError
from agno_rt.tools import Tool, ToolArgumentError, ToolLimits, ToolOptions, tool
from tests import process_tools


def sync(x: int = 0) -> int:
    """A plain function."""
    return x


async def waiting(x: int = 0) -> int:
    """An async function."""
    return x


def knowing(context: RunContext) -> None:
    """A function of the run's context."""


def listed(xs: list[int]) -> list[int]:
    """A function for a batch."""
    return xs


def asking(x: int, code: FromUser[str]) -> str:
    """A function with input from the user."""
    return f"{x} {code}"


def asking_all(xs: list[int], code: FromUser[str]) -> list[str]:
    """A function for a batch, with input from the user."""
    return [f"{x} {code}" for x in xs]


def by_position(x: int, /) -> bool:
    """A function unfit for `approve`."""
    return x > 0


def test_options_become_fields() -> None:
    """Each option becomes a field of the tool."""
    made = tool(sync, name="x", description="y", parallel=False, timeout=3, retries=2, concurrency=4, calls=5)

    assert (made.name, made.description, made.parallel) == ("x", "y", False)
    assert made.limits == ToolLimits(3, 2, 4, 5)
    assert tool(sync, inline=True).inline
    assert tool(sync, process=True).process
    assert tool(listed, batch=True).batch
    made = tool(sync, approve=True, expires=60, idempotent=True)
    assert (made.approve, made.expires, made.idempotent, made.external) == (True, 60, True, False)
    assert tool(sync, external=True).external
    made = tool(sync, read_only=False, destructive=True)
    assert (made.read_only, made.destructive, tool(sync).read_only, tool(sync).destructive) == (False, True, None, None)
    assert tool(sync, read_only=True, inline=True).plain


def test_every_option_is_documented() -> None:
    """Every option is described in the docstring of `ToolOptions`."""
    documented = [line.strip().partition(":")[0] for line in (ToolOptions.__doc__ or "").splitlines() if ": " in line]
    assert set(ToolOptions.__annotations__) <= set(documented)


def test_a_tool_with_nothing_to_it_is_plain() -> None:
    """A tool without costly options is marked as plain when made."""
    assert all(made.plain for made in (tool(waiting), tool(sync, inline=True), tool(waiting, parallel=False)))
    assert not any(
        made.plain
        for made in (
            tool(sync),
            tool(sync, process=True),
            tool(sync, timeout=1),
            tool(sync, retries=1),
            tool(sync, concurrency=1),
            tool(sync, calls=1),
            tool(listed, batch=True),
            tool(knowing),
            tool(sync, approve=True),
            tool(sync, approve=lambda x: x > 1),
            tool(sync, external=True),
            tool(asking),
        )
    )


def test_a_tool_that_may_pause_says_so() -> None:
    """A tool is marked as pausing when made, so that runs without such tools pay nothing."""
    assert not any(made.pauses for made in (tool(sync), tool(sync, idempotent=True), tool(knowing)))
    assert all(
        made.pauses
        for made in (
            tool(sync, approve=True),
            tool(sync, approve=lambda: False),
            tool(sync, external=True),
            tool(asking),
            attrs.evolve(tool(sync), approve=True),
        )
    )
    assert tool(waiting, idempotent=True).plain


@pytest.mark.parametrize(
    ("function", "options", "complaint"),
    [
        (sync, {"inline": True, "process": True}, "'sync' is both inline and process"),
        (waiting, {"process": True}, "'waiting' runs in a process, and is async"),
        (knowing, {"process": True}, "'knowing' runs in a process, where context cannot be filled in"),
        (sync, {"inline": True, "timeout": 1}, "'sync' runs inline, where nothing can stop it"),
        (sync, {"timeout": 0}, "tool 'sync': timeout is 0"),
        (sync, {"timeout": -1}, "timeout is -1"),
        (sync, {"timeout": "1"}, "timeout is '1'"),
        (sync, {"timeout": float("nan")}, "timeout is nan"),
        (sync, {"retries": -1}, "retries is -1"),
        (sync, {"retries": None}, "retries is None"),
        (sync, {"retries": 1.5}, "retries is 1.5"),
        (sync, {"concurrency": 0}, "concurrency is 0"),
        (sync, {"calls": 0}, "calls is 0"),
        (sync, {"calls": True}, "calls is True"),
        (sync, {"inline": 1}, "'sync': inline is 1"),
        (sync, {"time_out": 1}, "no option 'time_out'"),
        (sync, {"name": 5}, "needs a name"),
        (lambda: None, {"name": "x", "process": True}, "'x' runs in a process, which must find the function by name"),
        (sync, {"batch": True}, "'sync' is a batch, and does not take one list"),
        (sync, {"approve": None}, "'sync': approve is None"),
        (sync, {"approve": "yes"}, "'sync': approve is 'yes'"),
        (sync, {"external": 1}, "'sync': external is 1"),
        (sync, {"idempotent": None}, "'sync': idempotent is None"),
        (sync, {"read_only": "yes"}, "'sync': read_only is 'yes'"),
        (sync, {"read_only": True, "destructive": True}, "'sync' is both read_only and destructive"),
        (sync, {"expires": 1}, "'sync' has expires, but asks nobody"),
        (sync, {"approve": True, "expires": 0}, "'sync': expires is 0"),
        (sync, {"approve": True, "expires": True}, "'sync': expires is True"),
        (sync, {"approve": True, "expires": float("inf")}, "'sync': expires is inf"),
        (sync, {"approve": True, "expires": float("nan")}, "'sync': expires is nan"),
        (sync, {"external": True, "approve": True}, "'sync' is external, and has approve"),
        (sync, {"external": True, "inline": True}, "'sync' is external, and has inline"),
        (sync, {"external": True, "idempotent": True}, "'sync' is external, and has idempotent"),
        (sync, {"external": True, "timeout": 1, "process": True}, "'sync' is external, and has process and limits"),
        (knowing, {"external": True}, "'knowing' is external, and has context"),
        (asking, {"external": True}, "'asking' is external, and has code"),
        (asking, {"approve": True}, "'asking' asks the user for input, and for approval as well"),
        (asking, {"process": True}, "'asking' runs in a process, where code cannot be filled in"),
        (asking_all, {"batch": True}, "'asking_all' is a batch, and may pause its run"),
        (listed, {"batch": True, "approve": True}, "'listed' is a batch, and may pause its run"),
        (listed, {"batch": True, "external": True}, "'listed' is a batch, and may pause its run"),
        (sync, {"approve": lambda y: y}, "approve takes 'y', and the tool has no such argument"),
        (sync, {"approve": asking}, "approve takes 'code' from the user"),
        (sync, {"approve": by_position}, "approve takes 'x' by position"),
    ],
)
def test_what_does_not_go_together(function: Callable[..., Any], options: dict[str, Any], complaint: str) -> None:
    """An error for conflicting or invalid options names the tool and the fault, and has a hint."""
    with pytest.raises(ToolDefinitionError, match=complaint) as caught:
        tool(function, **options)

    assert caught.value.hint
    assert isinstance(caught.value, UsageError)


def test_a_misspelt_option_has_a_suggestion() -> None:
    """An error for a misspelt option offers the nearest option."""
    with pytest.raises(ToolDefinitionError) as caught:
        tool(sync, retrys=2)  # type: ignore[call-overload]  # the point of the test

    assert "Did you mean 'retries'?" in caught.value.hint


def test_a_process_needs_a_function_of_a_module() -> None:
    """A nested function, a method or an object cannot be found by name in a process."""

    def inner() -> None:
        """Do nothing."""

    class Service:
        def method(self) -> None:
            """Do nothing."""

        def __call__(self) -> None:
            """Do nothing."""

    for function in (inner, Service().method, Service()):
        with pytest.raises(ToolDefinitionError, match="find the function by name"):
            tool(function, name="x", process=True)


def test_a_changed_copy_is_checked_too() -> None:
    """A tool changed with `attrs.evolve` is checked again."""
    here = attrs.evolve(process_tools.where, process=False, inline=True)

    assert (here.process, here.plain) == (False, True)
    with pytest.raises(ToolDefinitionError, match="both inline and process"):
        attrs.evolve(process_tools.where, inline=True)


def test_an_inline_async_tool_may_have_a_deadline() -> None:
    """An inline async tool accepts a timeout, because an async function can be stopped."""
    assert tool(waiting, inline=True, timeout=1).limits.timeout == 1


class TestInjected:
    """Parameters filled in by the run, checked when the tool is made."""

    def test_they_are_hidden(self) -> None:
        """The schema leaves out injected parameters."""

        @tool
        def query(context: RunContext | None, db: Deps[Tool], words: str) -> str:
            """Ask."""
            return words

        assert set(query.parameters["properties"]) == {"words"}
        assert set(query.injected) == {"context", "db"}
        assert query.decode('{"words": "x"}') == {"words": "x"}

    def test_a_type_must_be_said(self) -> None:
        """`Deps` without a type, or with `Any`, is refused."""

        def bare(db: Deps) -> None:  # type: ignore[type-arg]  # the point of the test
            """Ask."""

        def anything(db: Deps[Any]) -> None:
            """Ask."""

        for function in (bare, anything):
            with pytest.raises(ToolDefinitionError, match="'db' does not say which type of deps") as caught:
                tool(function)
            assert "Deps[Database]" in caught.value.hint

    def test_what_the_user_fills_in(self) -> None:
        """Input from the user is hidden from the model, and has a schema with the docstring's descriptions."""

        @tool
        def deploy(
            version: str,
            environment: FromUser[Literal["test", "live"]],
            db: Deps[Tool],
            copies: FromUser[Annotated[int, Meta(ge=1, description="how many")]] = 1,
            note: FromUser[str] | None = None,
        ) -> None:
            """Deploy.

            Args:
                version: which
                environment: where it goes
            """

        assert set(deploy.parameters["properties"]) == {"version"}
        assert "environment" not in deploy.description
        assert deploy.asks is not None
        assert deploy.asks.schema["required"] == ["environment"]
        properties = deploy.asks.schema["properties"]
        assert properties == {
            "environment": {"type": "string", "enum": ["live", "test"], "description": "where it goes"},
            "copies": {"description": "how many", "type": "integer", "minimum": 1, "default": 1},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        }
        assert deploy.asks.schema["additionalProperties"] is False
        assert deploy.asks.decode('{"environment": "test"}') == {"environment": "test"}

    def test_what_the_user_gives_must_be_said(self) -> None:
        """`FromUser` without a type is refused."""

        def bare(code: FromUser) -> None:  # type: ignore[type-arg]  # the point of the test
            """Ask."""

        with pytest.raises(ToolDefinitionError, match="'code' does not say what the user gives") as caught:
            tool(bare)
        assert "FromUser[str]" in caught.value.hint

    def test_the_model_cannot_fill_it_in(self) -> None:
        """Arguments from the model for the user's input are refused."""
        with pytest.raises(ToolArgumentError, match="unknown field `code`"):
            tool(asking).decode('{"x": 1, "code": "1234"}')

    def test_a_type_that_cannot_be_checked(self) -> None:
        """A protocol without `runtime_checkable` is refused when the tool is made."""
        with pytest.raises(ToolDefinitionError, match="'db' has a type that `isinstance` cannot check") as caught:
            tool(hopeful)
        assert "@runtime_checkable" in caught.value.hint

    def test_one_by_position_alone(self) -> None:
        """A positional-only injected parameter is refused, because arguments are passed by name."""

        def function(context: RunContext, /) -> None:
            """Ask."""

        with pytest.raises(ToolDefinitionError, match="'context' cannot be filled in"):
            tool(function)


def hopeful(db: Deps[Closeable]) -> None:
    """Ask for a type without a runtime check."""


class Closeable(Protocol):
    """An object with `close`."""

    def close(self) -> None:
        """Close the object."""


def test_tools_need_no_trio() -> None:
    """A module of tools, with a process tool and injection, imports without trio."""
    code = (
        "import sys; sys.modules['trio'] = None\n"
        "from agno_rt.tools import tool\n"
        "from agno_rt.context import Deps, FromUser, RunContext\n"
        "@tool\ndef f(context: RunContext, db: Deps[dict], code: FromUser[str]) -> None:\n    'Do.'\n"
        "@tool(approve=lambda x: x > 1)\ndef g(x: int) -> None:\n    'Do.'\n"
        "import agno_rt._drive.tool_worker\n"
        "print(f.injected.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "'context', 'db', 'code'" in done.stdout, done.stderr
