"""Slack: list channels, read messages, send messages.

Reference: "Slack Web API": `conversations.list`, `conversations.history`, `conversations.replies`, `chat.postMessage`.
Slack answers a refusal with status 200 and `"ok": false`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import attrs
from msgspec import Meta

from agno_rt.tools import Tool
from agno_rt_services.errors import ServiceError
from agno_rt_services.service import Definition, Service
from agno_rt_services.settings import ServiceSettings
from agno_rt_services.texts import pick, shorten

__all__ = ["SERVICE", "SlackSettings"]

MOST_TEXT = 2_000

Channel = Annotated[str, Meta(description="The id of the channel, such as C0123456789.", min_length=1, max_length=100)]
Cursor = Annotated[str, Meta(description="The next_cursor of an earlier result, for the next page.", max_length=500)]
Thread = Annotated[str, Meta(max_length=50)]

_KEY_ERRORS = ("invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive")
_HINTS = {
    "channel_not_found": "List the channels for the id, or ask a person to invite the app.",
    "not_in_channel": "A person has to invite the app to the channel.",
    "missing_scope": "The app lacks a permission: a person has to add it.",
    "msg_too_long": "Send less at once.",
    "thread_not_found": "Read the messages of the channel for the ts of a thread.",
}


@attrs.frozen(kw_only=True, slots=False)
class SlackSettings(ServiceSettings):
    """The settings of Slack."""

    base_url: str = "https://slack.com/api"


def make_tools(service: Service) -> list[Tool]:
    """Make the tools of an open service."""

    @service.reading()
    async def slack_list_channels(
        limit: Annotated[int, Meta(ge=1, le=200)] = 100, cursor: Cursor = ""
    ) -> dict[str, Any]:
        """List the channels of Slack that the app can see."""
        found = await service.get("conversations.list", limit=limit, cursor=cursor, exclude_archived="true")
        _check(service, found)
        channels = [
            {
                "id": pick(each, "id"),
                "name": pick(each, "name"),
                "topic": shorten(pick(each, "topic", "value"), 200),
                "is_member": pick(each, "is_member"),
            }
            for each in found.get("channels") or []
        ]
        return {"channels": channels, "count": len(channels)} | _read_cursor(found)

    @service.reading()
    async def slack_read_messages(
        channel: Channel, thread_ts: Thread = "", limit: Annotated[int, Meta(ge=1, le=50)] = 15, cursor: Cursor = ""
    ) -> dict[str, Any]:
        """Read the messages of a channel of Slack, the newest first, or those of a thread in their order.

        Args:
            thread_ts: the ts of the first message of a thread; empty for the channel
        """
        method = "conversations.replies" if thread_ts else "conversations.history"
        found = await service.get(method, channel=channel, ts=thread_ts, limit=limit, cursor=cursor)
        _check(service, found)
        messages = [_show_message(each) for each in found.get("messages") or []]
        return {"messages": messages, "count": len(messages)} | _read_cursor(found)

    @service.changing()
    async def slack_send_message(
        channel: Channel, text: Annotated[str, Meta(min_length=1, max_length=4_000)], thread_ts: Thread = ""
    ) -> dict[str, Any]:
        """Send a message to a channel of Slack.

        Args:
            text: the message, in Slack's own format: *bold*, _italic_, <https://example.com|a link>
            thread_ts: the ts of the message to answer in its thread
        """
        body = {"channel": channel, "text": text, **({"thread_ts": thread_ts} if thread_ts else {})}
        sent = await service.post("chat.postMessage", body)
        _check(service, sent)
        return {"channel": sent.get("channel"), "ts": sent.get("ts"), "status": "sent"}

    return [slack_list_channels, slack_read_messages, slack_send_message]


def _check(service: Service, found: dict[str, Any]) -> None:
    """Raise `ServiceError` for an answer that is a refusal."""
    if found.get("ok") is True:
        return
    error = shorten(found.get("error"), 100) or "no reason"
    hint = _HINTS.get(error, "")
    if error in _KEY_ERRORS:
        hint = "The token is refused: a person has to replace it. Another call does not help."
    if needed := shorten(found.get("needed"), 100):
        hint = f"{hint} Needed: {needed}.".strip()
    raise ServiceError(f"{service.name} refused: {error}", hint=hint)


def _show_message(message: Any) -> dict[str, Any]:
    text = pick(message, "text")
    text = text if isinstance(text, str) else ""
    shown = {
        "ts": pick(message, "ts"),
        "time": _read_time(pick(message, "ts")),
        "user": pick(message, "user") or pick(message, "bot_id"),
        "text": text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}...",
    }
    replies = pick(message, "reply_count")
    return shown | ({"replies": replies} if replies else {})


def _read_time(stamp: Any) -> str:
    try:
        return datetime.fromtimestamp(float(stamp), UTC).isoformat(timespec="seconds")
    except (TypeError, ValueError, OverflowError, OSError):
        return ""


def _read_cursor(found: dict[str, Any]) -> dict[str, str]:
    cursor = pick(found, "response_metadata", "next_cursor")
    return {"next_cursor": cursor} if isinstance(cursor, str) and cursor else {}


SERVICE = Definition("slack", "SLACK_BOT_TOKEN", make_tools, SlackSettings)
