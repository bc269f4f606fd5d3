"""A standing approval in code or in agno-rt.toml: calls of a tool that need no person."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date, datetime
from datetime import time as day_time
from typing import Any

import attrs

from agno_rt._decide.grants import digest_tool, fits_pattern
from agno_rt.context import RunContext
from agno_rt.errors import UsageError, suggest
from agno_rt.hooks import CallReview, Hook, Review
from agno_rt.tools import Tool

__all__ = ["Allow"]

_OPEN = ("additionalProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf", "if")
"""Keys of the schema of a tool that may have more arguments than the schema names."""


@attrs.frozen
class Allow(Hook):
    """A standing approval by the author of the agent: `Agent(..., hooks=[Allow("send", {"to": "*@example.org"})])`.

    Any other call is left to the next hook, and to a person. A tool made with `standing=False` asks each time.

    Attributes:
        tool: the tool's name
        arguments: patterns by the arguments' names, in which `*` in a text stands for any text; other values are
            compared. Arguments without a pattern may have any value
        user: the run's user; `None` for every user
        session: the run's session; `None` for every session
        until: the end: a date, which still belongs to the time, or a datetime with a time zone; `None` for no end
        definition: the digest of the tool's definition, as `agno-rt approvals show` prints; a changed tool then asks a
            person again

    Raises `UsageError` for an unusable value.
    """

    tool: str
    arguments: Mapping[str, Any] = attrs.field(factory=dict, hash=False)
    user: str | None = None
    session: str | None = None
    until: date | datetime | None = None
    definition: str = ""

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.tool, str) or not self.tool:
            raise UsageError(f"tool of Allow is {self.tool!r}", hint="Give the tool's name: Allow('send').")
        if not isinstance(self.arguments, Mapping):
            hint = "Give patterns by name: Allow('send', {'to': '*@example.org'})."
            raise UsageError(f"arguments of Allow are {self.arguments!r}", hint=hint)
        if isinstance(self.until, datetime):
            if self.until.tzinfo is None:
                hint = "Add one, as in 2026-12-31T18:00:00Z."
                raise UsageError(f"until of Allow is {self.until.isoformat()}, without a time zone", hint=hint)
        elif self.until is not None and not isinstance(self.until, date):
            hint = "Give a date, or a datetime with a time zone."
            raise UsageError(f"until of Allow is {self.until!r}", hint=hint)

    def check_tools(self, tools: Mapping[str, Tool]) -> None:
        """Raise `UsageError` for a pattern of an argument that the tool does not have: no call would fit."""
        tool = tools.get(self.tool)
        if tool is None or any(tool.parameters.get(key) for key in _OPEN):
            return
        known = tool.parameters.get("properties", {})
        if unknown := next((name for name in self.arguments if name not in known), None):
            problem = f"Allow({self.tool!r}) has a pattern for {unknown!r}, and {self.tool} has no such argument"
            hint = suggest("argument", unknown, known) if known else f"Leave the patterns out: Allow({self.tool!r})."
            raise UsageError(problem, hint=hint)

    @property
    def name(self) -> str:
        """The name in events and in the journal."""
        return f"allow {self.tool}"

    async def review_call(self, context: RunContext, asked: CallReview) -> Review | None:
        """Approve a call that fits; leave every other call to others."""
        fits = (
            asked.call.name == self.tool
            and self.user in (None, context.user)
            and self.session in (None, context.session)
            and not self._has_ended()
            and self.definition in ("", digest_tool(asked.tool))
            and fits_pattern(self.arguments, asked.arguments)
        )
        return Review(True) if fits else None

    def _has_ended(self) -> bool:
        if self.until is None:
            return False
        if isinstance(self.until, datetime):
            return self.until.timestamp() <= time.time()
        return datetime.combine(self.until, day_time.max).timestamp() <= time.time()
