"""Approvers as hooks: `approvals:allow` and `approvals:model:openai:gpt-5`. Imports nothing slow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from agno_rt.context import RunContext
from agno_rt.errors import UsageError
from agno_rt.hooks import CallReview, Hook, Review
from agno_rt.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from agno_rt.approvers.allow import Allow
    from agno_rt.tools import Tool

__all__ = ["agno_rt_register_guardrails"]


@attrs.frozen
class _ModelSettings:
    """The table `[plugins.approvals.model]`."""

    rules: str = ""
    tools: tuple[str, ...] = ()
    destructive: bool = False
    timeout: float = 30.0


@attrs.frozen
class _ApprovalsSettings:
    """The table `[plugins.approvals]`."""

    allow: tuple[dict[str, Any], ...] = ()
    model: _ModelSettings = _ModelSettings()


@attrs.frozen(eq=False)
class _AllowAll(Hook):
    """The standing approvals of the file, the first that fits."""

    allowed: tuple[Allow, ...]
    name: str = "allow"

    def check_tools(self, tools: Mapping[str, Tool]) -> None:
        try:
            for each in self.allowed:
                each.check_tools(tools)
        except UsageError as exc:
            raise UsageError(f"[[plugins.approvals.allow]]: {exc.message}", hint=exc.hint) from None

    async def review_call(self, context: RunContext, asked: CallReview) -> Review | None:
        for each in self.allowed:
            if (review := await each.review_call(context, asked)) is not None:
                return review
        return None


def _read_settings(settings: Mapping[str, Any]) -> _ApprovalsSettings:
    from agno_rt.config import read_settings

    return read_settings(_ApprovalsSettings, settings, "[plugins.approvals]")


def _make_allow(rest: str, settings: Mapping[str, Any]) -> Hook:
    from agno_rt.approvers.allow import Allow
    from agno_rt.errors import suggest

    if rest:
        raise UsageError(f"'approvals:allow:{rest}' is not known", hint="Write approvals:allow.")
    known = [field.name for field in attrs.fields(Allow)]
    tables = _read_settings(settings).allow
    if not tables:
        hint = 'Write a table [[plugins.approvals.allow]] with the name of a tool: tool = "send".'
        raise UsageError("approvals:allow has nothing to allow", hint=hint)
    for table in tables:
        for key in table:
            if key not in known:
                raise UsageError(
                    f"[[plugins.approvals.allow]] has an unknown key {key!r}", hint=suggest("key", key, known)
                )
        if "tool" not in table:
            raise UsageError("[[plugins.approvals.allow]] names no tool", hint='Write tool = "send".')
    return _AllowAll(tuple(Allow(**table) for table in tables))


def _make_model(rest: str, settings: Mapping[str, Any]) -> Hook:
    from agno_rt.approvers.model import RULES, ModelApprover

    if not rest:
        raise UsageError("'approvals:model' names no model", hint="Write approvals:model:openai:gpt-5, for instance.")
    read = _read_settings(settings).model
    return ModelApprover(
        rest, read.rules or RULES, tools=read.tools, destructive=read.destructive, timeout=read.timeout
    )


@hookimpl
def agno_rt_register_guardrails(register: Register) -> None:
    """Offer `approvals:allow` and `approvals:model:MODEL`."""
    register("allow", _make_allow, help="Standing approvals of the file: tables [[plugins.approvals.allow]].")
    register("model", _make_model, help="A model that approves calls of low risk: approvals:model:openai:gpt-5.")
