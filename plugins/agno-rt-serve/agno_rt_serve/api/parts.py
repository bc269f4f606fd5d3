"""What clients attach to an input: images, audio, video and files, as bytes or by URL. Knows neither API's JSON.

Nothing is read from this machine and nothing is fetched: a URL of http or https is passed on to the model's provider.
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
    """What may be attached: so many bytes in one part, and whether by URL."""

    max_bytes: int
    urls: bool = True


@attrs.frozen
class Attached:
    """A part as a client sent it: `data` as bytes or in base64, or else a `url`, of `data:` too."""

    kind: MediaKind
    data: bytes | str | None = None
    url: str | None = None
    media_type: str | None = None
    name: str | None = None


def make(part: Attached, accepts: Accepts) -> Media:
    """The part for a message. Raises `HttpError` 400 for what is no such media, 413 for what is too large."""
    if (part.data is None) == (part.url is None):
        problem = "has neither data nor a url" if part.data is None else "has both data and a url"
        raise _bad(problem, f'Send {{"type": "{part.kind}", "data": BASE64}}, or "url" in place of "data".')
    source = _url(part.url, accepts) if part.url is not None else _bytes(part.data or b"", accepts)
    try:
        # Sizes are checked here, with a hint for whoever runs the server: the kernel's own bound is out of the way.
        made = _MAKERS[part.kind](
            source, media_type=part.media_type, name=part.name, max_bytes=2 * accepts.max_bytes + 100
        )
    except UsageError as exc:
        raise _bad(exc.message, exc.hint) from exc
    _check_size(len(made.data or b""), accepts)
    return made


def _url(url: str, accepts: Accepts) -> str:
    """The URL, which must be one: to the kernel a text of any other form is the path of a file on this machine."""
    url = url.strip()
    scheme = url.partition(":")[0].lower()
    if scheme == "data":
        head, _, body = url.partition(",")
        if "base64" in head:
            _check_size(_at_least(body), accepts)
    elif not url.lower().startswith(("http://", "https://")):
        raise _bad("has a url that is not of http, https or data", "Send a URL, or the bytes as data in base64.")
    elif not accepts.urls:
        hint = "Send the bytes, or allow it: media_urls = true in [plugins.serve]."
        raise _bad("is given by its URL, which is not allowed here", hint)
    return url


def _bytes(data: bytes | str, accepts: Accepts) -> bytes:
    if isinstance(data, str):
        _check_size(_at_least(data), accepts)
        try:
            data = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise _bad(
                f"has data that are no base64: {exc}", "Encode the file's bytes in base64, padding too."
            ) from exc
    _check_size(len(data), accepts)
    return data


def _at_least(base64_text: str) -> int:
    """How many bytes it is, padding set aside; known before they are made."""
    return max(0, len(base64_text) * 3 // 4 - 2)


def _check_size(size: int, accepts: Accepts) -> None:
    if size > accepts.max_bytes:
        hint = "Make it smaller, or raise max_media in [plugins.serve]."
        raise HttpError(413, "too_large", f"has more than {accepts.max_bytes:,} bytes", hint)


def _bad(problem: str, hint: str) -> HttpError:
    return HttpError(400, "invalid_media", problem, hint)
