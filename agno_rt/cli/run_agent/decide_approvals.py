"""Asks a person at the terminal for the decisions of a paused run, and resumes it. Only for the main thread."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from agno_rt.cli.report import clean, remark, show_error
from agno_rt.cli.run_agent.conversation import Conversation, StandingDecision
from agno_rt.cli.run_agent.display import Display, call_line
from agno_rt.cli.terminal import ask, is_interactive
from agno_rt.cli.values import fields_of, kinds_of, value_of
from agno_rt.errors import UsageError
from agno_rt.result import RunResult
from agno_rt.run_store import Approval, ApprovalConflict, Decision, Resume, Standing

__all__ = ["can_ask", "settle_run"]


def can_ask() -> bool:
    """Tell whether a person at a terminal can see a question and answer."""
    return is_interactive() and sys.stderr.isatty()


def settle_run(conversation: Conversation, result: RunResult, display: Display) -> RunResult:
    """Ask for decisions and resume the run, until the run ends or the person leaves a decision for later."""
    while result.status == "paused" and all(_settle_approval(conversation, each) for each in result.approvals):
        result = conversation.ask(Resume(result.run_id), None, display)
    return result


def _settle_approval(conversation: Conversation, approval: Approval) -> bool:
    """Ask until the approval is decided, here or by somebody else. Return false if the person leaves it for later."""
    while approval.status == "pending":
        decision = _QUESTIONS[approval.kind](approval)
        if decision is None:
            return False
        try:
            conversation.decide(approval, decision)
        except ApprovalConflict as exc:
            remark(exc.message)
        except UsageError as exc:
            # The values do not fit the tool: ask again.
            show_error(exc.message, exc.hint)
            continue
        return True
    return True


def _render_call(approval: Approval) -> str:
    return clean(call_line(approval.call)[2:])


def _ask_approval(approval: Approval) -> Decision | None:
    if approval.reason:
        remark(f"Reason: {approval.reason}")
    can_stand = bool(approval.definition and approval.session and approval.agent)
    choices = "[y]es, [a]lways, [n]o, [e]dit, [l]ater" if can_stand else "[y]es, [n]o, [e]dit, [l]ater"
    while (said := ask(f"Approve {_render_call(approval)}? {choices}: ")) is not None:
        match said.lower():
            case "a" | "always" if can_stand:
                remark(f"Later calls of {approval.call.name} in this session ask nobody: agno-rt approvals grants.")
                return StandingDecision("approved", standing=Standing("session", None, "any"))
            case "y" | "yes":
                return Decision("approved")
            case "n" | "no":
                reason = ask("Why not? ")
                return None if reason is None else Decision("denied", reason=reason)
            case "e" | "edit":
                arguments = _edit_arguments(approval.call.arguments or "{}")
                if arguments is not None:
                    return Decision("approved", arguments)
            case "l" | "later":
                return None
            case _:
                remark(f"Type y, {'a, ' if can_stand else ''}n, e or l.")
    return None


def _edit_arguments(arguments: str) -> str | None:
    remark(f"The arguments are {arguments}; an empty line keeps them.")
    changed = ask("Arguments: ", arguments)
    return changed if changed is None else changed or arguments


def _ask_input(approval: Approval) -> Decision | None:
    remark(f"{_render_call(approval)} asks you for an input. Ctrl-D leaves it for later.")
    schema: Mapping[str, Any] = approval.schema or {}
    needed, values = schema.get("required", ()), {}
    # Field by field, so that a wrong value is asked for again alone.
    for name, part in fields_of(schema).items():
        value = _ask_field(name, part, needed=name in needed)
        if value is None:
            return None
        if value:
            values[name] = value[0]
    return Decision("answered", msgspec.json.encode(values).decode())


def _ask_field(name: str, schema: Mapping[str, Any], *, needed: bool) -> tuple[Any, ...] | None:
    """Return a field's value in a tuple, an empty tuple for a field left out, and `None` for later."""
    if text := schema.get("description"):
        remark(str(text))
    choices = ", ".join(str(value) for value in schema.get("enum", ()))
    kind = choices or " or ".join(kinds_of(schema))
    optional = "" if needed else "may be empty"
    about = "; ".join(filter(None, (kind, optional)))
    while (said := ask(f"{name}{f' ({about})' if about else ''}: ")) is not None:
        if not said and not needed:
            return ()
        if not said and kinds_of(schema) != ["string"]:
            remark(f"{name} is needed.")
            continue
        try:
            return (value_of(said, schema),)
        except UsageError as exc:
            show_error(exc.message, exc.hint)
    return None


def _ask_result(approval: Approval) -> Decision | None:
    said = ask(f"The result of {_render_call(approval)}, as JSON or text; Ctrl-D for later: ")
    return None if said is None else Decision("answered", msgspec.json.encode(value_of(said, {})).decode())


_QUESTIONS = {"approval": _ask_approval, "input": _ask_input, "external": _ask_result}
