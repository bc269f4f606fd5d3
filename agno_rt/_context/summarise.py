"""Asks a model for the summary of the messages that a run's model no longer sees."""

from __future__ import annotations

from collections.abc import Sequence

from agno_rt._decide.compaction import bound_summary
from agno_rt._decide.summary import PIECE_TOKENS, pieces, summary_request
from agno_rt._drive.ask_model import ask_aside
from agno_rt._drive.job import Job
from agno_rt.errors import AgnoError
from agno_rt.memory import Summary
from agno_rt.messages import Message
from agno_rt.models import ModelRequest, profile_of

__all__ = ["ask_summary", "summarise"]

READ = 0.6
"""The share of a context that one piece of the conversation may have, beside the prompt and wrong estimates."""


async def summarise(job: Job, asked: Summary, old: str, messages: Sequence[Message], window: int | None) -> str:
    """Return a summary of the old summary and the messages; "" if the model fails. The run pays for the summary.

    `window` is the context of the run's model, for a model of summaries whose context is unknown.
    """
    known = profile_of(job.resolved.summarizer or job.resolved.model).context or window
    tokens = PIECE_TOKENS
    if known is not None:
        # Pieces are measured in characters, which have more tokens in scripts other than Latin.
        texts = [message.text for message in messages]
        weight = sum(len(text.encode()) for text in texts) / max(1, sum(map(len, texts)))
        tokens = int((known * READ - 2 * asked.tokens) / max(1.0, weight))
    text = old
    for piece in pieces(messages, tokens):
        text = await ask_summary(job, asked, summary_request(asked, text, piece, tokens, job.asked.user))
        if not text:
            break
    return text


async def ask_summary(job: Job, asked: Summary, request: ModelRequest) -> str:
    """Ask for a summary; return "" if the model fails or writes nothing. The request does not count as a turn."""
    resolved = job.resolved
    try:
        response = await ask_aside(job, resolved.summarizer or resolved.model, request)
    except AgnoError:
        return ""
    return bound_summary(response.content.strip(), asked.tokens)
