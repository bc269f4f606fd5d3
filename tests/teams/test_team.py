"""Teams as runnables: checks before the first run, models for members, nesting, limits, plugins' modes."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import attrs
import pytest
import trio

from agno_rt import Agent, Flow, Message, ModelRequest, Runnable, RunResult, Runtime, Team
from agno_rt.errors import DeadlineExceeded, LimitExceeded, ModelError, NotFound, PluginError, UsageError
from agno_rt.events import RunEnded, RunStarted
from agno_rt.plugins import PluginHost
from agno_rt.runnable import list_parts
from agno_rt.teams import Broadcast, Consensus, GroupChat, Handoff, Leader, Members, Mode, Route, Sequence, Tasks
from agno_rt.testing import Pauses, ScriptedModel, cancel_everywhere, run_schedules
from tests.teams.members import delegate, echo, failing, saying, slow

A, B = echo("a"), echo("b")


@pytest.mark.parametrize(
    ("team", "problem", "hint"),
    [
        (Team([]), "the team has no members", "Give at least one"),
        (Team([A, A]), "two members are called 'a'", "Give one of them another name"),
        (Team([A, "b"]), "member 2 is 'b', not a runnable", "Give agents"),  # type: ignore[list-item]
        (Team([Team(7, name="desk")]), "members are 7, not a seq", "Write Team"),  # type: ignore[arg-type]
        (Team("ab"), "members are 'ab', not a sequence", "Write Team"),  # type: ignore[arg-type]
        (Team([A], "sequentiel"), "unknown mode 'sequentiel'", "Did you mean 'sequential'?"),
        (Team([A], "route"), "mode 'route' needs the settings by", "Write mode=Route"),
        (Team([A], Sequence), "mode is <class .*>, not a mode", "make a value: Sequence"),  # type: ignore[arg-type]
        (Team([A], on_error="stop"), "on_error is 'stop'", "'cancel' or 'keep'"),  # type: ignore[arg-type]
        (Team([A], at_once=0), "at_once is 0", "at least 1"),
        (Team([A], Sequence("all")), "share of Sequence is 'all'", "'history'"),  # type: ignore[arg-type]
        (Team([A], Route("b")), "by of Route is 'b'", "Give an Agent, or a function"),  # type: ignore[arg-type]
        (Team([A], Route(Agent("m:x", "t", output=int))), "the agent 't' in by of Route has an output", "Leave out"),
        (Team([A], Route(len, own_answer=False)), "own_answer=False, and no agent", "Give an agent"),
        (Team([A], "leader-follower"), "the leader has nobody to lead", "a member more"),
        (Team([Team([A], name="t"), B], Leader()), "the leader 't' is a team", r"Leader\(editor\)"),
        (Team([A, B], Handoff("c", {})), r"unknown member 'c' \(in start of Handoff\)", "Known: a, b"),
        (Team([A, B], Handoff(A, {A: [echo("c")]})), r"unknown member 'c' \(in edges", "Known: a, b"),
        (Team([A, B], Handoff(A, [A])), "edges of Handoff are", "Give a dict"),  # type: ignore[arg-type]
        (Team([A, B], Handoff(A, {}, most=0)), "most of Handoff is 0", "at least 1"),
        (Team([A, Team([B], name="t")], Handoff(A, {"t": [A]})), "'t' in edges of Handoff is a team", "Only agents"),
        (
            Team([A, Agent(B.model, "b", output=int)], Handoff(A, {"b": [A]})),
            "the agent 'b' has an output",
            "Leave out",
        ),
        (Team([A], Consensus(rounds=0)), "rounds of Consensus is 0", "at least 1"),
        (Team([A], Consensus(agree=3)), "agree of Consensus is 3", "or a function"),  # type: ignore[arg-type]
        (Team([A], GroupChat(rounds=True)), "rounds of GroupChat is True", "at least 1"),
        (Team([A], GroupChat(select=3)), "select of GroupChat is 3", "or a function"),  # type: ignore[arg-type]
        (Team([A], Tasks(len)), "manager of Tasks is", "Give an Agent"),  # type: ignore[arg-type]
        (Team([A], Tasks(B, stalls=-1)), "stalls of Tasks is -1", "at least 0"),
    ],
)
async def test_checks(team: Team, problem: str, hint: str) -> None:
    """A team that cannot work is refused before its first run, with the team, the fault and the remedy."""
    named = attrs.evolve(team, name="desk")
    async with Runtime() as rt:
        with pytest.raises(UsageError, match=problem) as caught:
            await rt.run(named, "go")
        with pytest.raises(UsageError, match=problem):
            rt.check(named)

    assert "team 'desk'" in str(caught.value)
    assert hint.replace("\\", "") in caught.value.hint


async def test_a_team_within_itself() -> None:
    """A team that was made its own member is refused, however deep, also by `check`; shared members are not."""
    members: list[Runnable] = [A]
    inner = Team(members, name="inner")
    team = Team([inner, Team([inner], name="other")], "parallel", name="desk", model=ScriptedModel([]))
    async with Runtime() as rt:
        assert (await rt.run(team, "go")).output == {"inner": "a(go)", "other": "a(go)"}
        members.append(Team([inner], name="loop"))
        with pytest.raises(UsageError, match="the team 'inner' is within itself"):
            await rt.run(team, "go")
        with pytest.raises(UsageError, match="the team 'inner' is within itself"):
            rt.check(team)


async def test_making_a_team_computes_nothing() -> None:
    """A team is a value with slots; parts are the members and the mode's own runnables, each once."""
    lead = echo("lead")
    team = Team([A, B], Leader(lead), name="desk", description="Writes.")

    assert not hasattr(team, "__dict__")
    assert [part.name for part in list_parts(team)] == ["desk", "a", "b", "lead"]
    assert [part.name for part in Team([A, B], Broadcast(A)).parts()] == ["a", "b"]


@pytest.mark.parametrize(
    ("mode", "content"),
    [
        ("sequential", "b(a(x))"),
        ("sequence", "b(a(x))"),
        ("parallel", "[a]\na(x)\n\n[b]\nb(x)"),
        ("broadcast", "[a]\na(x)\n\n[b]\nb(x)"),
    ],
)
async def test_modes_by_name(mode: str, content: str) -> None:
    """The names of modes stand for the modes with their default settings."""
    async with Runtime() as rt:
        assert (await rt.run(Team([A, B], mode), "x")).content == content


async def test_modes_by_name_with_a_leader_and_with_rounds() -> None:
    """With `leader-follower` the first member leads; `consensus` asks until all answers are the same."""
    lead = saying("lead", delegate(("a", "one")), lambda request: request.messages[-1].text)
    same = [saying(name, "Seoul.", "seoul") for name in "cd"]
    async with Runtime() as rt:
        led = await rt.run(Team([lead, A], "leader_follower"), "x")
        agreed = await rt.run(Team(same, "consensus"), "x")

    assert led.content == "a(one)"
    assert agreed.output == {"agreed": True, "rounds": 1, "answers": {"c": "Seoul.", "d": "Seoul."}}


async def test_models_for_members_without_one() -> None:
    """A team's model is used for agents without a model, in inner teams and in the mode too; nobody is changed."""
    model = ScriptedModel(lambda request: f"<{request.messages[-1].text}>")
    bare, own = Agent("", "bare"), echo("own")
    inner = Team([bare, own], name="inner")
    judge = Agent("", "integrator")
    team = Team([inner, bare], Broadcast(judge), model=model)
    async with Runtime() as rt:
        rt.check(team)
        result = await rt.run(team, "x")
        with pytest.raises(UsageError):
            rt.check(inner)

    assert result.content == "<x\n\nAnswers:\n\n[inner]\nown(<x>)\n\n[bare]\n<x>>"
    assert (bare.model, judge.model, inner.model) == ("", "", None)


async def test_teams_nest_four_deep() -> None:
    """A team is a member of a team of a team of a team, in modes of several kinds; each run has its parent."""
    seen: list[Any] = []
    innermost = Team([A, B], name="four")
    third = Team([innermost, A], "parallel", name="three")
    second = Team([third, B], Route(lambda text: "three"), name="two")
    lead = saying("lead", delegate(("two", "dig")), lambda request: request.messages[-1].text)
    async with Runtime(observers=[seen.append]) as rt:
        result = await rt.run(Team([second], Leader(lead), name="one"), "x")

    assert result.content == "[four]\nb(a(dig))\n\n[a]\na(dig)"
    started = [event for event in seen if isinstance(event, RunStarted)]
    names = {event.run_id: event.agent for event in started}
    parents = {event.agent: names.get(event.parent or "", "") for event in started if event.agent != "a"}
    assert parents == {"one": "", "lead": "one", "two": "lead", "three": "two", "four": "three", "b": "four"}
    ended = [event.run_id for event in seen if isinstance(event, RunEnded)]
    assert sorted(ended) == sorted(names)
    assert result.usage.input_tokens >= 3


async def test_a_thousand_members_ten_at_once() -> None:
    """`at_once` bounds the members under way; all answer, and the answers are in order."""
    busy = [0, 0]

    async def answer(request: ModelRequest) -> str:
        busy[0] += 1
        busy[1] = max(busy)
        await trio.lowlevel.checkpoint()
        busy[0] -= 1
        return "done"

    model = ScriptedModel(answer)
    team = Team([Agent(model, f"m{number}") for number in range(1_000)], "parallel", at_once=10)
    async with Runtime() as rt:
        result = await rt.run(team, "go")

    assert busy == [0, 10]
    assert list(result.output) == [f"m{number}" for number in range(1_000)]


async def test_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """`run_timeout` ends the whole team."""
    team = Team([slow("a", 5), slow("b", 5)], limits={"run_timeout": 8})
    async with Runtime() as rt:
        with pytest.raises(DeadlineExceeded):
            await rt.run(team, "go")


async def test_a_budget() -> None:
    """The members' runs share the team's budget, and the team's usage is their sum."""
    team = Team([echo("a", 5), echo("b", 5), echo("c", 5)], limits={"tokens": 8})
    async with Runtime() as rt:
        with pytest.raises(LimitExceeded) as caught:
            await rt.run(team, "go")

    assert caught.value.limit == "tokens"
    assert caught.value.result.usage.input_tokens == 10


async def test_a_member_sees_no_session() -> None:
    """Members see what they are passed: not the session of the team, unless a mode shares the history."""
    team = Team([echo("a")], Broadcast(), name="desk")
    open_team = Team([echo("b")], Broadcast(share="history"), name="open")
    async with Runtime() as rt:
        await rt.run(team, "one", session="s")
        await rt.run(team, "two", session="s")
        await rt.run(open_team, "three", session="s")

    closed, opened = team.members[0], open_team.members[0]
    assert isinstance(closed, Agent)
    assert isinstance(opened, Agent)
    assert isinstance(closed.model, ScriptedModel)
    assert isinstance(opened.model, ScriptedModel)
    assert [len(request.messages) for request in closed.model.requests] == [1, 1]
    assert [len(request.messages) for request in opened.model.requests] == [5]


@attrs.frozen
class Loudest(Mode):
    """A mode of a plugin: the longest answer counts."""

    factor: int = 1

    async def conduct(self, flow: Flow, members: Members, input: tuple[Message, ...]) -> Any:
        """Ask all, and return the longest answer."""
        answers = await members.ask_all(flow, [input] * len(members))
        return max((answer for answer in answers if isinstance(answer, RunResult)), key=lambda each: len(each.content))


async def test_a_mode_of_a_plugin(plugin_point: Callable[..., EntryPoint]) -> None:
    """A plugin adds a mode by the hook `agno_rt_register_modes`; a team names it `plugin:name`."""
    made: list[Any] = []

    def make_loudest(rest: str, settings: Any) -> Loudest:
        made.append((rest, settings))
        return Loudest()

    def register_modes(register: Any) -> None:
        register("loudest", make_loudest, "The longest answer.")
        register("broken", lambda rest, settings: 7)

    host = PluginHost([plugin_point("p", agno_rt_register_modes=register_modes)])
    async with Runtime(plugins=host, settings={"p": {"k": 1}}) as rt:
        result = await rt.run(Team([echo("a"), echo("long")], "p:loudest:x"), "x")
        with pytest.raises(NotFound, match="unknown mode 'p:loudes'") as caught:
            await rt.run(Team([A], "p:loudes"), "x")
        with pytest.raises(PluginError, match="made a int of 'p:broken', which is not a Mode"):
            await rt.run(Team([A], "p:broken"), "x")

    assert result.content == "long(x)"
    assert made == [("x", {"k": 1})]
    assert "Did you mean 'p:loudest'?" in caught.value.hint


async def test_conduct_without_a_runtime() -> None:
    """A team whose mode is only a name says that a runtime is needed."""
    with pytest.raises(UsageError, match="is only a name"):
        await Team([A], "parallel", name="t").conduct(Flow(), ())


@pytest.mark.parametrize("kind", ["leader", "broadcast"])
def test_cancelled_everywhere(kind: str) -> None:
    """A team cancelled at any point ends each started run once, and the runtime goes on."""

    async def scenario(point: Any) -> None:
        seen: list[Any] = []
        pauses = Pauses()
        members = [attrs.evolve(member, model=pauses.model(member.model)) for member in (echo("a"), echo("b"))]
        lead = saying("lead", delegate(("a", "one"), ("b", "two")), "done")
        mode = Leader(attrs.evolve(lead, model=pauses.model(lead.model))) if kind == "leader" else Broadcast()
        team = Team(members, mode, name="team")
        async with Runtime(observers=[seen.append]) as rt:
            with point:
                await rt.run(team, "go")
            assert (await rt.run(A, "after")).content == "a(after)"
            assert all(limit.in_use == 0 for limit in rt.statistics())
        started = sorted(event.run_id for event in seen if isinstance(event, RunStarted))
        assert sorted(event.run_id for event in seen if isinstance(event, RunEnded)) == started

    assert cancel_everywhere(scenario, at_least=10, virtual=True)


def test_schedules() -> None:
    """Under any order of tasks the answers are the same, and in the order of the members."""

    async def scenario() -> None:
        lead = saying("lead", delegate(("a", "1"), ("all", "2")), lambda request: request.messages[-1].text)
        everyone = Team([echo("c"), echo("d"), echo("e")], "parallel", name="all")
        team = Team([echo("a"), everyone], Leader(lead), name="team")
        async with Runtime() as rt:
            result = await rt.run(team, "go")
        assert result.content == "[c]\nc(2)\n\n[d]\nd(2)\n\n[e]\ne(2)"

    assert run_schedules(scenario, 50) == 50


@pytest.mark.parametrize("mode", ["sequential", "parallel", Consensus(), GroupChat(rounds=2)])
async def test_a_failure_ends_the_team(mode: Any) -> None:
    """With `on_error="cancel"`, the default, a member's failure is the team's, with the usage so far."""
    async with Runtime() as rt:
        with pytest.raises(ModelError, match="no luck") as caught:
            await rt.run(Team([failing("f"), echo("a")], mode, name="team"), "x")

    assert caught.value.result.status == "failed"
