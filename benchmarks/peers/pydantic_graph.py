"""The peer pydantic-graph: graphs of steps under asyncio. Run by the driver.

A run of a graph is not recorded, and cannot be resumed.
"""

from __future__ import annotations

import itertools
from typing import Any

from pydantic_graph import GraphBuilder, StepContext, reduce_list_append

from .protocol import BRANCHES, STEPS, Row, serve, timed, versions


async def double(context: StepContext[None, None, int]) -> int:
    """Twice the number."""
    return 2


def _make_chain() -> Any:
    builder = GraphBuilder(name="chain", input_type=int, output_type=int)
    steps = [builder.step(double, node_id=f"double {number}") for number in range(STEPS)]
    nodes = [builder.start_node, *steps, builder.end_node]
    builder.add(*(builder.edge_from(one).to(other) for one, other in itertools.pairwise(nodes)))
    return builder.build()


def _make_fan() -> Any:
    builder = GraphBuilder(name="fan", input_type=list[int], output_type=list[int])
    step = builder.step(double, node_id="double")
    join = builder.join(reduce_list_append, initial_factory=list[int], node_id="all")
    builder.add(
        builder.edge_from(builder.start_node).map().to(step),
        builder.edge_from(step).to(join),
        builder.edge_from(join).to(builder.end_node),
    )
    return builder.build()


def rows() -> dict[str, Row]:
    """Return the peer's rows."""
    chain, fan, numbers = _make_chain(), _make_fan(), list(range(BRANCHES))
    return {
        "steps_plain": timed(lambda: chain.run(inputs=1)),
        "branches": timed(lambda: fan.run(inputs=numbers)),
    }


if __name__ == "__main__":
    serve(
        {
            "versions": versions("pydantic-graph"),
            "import": "from pydantic_graph import GraphBuilder",
            "notes": {"branches": "its steps are not recorded"},
        },
        rows(),
    )
