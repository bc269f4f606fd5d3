"""Gmail: search and read messages, mark them as read, write drafts and send drafts.

Reference: "Gmail API", version 1: `users.messages` (list, get, modify) and `users.drafts` (create, send).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Annotated, Any

import attrs
import trio
from msgspec import Meta

from agno_rt.errors import AgnoError
from agno_rt.tools import Tool
from agno_rt_services.google import GoogleAccess, GoogleSettings
from agno_rt_services.mail import write_message
from agno_rt_services.service import Definition, Service, quote_part
from agno_rt_services.texts import html_to_text, pick, shorten, show_part

__all__ = ["SERVICE", "GmailSettings"]

PART = 12_000
"""The most characters of a message in one result."""

AT_ONCE = 5
"""Requests for the heads of found messages at once."""

_DEEPEST = 20

Name = Annotated[str, Meta(min_length=1, max_length=200)]
User = Annotated[str, Meta(description="The mailbox; empty for the account's own.", max_length=320)]


@attrs.frozen(kw_only=True, slots=False)
class GmailSettings(GoogleSettings):
    """The settings of Gmail. A service account needs a `subject`: the person whose mailbox it uses."""

    base_url: str = "https://gmail.googleapis.com"
    scope: str = "https://www.googleapis.com/auth/gmail.modify"


def make_tools(service: Service) -> list[Tool]:
    """Make the tools of an open service."""
    return [
        _make_search(service),
        _make_get(service),
        _make_mark(service),
        _make_create_draft(service),
        _make_send_draft(service),
    ]


def _make_search(service: Service) -> Tool:
    @service.reading()
    async def gmail_search_messages(
        query: Annotated[str, Meta(max_length=1_000)] = "",
        limit: Annotated[int, Meta(ge=1, le=20)] = 10,
        page_token: Annotated[str, Meta(max_length=500)] = "",
        user_id: User = "",
    ) -> dict[str, Any]:
        """Search messages of Gmail, the newest first: their senders, subjects, dates and first words.

        Args:
            query: as in Gmail's own search, such as: from:ann@example.com is:unread newer_than:7d
            limit: the most messages
            page_token: the next_page_token of an earlier result, for the next page
        """
        path = f"{_root(user_id)}/messages"
        found = await service.get(path, q=query, maxResults=limit, pageToken=page_token)
        names = [pick(each, "id") for each in (found.get("messages") or [])[:limit]]
        messages = await _load_heads(service, path, [name for name in names if isinstance(name, str)])
        shown: dict[str, Any] = {"messages": messages, "count": len(messages)}
        token = found.get("nextPageToken")
        return shown | ({"next_page_token": token} if token else {})

    return gmail_search_messages


def _make_get(service: Service) -> Tool:
    @service.reading()
    async def gmail_get_message(
        message_id: Name, start: Annotated[int, Meta(ge=0)] = 0, user_id: User = ""
    ) -> dict[str, Any]:
        """Read a message of Gmail as text, with the names of its attachments. A long message comes in parts.

        Args:
            start: the next_start of an earlier result, for the next part
        """
        found = await service.get(f"{_root(user_id)}/messages/{quote_part(message_id)}", format="full")
        parts = list(_walk(found.get("payload")))
        files = [shorten(pick(part, "filename"), 200) for part in parts if pick(part, "filename")]
        return _show_head(found) | show_part(_read_text(parts), start, PART) | {"attachments": files[:20]}

    return gmail_get_message


def _make_mark(service: Service) -> Tool:
    @service.changing(idempotent=True)
    async def gmail_mark_as_read(message_id: Name, user_id: User = "") -> dict[str, Any]:
        """Mark a message of Gmail as read."""
        path = f"{_root(user_id)}/messages/{quote_part(message_id)}/modify"
        done = await service.post(path, {"removeLabelIds": ["UNREAD"]}, repeatable=True)
        return {"id": done.get("id"), "status": "read", "user_id": user_id or "me"}

    return gmail_mark_as_read


def _make_create_draft(service: Service) -> Tool:
    @service.changing()
    async def gmail_create_draft(
        to: Annotated[str, Meta(description="Addresses, with commas between them.", min_length=3, max_length=2_000)],
        subject: Annotated[str, Meta(max_length=500)],
        body: Annotated[str, Meta(max_length=100_000)],
        user_id: User = "",
    ) -> dict[str, Any]:
        """Write a draft of a message in Gmail. Nothing is sent: gmail_send_draft sends it."""
        raw = base64.urlsafe_b64encode(write_message(to, subject, body)).decode()
        made = await service.post(f"{_root(user_id)}/drafts", {"message": {"raw": raw}})
        return {"draft_id": made.get("id"), "message_id": pick(made, "message", "id"), "status": "draft"}

    return gmail_create_draft


def _make_send_draft(service: Service) -> Tool:
    @service.changing(destructive=True)
    async def gmail_send_draft(draft_id: Name, user_id: User = "") -> dict[str, Any]:
        """Send a draft of Gmail. A draft that was sent is gone, so it cannot be sent twice."""
        sent = await service.post(f"{_root(user_id)}/drafts/send", {"id": draft_id})
        return {"id": sent.get("id"), "thread_id": sent.get("threadId"), "status": "sent"}

    return gmail_send_draft


def _root(user_id: str) -> str:
    return f"gmail/v1/users/{quote_part(user_id or 'me')}"


async def _load_heads(service: Service, path: str, names: list[str]) -> list[dict[str, Any]]:
    """Return the heads of messages in their order. A list of messages has ids alone."""
    heads: dict[str, dict[str, Any]] = {}
    failures: list[AgnoError] = []
    limiter = trio.CapacityLimiter(AT_ONCE)
    fields = ["From", "To", "Subject", "Date"]

    async def load(name: str) -> None:
        async with limiter:
            try:
                if not failures:
                    found = await service.get(f"{path}/{quote_part(name)}", format="metadata", metadataHeaders=fields)
                    heads[name] = _show_head(found)
            except AgnoError as exc:
                failures.append(exc)

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(load, name)
    if failures:
        raise failures[0]
    return [heads[name] for name in names]


def _show_head(message: dict[str, Any]) -> dict[str, Any]:
    headers = pick(message, "payload", "headers")
    known = {
        each["name"].lower(): each.get("value")
        for each in (headers if isinstance(headers, list) else ())
        if isinstance(each, dict) and isinstance(each.get("name"), str)
    }
    labels = message.get("labelIds")
    return {
        "id": message.get("id"),
        "thread_id": message.get("threadId"),
        **{name: shorten(known.get(name)) for name in ("from", "to", "subject", "date")},
        "unread": "UNREAD" in (labels if isinstance(labels, list) else ()),
        "snippet": shorten(message.get("snippet")),
    }


def _walk(part: Any, depth: int = 0) -> Iterator[Any]:
    """Yield a part of a message and all parts within."""
    if isinstance(part, dict) and depth < _DEEPEST:
        yield part
        inner = part.get("parts")
        for each in inner if isinstance(inner, list) else ():
            yield from _walk(each, depth + 1)


def _read_text(parts: list[Any]) -> str:
    """Return the plain text of a message, else its HTML as text."""
    for kind in ("text/plain", "text/html"):
        texts = [_decode(part) for part in parts if pick(part, "mimeType") == kind and not pick(part, "filename")]
        if any(texts):
            text = "\n".join(texts)
            return html_to_text(text) if kind == "text/html" else text.replace("\r\n", "\n").strip()
    return ""


def _decode(part: Any) -> str:
    data = pick(part, "body", "data")
    if not isinstance(data, str):
        return ""
    try:
        return base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


SERVICE = Definition("gmail", "GMAIL_ACCESS_TOKEN", make_tools, GmailSettings, access=GoogleAccess)
