"""Trees of nested teams give the same answers as a plain interpreter of the trees."""

from __future__ import annotations

from typing import TypeAlias

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_rt import Agent, ModelRequest, Runnable, Runtime, Team
from agno_rt.teams import GroupChat, Mode, Route
from agno_rt.testing import ScriptedModel

Tree: TypeAlias = str | tuple[str, list["Tree"]]
"""An agent's name, or a mode's name with the trees below."""

TREES: st.SearchStrategy[Tree] = st.recursive(
    st.sampled_from("abc"),
    lambda trees: st.tuples(
        st.sampled_from(("sequence", "broadcast", "route", "chat")), st.lists(trees, min_size=1, max_size=4)
    ),
    max_leaves=12,
)


def shorten(text: str) -> str:
    """Return the first and the last characters, so that nested answers stay short."""
    return text if len(text) <= 40 else f"{text[:20]}~{text[-20:]}"


def build(tree: Tree, name: str) -> Runnable:
    """Return the tree as an agent or a team."""
    if isinstance(tree, str):

        async def answer(request: ModelRequest) -> str:
            await trio.lowlevel.checkpoint()
            return f"{tree}<{shorten(request.messages[-1].text)}>"

        return Agent(ScriptedModel(answer), name)
    kind, trees = tree
    members = [build(each, f"m{number}") for number, each in enumerate(trees)]
    modes: dict[str, Mode | str] = {
        "sequence": "sequence",
        "broadcast": "broadcast",
        "route": Route(lambda text: f"m{len(text) % len(members)}"),
        "chat": GroupChat(rounds=len(members) + 1),
    }
    return Team(members, modes[kind], name=name)


def interpret(tree: Tree, text: str) -> str:
    """Return the answer by plain Python, one thing after another."""
    if isinstance(tree, str):
        return f"{tree}<{shorten(text)}>"
    kind, trees = tree
    if kind == "sequence":
        for each in trees:
            text = interpret(each, text)
        return text
    if kind == "broadcast":
        return "\n\n".join(f"[m{number}]\n{interpret(each, text)}" for number, each in enumerate(trees))
    if kind == "route":
        return interpret(trees[len(text) % len(trees)], text)
    said: list[str] = []
    answer = ""
    for turn in range(len(trees) + 1):
        number = turn % len(trees)
        talk = "\n\n".join(said)
        answer = interpret(trees[number], f"{text}\n\nSaid so far:\n\n{talk}" if said else text)
        said.append(f"[m{number}]\n{answer}")
    return answer


@given(TREES)
@settings(max_examples=100, deadline=None)
def test_trees(tree: Tree) -> None:
    """Sequences, broadcasts, routes and chats in each other, to any depth, answer as the interpreter does."""

    async def run() -> str:
        async with Runtime(limits={"depth": 50}) as rt:
            return (await rt.run(build(tree, "top"), "go")).content

    assert trio.run(run) == interpret(tree, "go")
