"""The end of a declared workflow by one of its nodes, through all nodes around."""

from __future__ import annotations

from typing import TypeVar

from agno_rt.failures import leaves, let_pass
from agno_rt.runnable import Again, Stop

__all__ = ["check_end", "find_end"]

T = TypeVar("T")


class _WorkflowEnds(BaseException):
    """Raised by a node to end the workflow. Code of users lets it pass, as a cancellation."""

    def __init__(self, answer: Stop | Again) -> None:
        self.answer = answer


let_pass(_WorkflowEnds)


def check_end(output: T) -> T:
    """Return the output of a node. Raises through all nodes around for a `Stop` or an `Again`."""
    if isinstance(output, Stop | Again):
        raise _WorkflowEnds(output)
    return output


def find_end(exc: BaseException) -> Stop | Again | None:
    """Return the answer of the node that ended the workflow; None if the exception is another one, or has others."""
    ends = list(leaves(exc))
    answers = [each.answer for each in ends if isinstance(each, _WorkflowEnds)]
    return answers[0] if answers and len(answers) == len(ends) else None
