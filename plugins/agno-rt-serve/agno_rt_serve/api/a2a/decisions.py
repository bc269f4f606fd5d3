"""The answer of a client to a task that waits for input, as decisions about approvals. Pure.

Programs send a part of `data` with a `decision`; people send text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import msgspec

from agno_rt.run_store import ASK, Approval
from agno_rt_serve.api.a2a.refusals import INVALID_PARAMS, Refusal
from agno_rt_serve.api.a2a.shapes import A2AMessage

__all__ = ["Decided", "names_approval", "read_decisions", "write_decision"]

_YES = frozenset({"y", "yes", "ok", "okay", "approve", "approved", "true"})
_NO = frozenset({"n", "no", "deny", "denied", "false"})

_HINT = (
    'Send a part {"data": {"decision": "approve", "deny" or "answer", "approval": ID, "value": ...}}; '
    "the status message of the task has the approvals."
)


class _Word(msgspec.Struct, forbid_unknown_fields=True):
    decision: Literal["approve", "deny", "answer"]
    approval: str | None = None
    arguments: dict[str, Any] | None = None
    reason: str = ""
    value: Any = msgspec.UNSET


@attrs.frozen
class Decided:
    """A decision about an approval; `value` is an answer, or the arguments in place of the model's."""

    approval: Approval
    decision: Literal["approve", "deny", "answer"]
    value: Any = None
    reason: str = ""


def read_decisions(message: A2AMessage, pending: Sequence[Approval]) -> list[Decided]:
    """Return the decisions of the message about the pending approvals, each once. Raises `Refusal`.

    A text answers the only question, or says yes or no to all of them. Any other text is a refusal with a reason, so
    that nothing happens that nobody has allowed in so many words.
    """
    data = [part.data for part in message.parts if part.data is not msgspec.UNSET]
    words = [word for each in data for word in _list_words(each)]
    if words:
        found = [decided for word in words for decided in _apply_word(word, pending)]
        if len({each.approval.id for each in found}) < len(found):
            raise _refuse("the message decides an approval twice")
        return found
    text = "\n".join(part.text for part in message.parts if part.text is not None).strip()
    if data and len(pending) == 1 and pending[0].kind != "approval" and not (text and _takes_text(pending[0])):
        return [Decided(pending[0], "answer", data[0])]
    if not text:
        raise _refuse("the message does not answer the task's question")
    if len(pending) > 1 and any(each.kind != "approval" for each in pending):
        raise _refuse(f"the task has {len(pending)} questions, and the text does not say to which it belongs")
    return [_read_text(text, each) for each in pending]


def names_approval(message: A2AMessage) -> bool:
    """Return whether the message decides an approval by its id. Such a message is never one to the run itself."""
    return any("approval" in word for part in message.parts for word in _find_words(part.data))


def _list_words(data: Any) -> list[_Word]:
    """Return the decisions of a part of data, none for other data."""
    given = _find_words(data)
    try:
        return [msgspec.convert(each, _Word) for each in given]
    except msgspec.ValidationError as exc:
        raise _refuse(f"the decision cannot be read: {exc}") from exc


def _find_words(data: Any) -> list[dict[str, Any]]:
    if not isinstance(data, dict):
        return []
    given = data["decisions"] if isinstance(data.get("decisions"), list) else [data]
    return given if all(isinstance(each, dict) and "decision" in each for each in given) else []


def _apply_word(word: _Word, pending: Sequence[Approval]) -> list[Decided]:
    meant = [each for each in pending if word.approval in (None, each.id)]
    if not meant:
        raise _refuse(f"no approval {word.approval!r} is open")
    if word.decision == "answer":
        if word.value is msgspec.UNSET or len(meant) > 1:
            raise _refuse("an answer needs a `value`, and the `approval` if several are open")
        return [Decided(meant[0], "answer", word.value)]
    if word.arguments is not None and (word.decision == "deny" or len(meant) > 1):
        raise _refuse("`arguments` go with the decision 'approve' about one approval")
    return [Decided(each, word.decision, word.arguments, word.reason) for each in meant]


def _read_text(text: str, approval: Approval) -> Decided:
    plain = text.lower().rstrip(".!")
    if approval.kind == "approval":
        if plain in _YES:
            return Decided(approval, "approve")
        return Decided(approval, "deny", reason="" if plain in _NO else text)
    if approval.kind == "external":
        return Decided(approval, "answer", text)
    name, wanted = _find_field(approval)
    value = _read_value(text, plain, wanted)
    return Decided(approval, "answer", value if name is None or approval.call.name == ASK else {name: value})


def _takes_text(approval: Approval) -> bool:
    return approval.kind == "external" or _find_field(approval)[1].get("type") == "string"


def _find_field(approval: Approval) -> tuple[str | None, Mapping[str, Any]]:
    """Return the only field of the values in question, and its schema; no name for values with more fields."""
    schema = approval.schema or {}
    fields = schema.get("properties") or {}
    if len(fields) == 1:
        [(name, wanted)] = fields.items()
        return name, wanted
    return None, schema


def _read_value(text: str, plain: str, schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if kind == "boolean" and plain in _YES | _NO:
        return plain in _YES
    if kind == "string":
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text  # the runtime says what does not fit


def write_decision(approval: Approval) -> str:
    """Return the decision about an approval as text, for the history of a task."""
    if approval.status == "approved":
        return "approved" if approval.arguments is None else f"approved with {approval.arguments}"
    if approval.status == "denied":
        return approval.reason or "denied"
    if approval.status == "expired":
        return "no answer in time"
    value = approval.arguments or ""
    try:
        given = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value
    if isinstance(given, dict) and len(given) == 1:
        [given] = given.values()
    return given if isinstance(given, str) else msgspec.json.encode(given).decode()


def _refuse(problem: str) -> Refusal:
    return Refusal(INVALID_PARAMS, problem, _HINT, "message.parts")
