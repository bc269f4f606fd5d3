"""The parts of a message's content, in chat completions and in responses alike. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agno_rt.messages import Content, Part
from agno_rt_serve.api.openai.refused import Refused
from agno_rt_serve.api.parts import Accepts, Attached, make
from agno_rt_serve.errors import HttpError

__all__ = ["ContentPart", "convert_content"]


class _Url(msgspec.Struct):
    url: str


class _Audio(msgspec.Struct):
    data: str
    format: str = "wav"


class _File(msgspec.Struct):
    file_data: str | None = None
    filename: str | None = None


class ContentPart(msgspec.Struct):
    """A part of either format: chat completions put a file's fields into `file`, responses put them here."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _Url | str | None = None
    video_url: _Url | str | None = None
    input_audio: _Audio | None = None
    file: _File | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None


def convert_content(
    content: str | Sequence[ContentPart] | None, where: str, accepts: Accepts, takes: Sequence[str]
) -> Content:
    """Return the content; parts are joined if all of them are text. `takes` are the types of parts of the format.

    Raises `Refused` that names the part and the fault.
    """
    if content is None or isinstance(content, str):
        return content or ""
    parts = tuple(_convert_part(part, f"{where}[{at}]", accepts, takes) for at, part in enumerate(content))
    return "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else parts


def _convert_part(part: ContentPart, where: str, accepts: Accepts, takes: Sequence[str]) -> Part:
    found = _read_part(part) if part.type in takes else None
    if found is None:
        raise Refused(
            f"{where} is of type {part.type!r}, or lacks the content of its type",
            where,
            f"Supported: {', '.join(takes)}.",
        )
    if isinstance(found, str):
        return found
    try:
        return make(found, accepts)
    except HttpError as exc:
        raise Refused(f"{where} {exc.message}", where, exc.hint, exc.status) from exc


def _read_part(part: ContentPart) -> str | Attached | None:
    found: str | Attached | None = None
    match part:
        case ContentPart(type="refusal"):
            found = part.refusal
        case ContentPart(type="text" | "input_text" | "output_text"):
            found = part.text
        case ContentPart(type="image_url" | "input_image", image_url=_Url(url=url) | str(url)):
            found = Attached("image", url=url)
        case ContentPart(type="video_url" | "input_video", video_url=_Url(url=url) | str(url)):
            found = Attached("video", url=url)
        case ContentPart(type="input_audio", input_audio=_Audio(data=data, format=format_)):
            found = Attached("audio", data, media_type=f"audio/{format_}")
        case ContentPart(type="file", file=_File(file_data=str(data), filename=name)):
            found = _attach_file(data, name)
        case ContentPart(type="input_file", file_data=str(data), file_url=None, filename=name):
            found = _attach_file(data, name)
        case ContentPart(type="input_file", file_data=None, file_url=str(url), filename=name):
            found = Attached("file", url=url, name=name)
    return found


def _attach_file(data: str, name: str | None) -> Attached:
    by_url = data[:5].lower() == "data:"
    return Attached("file", None if by_url else data, data if by_url else None, name=name)
