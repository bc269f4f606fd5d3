"""Texts, images, documents, videos and sounds as blocks of Converse. Pure.

Reference: Amazon Bedrock's API reference, "ImageBlock", "DocumentBlock", "VideoBlock", "AudioBlock" and "S3Location".
"""

from __future__ import annotations

import base64
import re
from typing import Any

from agno_rt.errors import UsageError
from agno_rt.media import described, inlined
from agno_rt.messages import Media, Part

__all__ = ["PartBuilder"]

_OFFICE = "application/vnd.openxmlformats-officedocument"
_FORMATS = {
    "image/png": ("image", "png"),
    "image/jpeg": ("image", "jpeg"),
    "image/gif": ("image", "gif"),
    "image/webp": ("image", "webp"),
    "application/pdf": ("document", "pdf"),
    "application/msword": ("document", "doc"),
    "application/vnd.ms-excel": ("document", "xls"),
    f"{_OFFICE}.wordprocessingml.document": ("document", "docx"),
    f"{_OFFICE}.spreadsheetml.sheet": ("document", "xlsx"),
    "video/mp4": ("video", "mp4"),
    "video/quicktime": ("video", "mov"),
    "video/x-matroska": ("video", "mkv"),
    "video/webm": ("video", "webm"),
    "video/mpeg": ("video", "mpeg"),
    "video/x-flv": ("video", "flv"),
    "video/x-ms-wmv": ("video", "wmv"),
    "video/3gpp": ("video", "three_gp"),
    "audio/mpeg": ("audio", "mp3"),
    "audio/wav": ("audio", "wav"),
    "audio/ogg": ("audio", "ogg"),
    "audio/flac": ("audio", "flac"),
    "audio/aac": ("audio", "aac"),
    "audio/mp4": ("audio", "m4a"),
    "audio/webm": ("audio", "webm"),
}
"""By media type, the kind of block and the format's name."""

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9()\[\]-]+")
_MOST_NAME = 190  # letters, of 200; the rest is for a number


class PartBuilder:
    """Builds the blocks of one request; documents of one name get numbers, because names must differ."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}

    def build(self, content: str | tuple[Part, ...]) -> list[dict[str, Any]]:
        """Return the parts as blocks, without blank texts, which the service refuses. Raises `UsageError` for media
        outside the format."""
        content = inlined(content)
        parts = (content,) if isinstance(content, str) else content
        return [self._build_part(part) for part in parts if not isinstance(part, str) or part.strip()]

    def _build_part(self, part: Part) -> dict[str, Any]:
        if isinstance(part, str):
            return {"text": part}
        kind, format_ = _FORMATS.get(part.media_type, ("", ""))
        if not kind:
            raise UsageError(
                f"{described(part)} cannot be sent as {part.media_type}",
                hint="Send images as PNG, JPEG, GIF or WebP, documents as PDF, Word or Excel, other files as text.",
            )
        block: dict[str, Any] = {"format": format_}
        if kind == "document":
            block["name"] = self._name_document(part.name)
        return {kind: {**block, "source": _build_source(part)}}

    def _name_document(self, name: str | None) -> str:
        """Return a name in the letters that the service allows, with a number if an earlier document has the name."""
        stem = (name or "").rpartition(".")[0] or name or ""
        cleaned = _NOT_IN_NAMES.sub(" ", stem)[:_MOST_NAME].strip() or "document"
        count = self._names[cleaned] = self._names.get(cleaned, 0) + 1
        return cleaned if count == 1 else f"{cleaned} ({count})"


def _build_source(media: Media) -> dict[str, Any]:
    if media.data is not None:
        return {"bytes": base64.b64encode(media.data).decode("ascii")}
    if media.url is not None and media.url.startswith("s3://"):
        return {"s3Location": {"uri": media.url}}
    raise UsageError(
        f"{described(media)} cannot be sent by its address, because Bedrock fetches from S3 alone",
        hint="Send the bytes, as in media.image(Path('cat.png')), or an address that begins with s3://.",
    )
