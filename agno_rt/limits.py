"""Limits as values: each has a name, a default, and an error that names the limit. Knows nothing of enforcement."""

from __future__ import annotations

import attrs

from agno_rt.errors import UsageError

__all__ = ["LimitStatistics", "Limits"]

_COUNTS = ("runs", "model_calls", "depth", "threads", "abandoned_threads", "tools", "turns")
_BUDGETS = ("tool_calls", "input_tokens", "output_tokens", "tokens")
_TIMES = ("run_timeout", "turn_timeout", "model_timeout", "tool_timeout", "idle_timeout", "queue_timeout")


@attrs.frozen
class Limits:
    """The bounds of runs. Counts are at least 1; timeouts are in seconds; `None` means no limit.

    `runs`, `queue`, `model_calls`, `depth`, `threads`, `abandoned_threads` and `takeovers` hold for a whole runtime,
    the others for each run, and so also in an agent's `limits`. A run within another run's tool has no more than the
    rest of the outer run's budgets (`tool_calls`, the tokens, `cost`) and deadlines, whatever its own; its spending
    counts for both runs.

    Attributes:
        runs: runs in progress at once; more wait in the queue
        queue: runs that may wait; a further run is refused at once with `Overloaded`
        model_calls: model calls in progress at once, over all runs; more wait
        depth: runs nested in one another, including the outermost: a tool runs an agent whose tool runs an agent, and
            so on. A deeper run raises `LimitExceeded`, which the model sees as its tool's failure. If models keep
            asking for the run, the outermost run ends with the error
        threads: synchronous tools in progress at once in threads, over all runs; more wait, before their `tool_timeout`
            begins. A run within a tool in a thread does not wait for another thread
        abandoned_threads: threads given up after a timeout or a cancellation that have not ended; at this number,
            synchronous tools are no longer called, and the model is told which tools hang
        takeovers: times that a stored run may be taken over in a row from processes that have died. A run that kills
            each process would go on for ever: with the next takeover it fails with `RunSetAside`
        tools: tool calls of one turn in progress at once; more wait
        turns: turns of the model in one run; a further turn raises `LimitExceeded`
        tool_calls: tool calls in one run; a turn that would make more ends the run with `LimitExceeded`
        input_tokens: tokens that went into models in one run; when they are spent, the next turn raises `LimitExceeded`
        output_tokens: the same for tokens that came out
        tokens: the same for both together
        cost: the same for money, in the unit of the models' prices
        run_timeout: for the whole run, including its time in the queue: `DeadlineExceeded`
        turn_timeout: for one turn, from the model call to the end of its tool calls: `DeadlineExceeded`
        model_timeout: for one model call: `DeadlineExceeded`
        tool_timeout: for one tool call; the model is told, and the run goes on. The thread of a synchronous tool cannot
            be stopped: it is abandoned, releases its place among `threads`, and runs to its end. A `process` tool is
            killed
        idle_timeout: between two signs of life of a streaming model, and before the first: `DeadlineExceeded`. Without
            a stream there are no signs of life, and the limit is like `model_timeout`
        queue_timeout: for the wait in the queue, for a place or for a session: `DeadlineExceeded`

    Raises `UsageError` for a value out of range.
    """

    runs: int = 1_000
    queue: int = 10_000
    model_calls: int = 1_000
    depth: int = 8
    threads: int = 40
    abandoned_threads: int = 100
    takeovers: int | None = 5
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
            _check_count(name, getattr(self, name), at_least=1)
        for name in ("takeovers", *_BUDGETS):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name), at_least=1)
        _check_count("queue", self.queue, at_least=0)
        if self.cost is not None and not (_is_number(self.cost) and self.cost > 0):
            raise UsageError(f"limit cost is {self.cost!r}", hint="Give an amount above 0, or leave it out.")
        for name in _TIMES:
            seconds = getattr(self, name)
            if seconds is not None and not (_is_number(seconds) and seconds > 0):
                raise UsageError(f"limit {name} is {seconds!r}", hint="Give seconds above 0, or leave it out.")


def _is_number(value: object) -> bool:
    # True is an int in Python, but not a limit.
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_count(name: str, value: int, *, at_least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise UsageError(f"limit {name} is {value!r}", hint=f"Give a whole number of at least {at_least}.")


@attrs.frozen
class LimitStatistics:
    """The current state of a limit: its name, its size, the part in use or spent, and the number of waiters."""

    name: str
    total: float
    in_use: float
    waiting: int
