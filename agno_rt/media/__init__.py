"""Images, sound, video and files for a model: made here, with their type found out and checked; checked for a model.

Nothing is fetched: a URL is passed on to the provider, which fetches it or refuses. Reading a file blocks for as long
as the disk takes; in a program that must not be held up, call these in a thread (`trio.to_thread.run_sync`).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, get_args
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import attrs

from agno_rt.errors import UsageError
from agno_rt.media.types import BY_SUFFIX, SNIFFED, canonical, is_text_type, sniff, suffix_of
from agno_rt.messages import Media, MediaKind, Message
from agno_rt.models import ModelProfile

__all__ = [
    "MAX_BYTES",
    "MAX_REQUEST_BYTES",
    "Source",
    "attachment",
    "audio",
    "check_content",
    "check_media",
    "data_url",
    "described",
    "file",
    "image",
    "inlined",
    "readable",
    "video",
]

MAX_BYTES = 20 * 2**20
"""Bytes that one part may have, unless it is made with another `max_bytes`."""

MAX_REQUEST_BYTES = 50 * 2**20
"""Bytes that the media of one request may have together."""

Source: TypeAlias = str | Path | bytes | bytearray | memoryview
"""Where media come from: the path of a file, their bytes, or a URL (https, http or data)."""

_KINDS: tuple[MediaKind, ...] = get_args(MediaKind)
_BINARY = "application/octet-stream"
_SHOWN = 60


def image(
    source: Source, *, media_type: str | None = None, name: str | None = None, max_bytes: int = MAX_BYTES
) -> Media:
    """An image. Its type is found in its bytes; a `media_type`, or a file's ending, that says otherwise is an error.

    `name` is what the model and errors call it; by default the file's own. Raises `UsageError` for a file that is not
    there or cannot be read, for what is empty, larger than `max_bytes`, or no image.
    """
    return _make("image", source, media_type, name, max_bytes)


def audio(
    source: Source, *, media_type: str | None = None, name: str | None = None, max_bytes: int = MAX_BYTES
) -> Media:
    """A piece of audio; as `image`."""
    return _make("audio", source, media_type, name, max_bytes)


def video(
    source: Source, *, media_type: str | None = None, name: str | None = None, max_bytes: int = MAX_BYTES
) -> Media:
    """A video; as `image`."""
    return _make("video", source, media_type, name, max_bytes)


def file(
    source: Source, *, media_type: str | None = None, name: str | None = None, max_bytes: int = MAX_BYTES
) -> Media:
    """A file of any type, a PDF or a text for instance; as `image`. One of text can be read by every model."""
    return _make("file", source, media_type, name, max_bytes)


def attachment(
    source: Source, *, media_type: str | None = None, name: str | None = None, max_bytes: int = MAX_BYTES
) -> Media:
    """An image, audio, a video or else a file, whichever it is by its type; as `image`."""
    made = _make("file", source, media_type, name, max_bytes)
    kind: MediaKind = next(kind for kind in _KINDS if _is_kind(kind, made.media_type))
    return attrs.evolve(made, kind=kind)


def check_content(content: object) -> None:
    """Raise `UsageError` unless this is what a message may hold: text, or a tuple of texts and well-formed media."""
    if isinstance(content, str):
        return
    if not isinstance(content, tuple):
        hint = "Give a str, or a tuple of str and Media."
        raise UsageError(f"a message's content is {type(content).__name__}", hint=hint)
    for at, part in enumerate(content):
        if isinstance(part, Media):
            _check_part(part, f"part {at} of a message")
        elif not isinstance(part, str):
            hint = "A part is a str, or a Media: make one with agno_rt.media, as in image('cat.png')."
            raise UsageError(f"part {at} of a message is {type(part).__name__}", hint=hint)


def check_media(
    messages: Iterable[Message], profile: ModelProfile, model: str, *, max_bytes: int = MAX_REQUEST_BYTES
) -> None:
    """Raise `UsageError` for media that the model does not take, or for more than `max_bytes` of them together.

    A file of text is text, so that every model takes it. Where the profile does not say what media a model takes, the
    provider is left to refuse.
    """
    size = 0
    for message in messages:
        for media in message.media:
            size += len(media.data or b"")
            if size > max_bytes:
                raise UsageError(
                    f"the media for the model {model} have more than {max_bytes:,} bytes together",
                    hint="Send fewer or smaller ones; those of the session's history count too.",
                )
            if profile.media is not None and not _is_text(media) and not _takes(profile.media, media.media_type):
                raise UsageError(
                    f"the model {model} takes no {media.media_type}, and was given {described(media)}",
                    hint=f"It takes {', '.join(profile.media)}." if profile.media else "It takes text alone.",
                )


def readable(messages: Sequence[Message], profile: ModelProfile) -> tuple[Message, ...]:
    """The messages with media that the model does not take put in words, as `described` has them.

    For what came before a run, and for what its tools return: neither is what the caller sent to this model.
    """
    takes = profile.media
    if takes is None or not any(message.media for message in messages):
        return tuple(messages)
    return tuple(_readable(message, takes) if message.media else message for message in messages)


def _readable(message: Message, takes: Sequence[str]) -> Message:
    parts = tuple(
        described(part)
        if isinstance(part, Media) and not _is_text(part) and not _takes(takes, part.media_type)
        else part
        for part in message.content
    )
    return attrs.evolve(message, content=parts)


def inlined(content: str | tuple[str | Media, ...]) -> str | tuple[str | Media, ...]:
    """The content with each file of text put in as text, under its name; text alone where nothing else is left."""
    if isinstance(content, str):
        return content
    parts = tuple(_as_text(part) if isinstance(part, Media) and _is_text(part) else part for part in content)
    return "\n\n".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else parts


def data_url(media: Media) -> str:
    """The media as a URL: their own, or their bytes in a `data:` URL."""
    if media.data is None:
        return media.url or ""
    return f"data:{media.media_type};base64,{base64.b64encode(media.data).decode('ascii')}"


def described(media: Media) -> str:
    """What a person is shown in place of the media: `[image cat.png, 12 kB]`."""
    name = media.name or (_shortened(media.url) if media.url else media.media_type)
    size = "" if media.data is None else f", {_size(len(media.data))}"
    return f"[{media.kind} {name}{size}]"


@attrs.frozen
class _Found:
    """What is known of a source before its type is."""

    what: str
    data: bytes | None = None
    url: str | None = None
    name: str | None = None
    said: str = ""
    """The type that the source itself gives: a `data:` URL's."""


def _make(kind: MediaKind, source: Source, media_type: str | None, name: str | None, max_bytes: int) -> Media:
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:
        raise UsageError(f"max_bytes is {max_bytes!r}", hint="Give a whole number of at least 1.")
    found = _find(kind, source, name, max_bytes)
    said = canonical(media_type) if media_type is not None else canonical(found.said)
    if media_type is not None and (not said or "*" in said):
        raise UsageError(f"media_type is {media_type!r}", hint="Write it as in 'image/png'.")
    name = found.name if name is None else name
    name = None if name is None else _clean(name)
    by_name = BY_SUFFIX.get(suffix_of(name or ""), "")
    if found.data is None:
        type_ = said or by_name or (f"{kind}/*" if kind != "file" else _BINARY)
        if not _is_kind(kind, type_):
            raise _no_kind(found.what, kind, type_)
        return Media(kind, type_, None, found.url, name)
    return Media(kind, _type_of(found, kind, said, by_name), found.data, None, name)


def _find(kind: MediaKind, source: Source, name: str | None, max_bytes: int) -> _Found:
    if isinstance(source, bytes | bytearray | memoryview):
        what = name or f"the {kind}"
        return _Found(what, _checked(bytes(source), what, max_bytes))
    if isinstance(source, str):
        scheme, colon, rest = source.partition(":")
        if colon and scheme.strip().lower() == "data":
            return _from_data_url(rest, name or f"the data: URL of the {kind}", max_bytes)
        if colon and rest.startswith("//"):
            return _from_url(source.strip())
    if not isinstance(source, str | Path) or not str(source):
        hint = "Give a path, bytes, or a URL."
        raise UsageError(f"the source of the {kind} is {source!r}", hint=hint)
    path, what = Path(source), _clean(str(source))
    return _Found(what, _read(path, what, max_bytes), name=path.name)


def _read(path: Path, what: str, max_bytes: int) -> bytes:
    try:
        if path.is_dir():
            raise UsageError(f"{what} is a folder", hint="Name a file in it.")
        if path.exists() and not path.is_file():
            raise UsageError(f"{what} is no regular file", hint="Read it yourself, and give its bytes.")
        if (size := path.stat().st_size) > max_bytes:
            raise _too_large(what, f"{size:,} bytes", max_bytes)
        with path.open("rb") as opened:
            # It may have grown since it was asked for its size.
            data = opened.read(max_bytes + 1)
    except FileNotFoundError as exc:
        hint = f"Looked in {Path.cwd()}." if not path.is_absolute() else "Check its path."
        raise UsageError(f"there is no file {what}", hint=hint) from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise UsageError(f"{what!r} cannot be read: {reason}", hint="Check its path and permissions.") from exc
    return _checked(data, what, max_bytes)


def _checked(data: bytes, what: str, max_bytes: int) -> bytes:
    if not data:
        raise UsageError(f"{what} is empty", hint="Give something with bytes in it.")
    if len(data) > max_bytes:
        # Of a file that grew, no more than that one has been read.
        raise _too_large(what, f"{len(data):,} bytes" if len(data) > max_bytes + 1 else "more", max_bytes)
    return data


def _too_large(what: str, size: str, max_bytes: int) -> UsageError:
    hint = "Make it smaller, or give a larger max_bytes, as far as the provider takes it."
    return UsageError(f"{what} is too large: it has {size}, and at most {max_bytes:,} bytes may be sent", hint=hint)


def _from_data_url(rest: str, what: str, max_bytes: int) -> _Found:
    """The bytes in a `data:` URL, without its scheme (RFC 2397)."""
    head, comma, body = rest.partition(",")
    said, *parameters = (part.strip() for part in head.split(";"))
    if not comma:
        raise UsageError(f"{what} has no comma", hint="Write it as in data:image/png;base64,iVBOR...")
    if said and not canonical(said):
        raise UsageError(f"{what} gives the media type {_shortened(said)!r}", hint="Write it as in data:image/png;...")
    if len(body) > max_bytes * 3 + 4:  # in neither encoding can so much be so little
        raise _too_large(what, "more", max_bytes)
    try:
        if "base64" in (parameter.lower() for parameter in parameters):
            compact = "".join(unquote(body).split()).rstrip("=")
            data = base64.b64decode(compact + "=" * (-len(compact) % 4), altchars=None, validate=True)
        else:
            data = unquote_to_bytes(body)
    except (binascii.Error, ValueError) as exc:
        raise UsageError(f"{what} is no base64: {exc}", hint="Copy all of it.") from exc
    # Without a type it is text, says the RFC; but nobody who leaves it out means that.
    return _Found(what, _checked(data, what, max_bytes), said=said)


def _from_url(url: str) -> _Found:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    shown = _shortened(url)
    if parts is None or parts.scheme not in ("http", "https"):
        raise UsageError(f"{shown} cannot be passed to a model", hint="Give an http:, https: or data: URL, or a path.")
    if not host or any(char.isspace() or not char.isprintable() for char in url):
        raise UsageError(f"{shown} is no URL", hint="Write it as in https://example.com/cat.png, spaces as %20.")
    return _Found(shown, url=url, name=unquote(parts.path.rpartition("/")[2]) or None)


def _type_of(found: _Found, kind: MediaKind, said: str, by_name: str) -> str:
    """The type of the bytes, by what they are, what was said, and how the file is called. Raises `UsageError`."""
    assert found.data is not None
    possible = sniff(found.data)
    expected = said or by_name
    if not expected:
        fitting = [type_ for type_ in possible if _is_kind(kind, type_)]
        if fitting:
            return fitting[0]
        if kind == "file":
            return _BINARY
        raise _no_kind(found.what, kind, possible[0] if possible else "")
    if not _may_be(expected, possible):
        actual = f"is {possible[0]}" if possible else "is of no known type"
        source = "was said to be" if said else "is named as"
        hint = f"Give media_type={possible[0]!r} if that is right." if possible else "Is it damaged, or encrypted?"
        if is_text_type(expected):
            hint = "Text has to be UTF-8."
        raise UsageError(f"{found.what} {actual}, and {source} {expected}", hint=hint)
    # `.ogg`, `.mp4` and `.webm` may hold sound or pictures: what was asked for decides.
    if not said and expected in possible:
        expected = next((type_ for type_ in (expected, *possible) if _is_kind(kind, type_)), expected)
    if not _is_kind(kind, expected):
        raise _no_kind(found.what, kind, expected)
    return expected


def _may_be(type_: str, possible: Sequence[str]) -> bool:
    if type_ in possible or type_ == _BINARY:
        return True
    if "text/plain" in possible:
        return is_text_type(type_) or (type_ not in SNIFFED and not type_.startswith(("image/", "audio/", "video/")))
    # Not every brand of a container is known here, nor every format.
    related = {"video/quicktime", "video/mp4", "audio/mp4"}
    if possible:
        return type_ in related and bool(related.intersection(possible))
    return type_ not in SNIFFED and not is_text_type(type_)


def _no_kind(what: str, kind: MediaKind, actual: str) -> UsageError:
    is_ = f"is {actual}" if actual else "is of no known type"
    other = next((one for one in _KINDS if actual.startswith(f"{one}/")), "file")
    hint = f"Use {other}(...) for it." if actual else "Give media_type if you know better."
    article = "an image" if kind == "image" else "a video" if kind == "video" else "audio"
    return UsageError(f"{what} {is_}, not {article}", hint=hint)


def _is_kind(kind: MediaKind, media_type: str) -> bool:
    return kind == "file" or media_type.startswith(f"{kind}/")


def _check_part(media: Media, where: str) -> None:
    data: Any = media.data
    url: Any = media.url
    if media.kind not in _KINDS or not isinstance(media.media_type, str) or not canonical(media.media_type):
        problem = f"is of kind {media.kind!r} and type {media.media_type!r}"
    elif (data is None) == (url is None):
        problem = "has neither data nor a URL" if data is None else "has both data and a URL"
    elif data is not None and not (isinstance(data, bytes) and data):
        problem = "has data that are empty" if isinstance(data, bytes) else f"has data that are {type(data).__name__}"
    elif url is not None and not (isinstance(url, str) and url.startswith(("http://", "https://"))):
        problem = "has a URL that is not of http or https"
    else:
        return
    raise UsageError(f"{where} is media that {problem}", hint="Make it with agno_rt.media, as in image('cat.png').")


def _takes(patterns: Iterable[str], media_type: str) -> bool:
    family = media_type.partition("/")[0]
    # A URL whose type is not known, `image/*`, may be any of its family.
    known = not media_type.endswith("/*")
    return any(
        pattern in (media_type, f"{family}/*", "*/*") or (not known and pattern.startswith(f"{family}/"))
        for pattern in patterns
    )


def _is_text(media: Media) -> bool:
    if media.kind != "file" or media.data is None or not is_text_type(media.media_type):
        return False
    return "text/plain" in sniff(media.data)


def _as_text(media: Media) -> str:
    assert media.data is not None
    text = media.data.decode("utf-8-sig")
    return f"{media.name}:\n\n{text}" if media.name else text


def _clean(name: str) -> str:
    """The name as text that can be sent: a file system may have others."""
    return name.encode("utf-8", "replace").decode()


def _size(count: int) -> str:
    if count < 1_000:
        return f"{count} bytes"
    return f"{count / 1e3:.0f} kB" if count < 999_500 else f"{count / 1e6:.1f} MB"


def _shortened(text: str) -> str:
    line = "".join(char for char in text if char.isprintable())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
