"""The pictures of declared workflows: each kind of node in its form. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import attrs

from agno_rt.runnable import Ask, Drawing, Runnable
from agno_rt.workflows._expressions import Expression
from agno_rt.workflows._function_node import FunctionNode
from agno_rt.workflows.nodes import Chain, Condition, Goal, Loop, Map, Node, Parallel, Router

__all__ = ["draw_nodes"]

_Draw: TypeAlias = Callable[[Runnable], Drawing]


def draw_nodes(nodes: Iterable[Any], draw: _Draw) -> list[Drawing]:
    """Return the pictures of nodes; `draw` makes the picture of a runnable."""
    return [_draw_node(node, draw) for node in nodes]


def _draw_node(node: Any, draw: _Draw) -> Drawing:
    match node:
        case Runnable():
            drawing = draw(node)
        case Ask():
            drawing = Drawing(node.question, "question")
        case FunctionNode():
            drawing = Drawing(node.name, "step")
        case Node():
            drawing = _draw_with_decisions(node, draw)
        case _:
            parts = node.parts() if callable(getattr(node, "parts", None)) else ()
            name = str(getattr(node, "name", "") or type(node).__name__)
            drawing = Drawing(name, "node", parts=draw_nodes(parts, draw), form="parts")
    return drawing


def _draw_with_decisions(node: Node, draw: _Draw) -> Drawing:
    """Return the picture of a node, with the runnables and questions that decide before it; of a loop, at its end."""
    deciding = [_draw_node(by, draw) for by in node.decisions() if isinstance(by, Runnable | Ask)]
    drawing = _draw_alone(node, draw)
    if not deciding:
        return drawing
    if isinstance(node, Loop):
        return attrs.evolve(drawing, parts=[*drawing.parts, *deciding])
    return Drawing(parts=[*deciding, drawing])


def _draw_alone(node: Node, draw: _Draw) -> Drawing:
    notes = [note for by in node.decisions() if (note := _describe_decision(by))]
    match node:
        case Chain():
            drawing = Drawing("" if node.name == "chain" else node.name, parts=draw_nodes(node.nodes, draw))
        case Parallel():
            drawing = Drawing(node.name, parts=draw_nodes(node.nodes, draw), form="parallel")
        case Map():
            at_once = [] if node.limit is None else [f"{node.limit} at once"]
            notes = [f"for each of {notes[0]}" if notes else "for each item", *at_once]
            drawing = Drawing(node.name, "", notes, draw_nodes([node.node], draw))
        case Loop():
            notes = [*(f"until {note}" for note in notes), f"at most {node.at_most} rounds"]
            drawing = Drawing(node.name, "", notes, draw_nodes(node.nodes, draw), "loop")
        case Goal():
            notes = [f"at most {node.at_most} attempts"]
            drawing = Drawing(node.name, "", notes, draw_nodes((node.node, node.check), draw), "loop")
        case Condition():
            ways = [_draw_way("yes", node.then, draw), _draw_way("no", node.otherwise, draw)]
            drawing = Drawing(node.name, "", notes, ways, "choice")
        case Router():
            ways = [_draw_way(str(name), each, draw) for name, each in node.routes.items()]
            if node.otherwise is not None:
                ways.append(_draw_way("otherwise", node.otherwise, draw))
            drawing = Drawing(node.name, "", notes, ways, "choice")
        case _:
            drawing = Drawing(node.name, "node", notes, draw_nodes(node.children(), draw), "parts")
    return drawing


def _draw_way(name: str, node: Any, draw: _Draw) -> Drawing:
    """Return the picture of one of several ways, which begins with the name of the way."""
    if node is None:
        return Drawing(name, notes=["goes on"])
    drawing = _draw_node(node, draw)
    if name == drawing.name:
        return drawing
    return attrs.evolve(drawing, name=f"{name}: {drawing.name}" if drawing.name else name)


def _describe_decision(by: Any) -> str:
    """Return an expression, or a function's name; empty for what is drawn as a part."""
    if isinstance(by, Expression):
        return by.text
    if isinstance(by, Runnable | Ask):
        return ""
    return f"{getattr(by, '__name__', type(by).__name__)}()"
