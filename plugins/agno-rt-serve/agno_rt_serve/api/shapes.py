"""The types of answers that are values of the kernel with a field more or less, for the description of routes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, get_type_hints

import attrs
import msgspec

from agno_rt.memory import SessionInfo
from agno_rt.messages import Message
from agno_rt.run_store import Approval, RunRecord
from agno_rt.steps import Step

__all__ = ["ApprovalShown", "Deleted", "RunDetail", "RunShown", "SessionShown", "shape_of"]


class Deleted(msgspec.Struct):
    """The thing is gone."""

    deleted: bool


def shape_of(kind: type, name: str, *, without: Collection[str] = (), **more: Any) -> Any:
    """Return a Struct with the fields of an attrs class, except for those `without`, and `more` fields by name."""
    hints = get_type_hints(kind)
    fields = {each.name: hints[each.name] for each in attrs.fields(kind) if each.name not in without} | more
    made = msgspec.defstruct(name, list(fields.items()), module=__name__)
    made.__doc__ = (kind.__doc__ or "").partition("\n")[0]
    return made


_Approval: Any = shape_of(Approval, "ApprovalShown", parameters=dict[str, Any] | None)
ApprovalShown = _Approval
RunShown = shape_of(RunRecord, "RunShown", without=("owner",), stopped=bool)
RunDetail = shape_of(
    RunRecord, "RunDetail", without=("owner",), stopped=bool, approvals=list[_Approval], steps=list[Step]
)
SessionShown = shape_of(SessionInfo, "SessionShown", total=int, messages=list[Message])
