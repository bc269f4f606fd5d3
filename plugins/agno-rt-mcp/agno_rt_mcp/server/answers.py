"""Results of runs as results of tool calls: texts, media and structured content."""

from __future__ import annotations

import base64
from typing import Any

import mcp_types as types
import msgspec

from agno_rt import RunResult
from agno_rt.messages import Media, Message
from agno_rt.output import plain_value
from agno_rt.run_store import Approval
from agno_rt_mcp.server.approvals import describe
from agno_rt_mcp.server.offers import Offer

__all__ = ["RESUME", "RUN_KEY", "make_answer", "make_error", "make_paused", "make_stored"]

RUN_KEY = "agno-rt/run"
"""The key of the run's id in a result's `_meta`."""

RESUME = "resume_run"
"""The tool for clients that cannot ask their users."""

_encode = msgspec.json.Encoder(enc_hook=plain_value).encode


def make_answer(offer: Offer, result: RunResult, *, failed: bool = False) -> types.CallToolResult:
    """Return the result of a completed run; `failed` for a direct call whose tool failed."""
    if offer.tool:
        parts = _find_parts(result)
        return types.CallToolResult(content=parts, is_error=failed, _meta={RUN_KEY: result.run_id})
    output = None if result.output is None else msgspec.json.decode(_encode(result.output))
    if offer.wraps:
        output = {"result": output}
    structured = output if offer.output_schema is not None or isinstance(output, dict) else None
    return types.CallToolResult(
        content=_make_text(result.content), structured_content=structured, _meta={RUN_KEY: result.run_id}
    )


def make_stored(offer: Offer, run: str, content: str) -> types.CallToolResult:
    """Return the result of a run that was completed before, of which the text is known."""
    structured = None
    if offer.output_schema is not None:
        found = msgspec.json.decode(content)
        structured = {"result": found} if offer.wraps else found
    return types.CallToolResult(content=_make_text(content), structured_content=structured, _meta={RUN_KEY: run})


def make_error(text: str, run: str | None = None) -> types.CallToolResult:
    """Return a failure, with the text for the client's model."""
    meta = {RUN_KEY: run} if run else None
    return types.CallToolResult(content=_make_text(text), is_error=True, _meta=meta)


def make_paused(
    offer: Offer, run: str, approvals: tuple[Approval, ...], *, can_return: bool, problem: str = ""
) -> types.CallToolResult:
    """Return the answer for a client whose user cannot be asked: the run waits, and how to go on."""
    lines = [problem] if problem else []
    lines.append(f"The run {run} is paused until a person decides:")
    lines += [f"- {describe(each)}" for each in approvals]
    if can_return:
        lines.append(
            f"Ask the user to decide with `agno-rt approvals`, or on the page of `agno-rt serve`. Then call {RESUME} "
            f'with {{"run": "{run}"}} for the result.'
        )
    else:
        lines.append("Sign in to come back to it: anonymous callers cannot.")
    # A structured tool owes its schema to every client, unless the call failed.
    return types.CallToolResult(
        content=_make_text("\n".join(lines)), is_error=offer.output_schema is not None, _meta={RUN_KEY: run}
    )


def _make_text(text: str) -> list[Any]:
    return [types.TextContent(text=text)] if text else []


def _find_parts(result: RunResult) -> list[Any]:
    """Return the content of the tool's message: the last one, since a resumed run repeats none."""
    found: Message | None = next((each for each in reversed(result.messages) if each.role == "tool"), None)
    if found is None:
        return _make_text(result.content)
    if isinstance(found.content, str):
        return _make_text(found.content)
    return [_make_part(each) for each in found.content]


def _make_part(part: str | Media) -> Any:
    if isinstance(part, str):
        return types.TextContent(text=part)
    if part.data is None:
        name = part.name or part.kind
        return types.ResourceLink(name=name, uri=part.url or "", mime_type=part.media_type)
    data = base64.b64encode(part.data).decode()
    if part.kind == "image":
        return types.ImageContent(data=data, mime_type=part.media_type)
    if part.kind == "audio":
        return types.AudioContent(data=data, mime_type=part.media_type)
    uri = f"attachment:{part.name or part.kind}"
    return types.EmbeddedResource(resource=types.BlobResourceContents(uri=uri, blob=data, mime_type=part.media_type))
