"""The parts of a run: its input and the names in its agent."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import EntryPoint
from typing import Any

import attrs
import pytest

from agno_rt import (
    Agent,
    Limits,
    Message,
    ModelSettings,
    Runtime,
    ToolCall,
    Toolkit,
    tool,
)
from agno_rt.errors import NotFound, PluginError, UsageError
from agno_rt.plugins import PluginHost
from agno_rt.testing import ScriptedModel
from tests.helpers import echo

MakePoint = Callable[..., EntryPoint]


class TestInput:
    """Agents and inputs refused before anything starts."""

    @pytest.mark.parametrize("input", ["", "  \n", [], (), b"x", None, 42, ["", " "], [None], Message("user", "x")])
    async def test_input(self, input: Any) -> None:
        """An input other than text with content or messages is refused."""
        async with Runtime() as rt:
            with pytest.raises(UsageError, match="the input is") as caught:
                await rt.run(Agent(ScriptedModel([])), input)
        assert caught.value.hint

    async def test_text_that_is_no_text(self) -> None:
        """A lone surrogate, as from a command line without UTF-8, is refused before a model is asked."""
        async with Runtime() as rt:
            for text in ("\udcff", [Message("user", "\udcff")]):
                with pytest.raises(UsageError, match="the input"):
                    await rt.run(Agent(ScriptedModel([])), text)

    @pytest.mark.parametrize("model", [None, 42, object(), ScriptedModel])
    async def test_model(self, model: Any) -> None:
        """A model is a spec or a `Model` object, not a class."""
        async with Runtime() as rt:
            with pytest.raises(UsageError, match="not a model"):
                await rt.run(Agent(model), "x")

    @pytest.mark.parametrize("spec", ["", "nope", "nope:x", ":x"])
    async def test_model_spec(self, spec: str) -> None:
        """A spec with an unknown plugin is refused with the nearest name."""
        async with Runtime() as rt:
            with pytest.raises(NotFound, match=r"unknown (plugin|model)"):
                await rt.run(Agent(spec), "x")

    @pytest.mark.parametrize(
        "tools",
        [[{}], [None], [int], [[echo]], echo, "plugin:x", [Toolkit("k", [print])], 5],  # type: ignore[list-item]  # the point of the test
    )
    async def test_tools(self, tools: Any) -> None:
        """Tools other than a sequence of functions, tools, toolkits and specs are refused."""
        async with Runtime() as rt:
            with pytest.raises(UsageError, match="tools") as caught:
                await rt.run(Agent(ScriptedModel([]), tools=tools), "x")
        assert caught.value.hint

    async def test_two_tools_of_one_name(self) -> None:
        """Two different tools of one name are refused; the same tool twice is accepted."""
        other = tool(name="echo", inline=True)(lambda: "other")
        async with Runtime() as rt:
            with pytest.raises(UsageError, match="two tools of the agent are called 'echo'"):
                await rt.run(Agent(ScriptedModel([]), tools=[echo, other]), "x")
            await rt.run(Agent(ScriptedModel(["x"]), tools=[echo, Toolkit("k", [echo])]), "x")

    @pytest.mark.parametrize("output", [{"type": "object"}, 5, [int], object])
    async def test_output(self, output: Any) -> None:
        """An output type without a schema is refused."""
        async with Runtime() as rt:
            with pytest.raises(UsageError, match="output"):
                await rt.run(Agent(ScriptedModel([]), output=output), "x")

    @pytest.mark.parametrize("name", ["runs", "queue", "model_calls", "threads", "abandoned_threads", "takeovers"])
    async def test_a_limit_of_the_runtime_on_an_agent(self, name: str) -> None:
        """Limits of a whole runtime are refused on an agent."""
        async with Runtime() as rt:
            with pytest.raises(UsageError, match=f"limit {name} holds for a whole runtime") as caught:
                await rt.run(Agent(ScriptedModel([]), limits=Limits(**{name: 7})), "x")
        assert f"Runtime(limits=Limits({name}=" in caught.value.hint

    async def test_check_says_it_beforehand(self) -> None:
        """`check` raises a run's errors without running, in an open or closed runtime."""
        rt = Runtime()
        rt.check(Agent(ScriptedModel([]), tools=[echo], output=int))
        with pytest.raises(NotFound):
            rt.check(Agent("nope:x"))
        with pytest.raises(UsageError):
            rt.check(Agent(ScriptedModel([]), limits=Limits(runs=2)))


class TestWhatAgentsName:
    """Specs of models, tools and memories."""

    async def test_models_are_made_once_and_shared(self, plugin_point: MakePoint) -> None:
        """A spec's model is made at the first use, with the rest of the spec and the plugin's settings."""
        made: list[Any] = []

        def factory(rest: str, settings: Mapping[str, Any]) -> ScriptedModel:
            made.append((rest, settings))
            return ScriptedModel(["a", "b"])

        point = plugin_point("mine", agno_rt_register_models=lambda register: register("m", factory))
        settings = {"mine": {"key": 1}}
        async with Runtime(plugins=PluginHost([point]), settings=settings) as rt:
            for _ in range(2):
                await rt.run(Agent("mine:m:large"), "x")
            await rt.run(Agent("mine:m"), "x")

        assert made == [("large", {"key": 1}), ("", {"key": 1})]

    async def test_tools_and_toolkits_by_spec(self, plugin_point: MakePoint) -> None:
        """A spec in an agent's tools stands for a plugin's tool, or for all tools of a plugin's toolkit."""

        def register(register: Any) -> None:
            register("one", lambda rest, settings: echo)
            register("kit", lambda rest, settings: Toolkit("kit", [tool(name=rest, inline=True)(lambda: "from kit")]))

        host = PluginHost([plugin_point("mine", agno_rt_register_tools=register)])
        model = ScriptedModel([[ToolCall("1", "echo"), ToolCall("2", "bell")], "x"])
        async with Runtime(plugins=host) as rt:
            result = await rt.run(Agent(model, tools=["mine:one", "mine:kit:bell"]), "x")

        assert [message.content for message in result.messages if message.role == "tool"] == ["", "from kit"]

    async def test_factories_that_return_nonsense(self, plugin_point: MakePoint) -> None:
        """A factory's wrong return value is an error that names the plugin."""

        def nonsense(register: Any) -> None:
            register("odd", lambda rest, settings: 42)

        hooks = {f"agno_rt_register_{kind}": nonsense for kind in ("models", "tools", "memory")}
        host = PluginHost([plugin_point("odd", **hooks)])
        async with Runtime(plugins=host, memory="odd:") as rt:
            for agent, session in (
                (Agent("odd:odd"), None),
                (Agent(ScriptedModel([]), tools=["odd:odd"]), None),
                (Agent(ScriptedModel([])), "s"),
            ):
                with pytest.raises(PluginError, match="int") as caught:
                    await rt.run(agent, "x", session=session)
                assert caught.value.plugin == "odd"

    async def test_a_schema_is_made_once(self) -> None:
        """Agents with the same output type share the schema."""
        model = ScriptedModel(["1", "2"])
        async with Runtime() as rt:
            for _ in range(2):
                await rt.run(Agent(model, output=int), "x")

        assert model.requests[0].output is model.requests[1].output

    async def test_the_order_of_a_union_counts(self) -> None:
        """Two unions of the same members in another order are equal to Python, but read an answer differently."""
        model = ScriptedModel(['{"value": "2024-01-31"}'] * 2)
        async with Runtime() as rt:
            first = await rt.run(Agent(model, output=date | str), "x")
            second = await rt.run(Agent(model, output=str | date), "x")

        assert [first.output, second.output] == [date(2024, 1, 31), "2024-01-31"]

    async def test_does_not_grow_by_tools_made_for_one_run(self) -> None:
        """Tools and output types of agents made for one run do not pile up in the runtime."""
        tools: list[weakref.ref[Any]] = []
        types: list[weakref.ref[Any]] = []

        async with Runtime() as rt:
            for _ in range(1_300):
                own = tool(name="own", inline=True)(lambda: "x")
                kind = attrs.make_class("Kind", {"x": attrs.field(type=int)})
                tools.append(weakref.ref(own))
                types.append(weakref.ref(kind))
                rt.check(Agent(ScriptedModel([]), tools=(own,), output=kind))
            del own, kind
            gc.collect()
            assert sum(ref() is not None for ref in tools) <= 1_100
            assert sum(ref() is not None for ref in types) <= 1_100

    async def test_each_run_is_of_its_own_agent(self) -> None:
        """A cached resolution serves only an agent with the very same names, in any order of runs, changed or not."""

        @tool(inline=True)
        def other() -> str:
            """Another tool."""
            return ""

        model, tools = ScriptedModel(lambda request: "ok"), [echo]
        one = Agent(model, "one", tools=(echo,))
        agents = [
            one,
            Agent(model, "two", tools=(other,)),
            one,
            Agent(model, "none"),
            Agent(ScriptedModel(lambda request: "not asked"), "another model"),
            Agent(model, "a list", tools=tools),
            one,
        ]
        async with Runtime() as rt:
            for agent in agents:
                await rt.run(agent, "hi")
            tools.append(other)
            await rt.run(agents[5], "hi")
            one.tools = (echo, other)
            await rt.run(one, "hi")

        offered = [[each.name for each in request.tools] for request in model.requests]
        both = ["echo", "other"]
        assert offered == [["echo"], ["other"], ["echo"], [], ["echo"], ["echo"], both, both]


class TestToolChoice:
    """The choice of a tool for the model."""

    @pytest.mark.parametrize("choice", ["echo", "required", "none"])
    async def test_it_holds_for_the_first_turn(self, choice: str) -> None:
        """A tool choice holds for the first request; later requests leave the model free, so that a run can end."""
        with ScriptedModel([ToolCall("1", "echo"), "done"]) as model:
            async with Runtime() as rt:
                await rt.run(Agent(model, tools=[echo], settings=ModelSettings(tool_choice=choice)), "go")

        assert [request.tool_choice for request in model.requests] == [choice, "auto"]

    async def test_a_tool_that_the_agent_has_not(self) -> None:
        """An unknown tool choice is refused before a model is asked, with the nearest name; so is `required` without
        tools."""
        async with Runtime() as rt:
            for tools, choice, hint in (
                ([echo], "ecko", "'echo'"),
                ([], "echo", "no tools"),
                ([], "required", "tools"),
            ):
                agent = Agent(ScriptedModel([]), tools=tools, settings=ModelSettings(tool_choice=choice))
                with pytest.raises(UsageError, match="tool") as caught:
                    await rt.run(agent, "go")
                assert hint in caught.value.hint
            await rt.run(Agent(ScriptedModel(["x"]), settings=ModelSettings(tool_choice="none")), "go")
