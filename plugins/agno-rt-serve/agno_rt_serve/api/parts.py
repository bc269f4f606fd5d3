"""Attachments of an input: images, audio, video and files, as bytes or by URL. Knows neither API's JSON.

No file of this machine is read, and nothing is fetched. A URL of http or https is passed on to the model's provider.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

import attrs

from agno_rt import Media, media
from agno_rt.errors import UsageError
from agno_rt.messages import MediaKind
from agno_rt_serve.errors import HttpError

__all__ = ["Accepts", "Attached", "make"]

_MAKERS: dict[MediaKind, Callable[..., Media]] = {
    "image": media.image,
    "audio": media.audio,
    "video": media.video,
    "file": media.file,
}


@attrs.frozen
class Accepts:
    """The bounds of attachments: the most bytes in one part, and whether URLs are allowed."""

    max_bytes: int
    urls: bool = True


@attrs.frozen
class Attached:
    """A part as a client sent it: `data` as bytes or in base64, or else a `url`, also of `data:`."""

    kind: MediaKind
    data: bytes | str | None = None
    url: str | None = None
    media_type: str | None = None
    name: str | None = None


def make(part: Attached, accepts: Accepts) -> Media:
    """Return the part for a message. Raises `HttpError` 400 for data of another kind, 413 for a part too large."""
    if (part.data is None) == (part.url is None):
        problem = "has neither data nor a url" if part.data is None else "has both data and a url"
        raise _bad_media(problem, f'Send {{"type": "{part.kind}", "data": BASE64}}, or "url" in place of "data".')
    source = _check_url(part.url, accepts) if part.url is not None else _decode_bytes(part.data or b"", accepts)
    try:
        # The size is checked below, with a hint about the server's setting; so the kernel's own bound is set higher.
        made = _MAKERS[part.kind](
            source, media_type=part.media_type, name=part.name, max_bytes=2 * accepts.max_bytes + 100
        )
    except UsageError as exc:
        raise _bad_media(exc.message, exc.hint) from exc
    _check_size(len(made.data or b""), accepts)
    return made


def _check_url(url: str, accepts: Accepts) -> str:
    """Return the URL after checking its scheme: the kernel would read any other text as a path on this machine."""
    url = url.strip()
    scheme = url.partition(":")[0].lower()
    if scheme == "data":
        head, _, body = url.partition(",")
        if "base64" in head:
            _check_size(_estimate_size(body), accepts)
    elif not url.lower().startswith(("http://", "https://")):
        raise _bad_media("has a url that is not of http, https or data", "Send a URL, or the bytes as data in base64.")
    elif not accepts.urls:
        hint = "Send the bytes, or allow it: media_urls = true in [plugins.serve]."
        raise _bad_media("is given by its URL, which is not allowed here", hint)
    return url


def _decode_bytes(data: bytes | str, accepts: Accepts) -> bytes:
    if isinstance(data, str):
        _check_size(_estimate_size(data), accepts)
        try:
            data = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise _bad_media(
                f"has data that is not base64: {exc}", "Encode the file's bytes in base64, with padding."
            ) from exc
    _check_size(len(data), accepts)
    return data


def _estimate_size(base64_text: str) -> int:
    """Return the decoded size less padding, without decoding."""
    return max(0, len(base64_text) * 3 // 4 - 2)


def _check_size(size: int, accepts: Accepts) -> None:
    if size > accepts.max_bytes:
        hint = "Make it smaller, or raise max_media in [plugins.serve]."
        raise HttpError(413, "too_large", f"has more than {accepts.max_bytes:,} bytes", hint)


def _bad_media(problem: str, hint: str) -> HttpError:
    return HttpError(400, "invalid_media", problem, hint)
