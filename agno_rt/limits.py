"""Limits as values: each has a name, a default, and an error that names it. Knows nothing of who enforces them."""

from __future__ import annotations

import attrs

from agno_rt.errors import UsageError

__all__ = ["LimitStatistics", "Limits"]

_COUNTS = ("runs", "model_calls", "depth", "threads", "abandoned_threads", "tools", "turns")
_BUDGETS = ("tool_calls", "input_tokens", "output_tokens", "tokens")
_TIMES = ("run_timeout", "turn_timeout", "model_timeout", "tool_timeout", "idle_timeout", "queue_timeout")


@attrs.frozen
class Limits:
    """The bounds within which runs happen. Counts are at least 1; timeouts are in seconds; `None` is no limit.

    `runs`, `queue`, `model_calls`, `depth`, `threads` and `abandoned_threads` hold for a whole runtime, the others for
    each run, and so for an agent's own `limits` too. A run within a tool of another has only what is left of the outer
    run's budgets (`tool_calls`, the tokens, `cost`) and deadlines, whatever its own are, and what it spends is spent
    for both.

    Attributes:
        runs: runs under way at once; more wait in the queue
        queue: runs that may wait; one more is refused at once with `Overloaded`
        model_calls: model calls under way at once, over all runs; more wait
        depth: runs within one another, the outermost counted: a tool that runs an agent with a tool that runs one, and
            so on. One deeper is `LimitExceeded`, which the model is told as its tool's failure; where models go on to
            ask for it, the outermost run ends with that
        threads: synchronous tools under way at once in threads, over all runs; more wait, before their `tool_timeout`
            begins. A run within a tool that is in a thread does not wait for another
        abandoned_threads: threads that were given up, because their call timed out or was cancelled, and have not
            ended; from there on synchronous tools are not called, and the model is told which ones hang
        tools: tool calls of one turn under way at once; more wait
        turns: times the model is asked in one run; one more is `LimitExceeded`
        tool_calls: tools called in one run; the turn that would call more ends it with `LimitExceeded`
        input_tokens: tokens that went into models in one run; once they are spent, the next turn is `LimitExceeded`
        output_tokens: the same for tokens that came out
        tokens: the same for both together
        cost: the same for money, in the unit of the models' prices
        run_timeout: for the whole run, its time in the queue included: `DeadlineExceeded`
        turn_timeout: for one turn, the model call with the tool calls that it leads to: `DeadlineExceeded`
        model_timeout: for one model call: `DeadlineExceeded`
        tool_timeout: for one tool call; the model is told, and the run goes on. A synchronous tool's thread cannot be
            stopped: it is abandoned, gives its place among `threads` back, and runs on with nobody waiting. A `process`
            tool is killed
        idle_timeout: between two signs of life of a model that streams, and before its first: `DeadlineExceeded`.
            Without a stream a model shows no signs, and this is as `model_timeout`
        queue_timeout: for the wait in the queue, for a place or for a session: `DeadlineExceeded`

    Raises `UsageError` for a value out of range.
    """

    runs: int = 1_000
    queue: int = 10_000
    model_calls: int = 1_000
    depth: int = 8
    threads: int = 40
    abandoned_threads: int = 100
    tools: int = 8
    turns: int = 16
    tool_calls: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens: int | None = None
    cost: float | None = None
    run_timeout: float | None = None
    turn_timeout: float | None = None
    model_timeout: float | None = None
    tool_timeout: float | None = None
    idle_timeout: float | None = None
    queue_timeout: float | None = None

    def __attrs_post_init__(self) -> None:
        for name in _COUNTS:
            _check(name, getattr(self, name), at_least=1)
        for name in _BUDGETS:
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), at_least=1)
        _check("queue", self.queue, at_least=0)
        if self.cost is not None and not (_is_number(self.cost) and self.cost > 0):
            raise UsageError(f"limit cost is {self.cost!r}", hint="Give an amount above 0, or leave it out.")
        for name in _TIMES:
            seconds = getattr(self, name)
            if seconds is not None and not (_is_number(seconds) and seconds > 0):
                raise UsageError(f"limit {name} is {seconds!r}", hint="Give seconds above 0, or leave it out.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check(name: str, value: int, *, at_least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise UsageError(f"limit {name} is {value!r}", hint=f"Give a whole number of at least {at_least}.")


@attrs.frozen
class LimitStatistics:
    """How a limit stands now: its name, its size, how much of it is in use or spent, and how many wait for it."""

    name: str
    total: float
    in_use: float
    waiting: int
