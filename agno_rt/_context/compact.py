"""Takes the turns of a run with a bounded conversation: compacts before a turn, and after a refusal of the model.

`_decide.compaction` says when and where.
"""

from __future__ import annotations

from contextlib import nullcontext

import attrs

from agno_rt._context.large_results import Results
from agno_rt._context.summarise import summarise
from agno_rt._decide.compaction import (
    TODOS_MARK,
    Room,
    Sizes,
    compact,
    count_bytes,
    input_of_summary,
    list_cut,
    list_replaced,
    old_summary,
    tokens_of_tools,
)
from agno_rt._decide.turns import Turns, View
from agno_rt._drive.job import Job
from agno_rt._drive.scopes import deadline
from agno_rt._drive.take_turns import STOPS, take_turns
from agno_rt.errors import ContextOverflow
from agno_rt.events import ContextCompacted
from agno_rt.memory import Summary
from agno_rt.messages import Message

__all__ = ["take_compacting"]

GROWTH = 1.1
"""The growth of a conversation after a compaction without effect, before the next attempt."""


async def take_compacting(job: Job, turns: Turns) -> None:
    """Take the turns as `take_turns` does, and keep the conversation within the model's context."""
    policy, seconds = job.resolved.memory, job.resolved.limits.turn_timeout
    if turns.view is None:
        turns.view = View(pinned=len(job.input))
    results = None if policy.results is None else Results.of(job, turns, policy.results)
    keeper = None if policy.summary is None else _Keeper(job, turns, policy.summary)
    while turns.state not in STOPS:
        if results is not None:
            results.shorten()
        timed = nullcontext() if seconds is None else deadline(seconds, "turn_timeout", f"turn {turns.turn + 1}")
        with timed:
            await (take_turns(job, turns, until=turns.turn + 1) if keeper is None else keeper.take_turn())


@attrs.define(eq=False)
class _Keeper:
    """Keeps one run's conversation within the context of its model."""

    job: Job
    turns: Turns
    asked: Summary
    # The ratio of real tokens to estimated ones, learned from a refusal; the size of the last attempt without effect;
    # the turn before which the conversation was compacted.
    scale: float = 1.0
    tried: int = 0
    compacted: int = -1
    tools: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tools = tokens_of_tools(self.job.resolved.offered)

    async def take_turn(self) -> None:
        """Make room, and take one turn; after a refusal of the request as too large, compact once and ask again."""
        turns = self.turns
        if turns.state == "asking":
            await self.make_room()
        before = turns.turn
        try:
            await take_turns(self.job, turns, until=before + 1)
        except ContextOverflow as exc:
            if turns.state != "asking" or turns.turn == before or not await self.recover(exc):
                raise
            turns.turn = before
            await take_turns(self.job, turns, until=before + 1)

    async def make_room(self) -> None:
        """Compact a conversation above the share of the context.

        Raises `ContextOverflow` if the request is larger than the context afterwards.
        """
        window = self.window
        if window is None:
            return
        room = Room.of(window, self.job.resolved.settings.max_tokens or 0, self.asked.fill, self.asked.keep)
        sizes = self.measure()
        if sizes.total <= room.soft or (sizes.total < self.tried * GROWTH and sizes.total <= room.hard):
            return
        problem = await self.compact(room.target, sizes)
        now = sizes.total if problem else self.measure().total
        if now > room.hard:
            raise self.overflow(now, room.hard, problem)

    async def recover(self, refusal: ContextOverflow) -> bool:
        """Compact after the model's refusal; return whether to ask again."""
        if self.compacted == self.turns.turn - 1:
            refusal.hint = f"The conversation was compacted before this turn already. {refusal.hint}".rstrip()
            return False
        sizes, window = self.measure(), self.window
        if window is not None and sizes.total < window:
            # The model counts more tokens than were estimated, in this and in later turns.
            self.scale *= window / max(1, sizes.total)
            sizes = self.measure()
        total = sizes.total if window is None else min(window, sizes.total)
        self.turns.turn -= 1
        problem = await self.compact(int(total * self.asked.fill * self.asked.keep), sizes)
        self.turns.turn += 1
        if problem:
            refusal.hint = f"The conversation could not be compacted: {problem}. {refusal.hint}".rstrip()
        return not problem

    async def compact(self, target: int, sizes: Sizes) -> str:
        """Compact the conversation to about `target` tokens; return the problem, or an empty text."""
        job, turns = self.job, self.turns
        self.tried = sizes.total
        cut = list_cut(turns, max(0, target - sizes.fixed - self.asked.tokens), self.count)
        if not cut:
            return "nothing of the conversation can be left out"
        old, removed = old_summary(turns), list_replaced(turns, cut)
        text = await summarise(job, self.asked, old, [*input_of_summary(turns, cut), *removed], self.window)
        if not text:
            return "the model gave no summary"
        if job.resolved.providers is not None:
            text = _add_todos(job, text)
        freed = sum(map(self.count, removed))
        added = self.count(Message("system", text)) - (self.count(Message("system", old)) if old else 0)
        if added >= freed:
            return "the summary is not smaller than the messages that it replaces"
        assert turns.view is not None
        replaced = compact(turns, text, cut)
        turns.view.fresh = (text, cut)
        self.tried, self.compacted = 0, turns.turn
        if job.emitter is not None:
            after = self.measure().total
            # The provider's cache misses the beginning, as it must.
            job.emitter.cached = 0
            if job.session is not None:
                job.session.cached = None
            job.emitter.post(ContextCompacted(job.run_id, turns.turn + 1, sizes.total, after, replaced))
        return ""

    @property
    def window(self) -> int | None:
        """The tokens of the model's context, if known."""
        return self.asked.window or self.job.resolved.profile.context

    def count(self, message: Message) -> int:
        """Count the tokens of a message."""
        return int((self.job.resolved.memory.count or count_bytes)(message) * self.scale)

    def measure(self) -> Sizes:
        """Measure the conversation with the tools."""
        return Sizes.of(self.turns, self.count, int(self.tools * self.scale))

    def overflow(self, tokens: int, most: int, problem: str) -> ContextOverflow:
        """Return the error for a request above the context."""
        name = self.job.resolved.model.name
        why = f", and {problem}" if problem else " after a compaction"
        return ContextOverflow(
            f"the request has about {tokens:,} tokens, the context of {name} holds {most:,} beside the answer{why}",
            hint="Shorten the instructions or the input, give fewer tools, bound large results of tools"
            " (MemoryPolicy(results=...)), or use a model with a larger context.",
            provider=name,
        )


def _add_todos(job: Job, summary: str) -> str:
    """Return the summary, followed by what is left on the run's todo list."""
    from agno_rt._decide.todos import TodoBoard, show_todos  # few agents have context providers

    board: TodoBoard | None = (job.kept or {}).get(TodoBoard)
    left = [] if board is None else [item for item in board.items if item.status != "completed"]
    return f"{summary}{TODOS_MARK}{show_todos(left)}" if left else summary
