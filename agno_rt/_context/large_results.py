"""Shows the model previews of large results of tools, and gives the model tools to read whole results."""

from __future__ import annotations

import attrs

from agno_rt._context.provide import add_tools
from agno_rt._decide.large_results import find_result, name_of, read_part, search_text, shorten
from agno_rt._decide.turns import Turns
from agno_rt._drive.job import Job
from agno_rt.context import RunContext
from agno_rt.errors import UsageError
from agno_rt.memory import LargeResults
from agno_rt.tools import tool

__all__ = ["Results"]

_KEY = object()
"""The key of a run's results among the things that a run keeps."""


@attrs.define(eq=False)
class Results:
    """The large results of a run and of its history, by name."""

    job: Job
    turns: Turns
    policy: LargeResults
    known: dict[str, str] = attrs.Factory(dict)

    @classmethod
    def of(cls, job: Job, turns: Turns, policy: LargeResults) -> Results:
        """Return the results of the run, and give the run the tools. Raises `UsageError` for a name that is taken."""
        if job.kept is None:
            job.kept = {}
        known: Results | None = job.kept.get(_KEY)
        if known is None:
            tools = {each.name: each for each in (read_result, search_result)}
            if taken := next((name for name in tools if name in job.resolved.tools), ""):
                hint = "Give yours another name, or leave out MemoryPolicy(results=)."
                raise UsageError(f"two tools of the agent are called {taken!r}", hint=hint)
            add_tools(job, tools)
            known = job.kept[_KEY] = cls(job, turns, policy)
        return known

    def shorten(self) -> None:
        """Show previews in place of large results. A preview is not large itself, and stays."""
        view, messages = self.turns.view, self.turns.messages
        assert view is not None, "made before the first turn"
        for at, whole in enumerate(messages):
            if (preview := shorten(whole, self.policy)) is not None:
                assert isinstance(whole.content, str)
                self.known[name_of(whole.content)] = whole.content
                messages[at] = preview
                # By identity: the preview stays in the run's messages for as long as the run lasts.
                view.whole[id(preview)] = whole

    async def find(self, name: str) -> str | None:
        """Return the text of a result; of the session, too, if the model does not see it any more."""
        access = self.job.session
        if name not in self.known and access is not None:
            session = await access.memory.load(access.id)
            # Checked again, because the session may have been deleted and begun by another user meanwhile.
            messages = session.messages if session.user == self.job.asked.user else ()
            if (text := find_result(messages, name, self.policy)) is not None:
                self.known[name] = text
        return self.known.get(name)


async def _find(context: RunContext, name: str) -> tuple[Results, str | None]:
    results: Results = context.kept[_KEY]
    return results, await results.find(name.strip())


@tool(idempotent=True)
async def read_result(context: RunContext, result: str, start: int = 0) -> str:
    """Read a part of a large result.

    Args:
        result: the result's name, as in its preview
        start: the number of the first character; a negative number counts from the end
    """
    results, text = await _find(context, result)
    return _UNKNOWN if text is None else read_part(text, start, max(1, results.policy.characters - _HEADING))


@tool(idempotent=True)
async def search_result(context: RunContext, result: str, words: str) -> str:
    """Search a large result for words, taken literally.

    Args:
        result: the result's name, as in its preview
        words: the words
    """
    _, text = await _find(context, result)
    return _UNKNOWN if text is None else search_text(text, words)


_HEADING = 100
"""The characters of the line above a part: a part must not be a large result itself."""
_UNKNOWN = "There is no such result. Its name is in its preview."
