"""Asks the person at the terminal what a paused run waits for, and goes on with the run. For the main thread alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from agno_rt.cli.report import clean, remark, show_error
from agno_rt.cli.run_agent.conversation import Conversation
from agno_rt.cli.run_agent.display import Display, call_line
from agno_rt.cli.terminal import ask, is_interactive
from agno_rt.cli.values import fields_of, kinds_of, value_of
from agno_rt.errors import UsageError
from agno_rt.run_store import Approval, ApprovalConflict, Decision, Resume
from agno_rt.runs import RunResult

__all__ = ["can_ask", "settle_run"]


def can_ask() -> bool:
    """Whether somebody is at the terminal who sees a question and can answer."""
    return is_interactive() and sys.stderr.isatty()


def settle_run(conversation: Conversation, result: RunResult, display: Display) -> RunResult:
    """Ask for what a paused run waits for and go on with it, until it is over, or the person leaves it for later."""
    while result.status == "paused" and all(_decided(conversation, each) for each in result.approvals):
        result = conversation.ask(Resume(result.run_id), None, display)
    return result


def _decided(conversation: Conversation, approval: Approval) -> bool:
    """Whether the approval is decided: by the person here, or by somebody else meanwhile."""
    while approval.status == "pending":
        decision = _ASK[approval.kind](approval)
        if decision is None:
            return False
        try:
            conversation.decide(approval, decision)
        except ApprovalConflict as exc:
            remark(exc.message)
        except UsageError as exc:
            show_error(exc.message, exc.hint)
            continue
        return True
    return True


def _called(approval: Approval) -> str:
    return clean(call_line(approval.call)[2:])


def _approval(approval: Approval) -> Decision | None:
    if approval.reason:
        remark(f"It is asked because: {approval.reason}")
    while (said := ask(f"Approve {_called(approval)}? [y]es, [n]o, [e]dit, [l]ater: ")) is not None:
        match said.lower():
            case "y" | "yes":
                return Decision("approved")
            case "n" | "no":
                reason = ask("Why not? ")
                return None if reason is None else Decision("denied", reason=reason)
            case "e" | "edit":
                arguments = _edited(approval.call.arguments or "{}")
                if arguments is not None:
                    return Decision("approved", arguments)
            case "l" | "later":
                return None
            case _:
                remark("Type y, n, e or l.")
    return None


def _edited(arguments: str) -> str | None:
    remark(f"The arguments are {arguments}; an empty line leaves them as they are.")
    changed = ask("Arguments: ", arguments)
    return changed if changed is None else changed or arguments


def _input(approval: Approval) -> Decision | None:
    remark(f"{_called(approval)} asks you for something. Ctrl-D leaves it for later.")
    schema: Mapping[str, Any] = approval.schema or {}
    needed, values = schema.get("required", ()), {}
    for name, part in fields_of(schema).items():
        value = _field(name, part, needed=name in needed)
        if value is None:
            return None
        if value:
            values[name] = value[0]
    return Decision("answered", msgspec.json.encode(values).decode())


def _field(name: str, schema: Mapping[str, Any], *, needed: bool) -> tuple[Any, ...] | None:
    """The value of a field, in a tuple; nothing in it where it is left out, and `None` for later."""
    if text := schema.get("description"):
        remark(str(text))
    choices = ", ".join(str(value) for value in schema.get("enum", ()))
    kind = choices or " or ".join(kinds_of(schema))
    left = "" if needed else "may be empty"
    about = "; ".join(filter(None, (kind, left)))
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


def _external(approval: Approval) -> Decision | None:
    said = ask(f"The result of {_called(approval)}, as JSON or text; Ctrl-D for later: ")
    return None if said is None else Decision("answered", msgspec.json.encode(value_of(said, {})).decode())


_ASK = {"approval": _approval, "input": _input, "external": _external}
