"""Makes the values that stored runs need: records of forks, persons' values as JSON. Pure."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from agno_rt._drive.ids import new_id
from agno_rt._schema.json_values import check_numbers
from agno_rt._schema.pydantic_types import plain_value
from agno_rt.errors import UsageError
from agno_rt.run_store import REQUEST, RunRecord

__all__ = ["NO_RESULT", "encode_value", "fork_record", "run_of"]

NO_RESULT: Any = attrs.NOTHING
"""No result given: `None` is the result of a step."""


def encode_value(value: Any, *, needed: bool) -> str | None:
    """Encode a person's arguments or answer as JSON; `None` is an answer only if `needed`. Raises `UsageError`."""
    if value is None and not needed:
        return None
    try:
        text = msgspec.json.encode(value, enc_hook=plain_value)
        if b"null" in text:
            check_numbers(value, plain_value)
        return text.decode()
    except (TypeError, ValueError) as exc:
        raise UsageError(f"the given value cannot be stored: {exc}", hint="Give a value that JSON can carry.") from exc


def fork_record(record: RunRecord) -> RunRecord:
    """Return a record for a fork of `record`: paused, without an owner, an end or an error."""
    return attrs.evolve(
        record,
        id=new_id(),
        status="paused",
        origin=record.id,
        content="",
        error=None,
        code=None,
        owner=None,
        cancel_requested=False,
        entries=0,
        created_at=0.0,
        updated_at=0.0,
        wakes_at=None,
        continues=None,
        continued_by=None,
        request=REQUEST.get(),
    )


def run_of(approval: str) -> str:
    """Return the run's id, with which an approval's id begins."""
    return approval.partition(".")[0]
