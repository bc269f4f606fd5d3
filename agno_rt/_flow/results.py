"""Writes the result of a run within a flow for the journal, and reads the result of an earlier process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from agno_rt._decide.flow_journal import StoredResult, store_result
from agno_rt._decide.journal import StepEnded
from agno_rt._schema.generics import OutputT
from agno_rt._schema.pydantic_types import plain_value
from agno_rt.models import NO_USAGE
from agno_rt.result import RunResult
from agno_rt.runnable import Runnable

__all__ = ["read_result", "write_result"]


def write_result(result: RunResult[Any]) -> bytes:
    """Return the result as JSON; the output is left out for a run without an output."""
    output = b"" if result.output is None else _ENCODER.encode(result.output)
    return msgspec.json.encode(store_result(result, output))


def read_result(
    runnable: Runnable[Any, OutputT], done: StepEnded, read_output: Callable[[Runnable, str, bytes], Any]
) -> RunResult[OutputT]:
    """Return the result of a run within, carried out by an earlier process."""
    stored = msgspec.json.decode(done.value, type=StoredResult)
    return RunResult(
        done.run or "",
        "completed",
        stored.content,
        read_output(runnable, stored.content, bytes(stored.output)),
        stored.messages,
        done.usage or NO_USAGE,
        finish_reason=stored.finish_reason,
        reasoning=stored.reasoning,
    )


def _encode_part(value: Any) -> Any:
    return plain_value(value, round_trip=True)


_ENCODER = msgspec.json.Encoder(enc_hook=_encode_part)
