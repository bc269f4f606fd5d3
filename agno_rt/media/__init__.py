"""Builds images, audio, video and files for a model, finds their types, and checks them against the model.

No URL is fetched: the provider fetches the URL or refuses. Reading a file blocks the thread; in a server, call these
functions in a worker thread (`trio.to_thread.run_sync`).
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
"""The default `max_bytes` of one part."""

MAX_REQUEST_BYTES = 50 * 2**20
"""The default limit for all media of one request, in bytes."""

Source: TypeAlias = str | Path | bytes | bytearray | memoryview
"""The source of media: the path of a file, bytes, or a URL (https, http or data)."""

_KINDS: tuple[MediaKind, ...] = get_args(MediaKind)
_BINARY = "application/octet-stream"
_SHOWN = 60  # characters of a URL in texts and errors


def image(
    source: Source, *, media_type: str | None = None, name: str | None = None, max_bytes: int = MAX_BYTES
) -> Media:
    """Return an image. The bytes tell the type; a `media_type` or a suffix that contradicts the bytes is an error.

    `name` names the image to the model and in errors; the default is the name of the file. Raises `UsageError` for a
    file that is missing or unreadable, and for a source that is empty, larger than `max_bytes`, or not an image.
    """
    return _make_media("image", source, media_type, name, max_bytes)


def audio(
    source: Source, *, media_type: str | None = None, name: str | None = None, max_bytes: int = MAX_BYTES
) -> Media:
    """Return a piece of audio; as `image`."""
    return _make_media("audio", source, media_type, name, max_bytes)


def video(
    source: Source, *, media_type: str | None = None, name: str | None = None, max_bytes: int = MAX_BYTES
) -> Media:
    """Return a video; as `image`."""
    return _make_media("video", source, media_type, name, max_bytes)


def file(
    source: Source, *, media_type: str | None = None, name: str | None = None, max_bytes: int = MAX_BYTES
) -> Media:
    """Return a file of any type, a PDF or a text for instance; as `image`. All models can read files of text."""
    return _make_media("file", source, media_type, name, max_bytes)


def attachment(
    source: Source, *, media_type: str | None = None, name: str | None = None, max_bytes: int = MAX_BYTES
) -> Media:
    """Return an image, audio, a video or else a file, depending on the type; as `image`."""
    made = _make_media("file", source, media_type, name, max_bytes)
    kind: MediaKind = next(kind for kind in _KINDS if _is_kind(kind, made.media_type))
    return attrs.evolve(made, kind=kind)


def check_content(content: object) -> None:
    """Raise `UsageError` unless the content is a text, or a tuple of texts and well-formed media."""
    if isinstance(content, str):
        return
    if not isinstance(content, tuple):
        hint = "Give a str, or a tuple of str and Media."
        raise UsageError(f"a message's content is {type(content).__name__}", hint=hint)
    for at, part in enumerate(content):
        if isinstance(part, Media):
            _check_media_part(part, f"part {at} of a message")
        elif not isinstance(part, str):
            hint = "A part is a str, or a Media: make one with agno_rt.media, as in image('cat.png')."
            raise UsageError(f"part {at} of a message is {type(part).__name__}", hint=hint)


def check_media(
    messages: Iterable[Message], profile: ModelProfile, model: str, *, max_bytes: int = MAX_REQUEST_BYTES
) -> None:
    """Raise `UsageError` for media that the model does not accept, or for more than `max_bytes` of media together.

    All models accept files of text. If the profile does not list media types, the provider may still refuse.
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
            if (
                profile.media is not None
                and not _is_text_file(media)
                and not _is_accepted(profile.media, media.media_type)
            ):
                raise UsageError(
                    f"the model {model} does not accept {media.media_type}, and was given {described(media)}",
                    hint=f"It accepts {', '.join(profile.media)}." if profile.media else "It accepts text only.",
                )


def readable(messages: Sequence[Message], profile: ModelProfile) -> tuple[Message, ...]:
    """Return the messages with media that the model does not accept replaced by text, as `described` renders them.

    Used for the history of a run and for results of tools, because the caller did not send either to this model.
    """
    takes = profile.media
    if takes is None or not any(message.media for message in messages):
        return tuple(messages)
    return tuple(_describe_unreadable(message, takes) if message.media else message for message in messages)


def _describe_unreadable(message: Message, takes: Sequence[str]) -> Message:
    parts = tuple(
        described(part)
        if isinstance(part, Media) and not _is_text_file(part) and not _is_accepted(takes, part.media_type)
        else part
        for part in message.content
    )
    return attrs.evolve(message, content=parts)


def inlined(content: str | tuple[str | Media, ...]) -> str | tuple[str | Media, ...]:
    """Replace each file of text by the text, under the name of the file; return a `str` if no media are left."""
    if isinstance(content, str):
        return content
    parts = tuple(
        _render_text_file(part) if isinstance(part, Media) and _is_text_file(part) else part for part in content
    )
    return "\n\n".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else parts


def data_url(media: Media) -> str:
    """Return the URL of the media, or a `data:` URL of the bytes."""
    if media.data is None:
        return media.url or ""
    return f"data:{media.media_type};base64,{base64.b64encode(media.data).decode('ascii')}"


def described(media: Media) -> str:
    """Return a short text for people in place of the media: `[image cat.png, 12 kB]`."""
    name = media.name or (_shorten_text(media.url) if media.url else media.media_type)
    size = "" if media.data is None else f", {_format_size(len(media.data))}"
    return f"[{media.kind} {name}{size}]"


@attrs.frozen
class _Found:
    """A source before the type is known."""

    what: str
    data: bytes | None = None
    url: str | None = None
    name: str | None = None
    said: str = ""
    """The type given by the source itself, in a `data:` URL."""


def _make_media(kind: MediaKind, source: Source, media_type: str | None, name: str | None, max_bytes: int) -> Media:
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:
        raise UsageError(f"max_bytes is {max_bytes!r}", hint="Give a whole number of at least 1.")
    found = _read_source(kind, source, name, max_bytes)
    said = canonical(media_type) if media_type is not None else canonical(found.said)
    # `image/*` is reserved for URLs of unknown type.
    if media_type is not None and (not said or "*" in said):
        raise UsageError(f"media_type is {media_type!r}", hint="Write it as in 'image/png'.")
    name = found.name if name is None else name
    name = None if name is None else _clean_name(name)
    by_name = BY_SUFFIX.get(suffix_of(name or ""), "")
    if found.data is None:
        type_ = said or by_name or (f"{kind}/*" if kind != "file" else _BINARY)
        if not _is_kind(kind, type_):
            raise _build_kind_error(found.what, kind, type_)
        return Media(kind, type_, None, found.url, name)
    return Media(kind, _determine_type(found, kind, said, by_name), found.data, None, name)


def _read_source(kind: MediaKind, source: Source, name: str | None, max_bytes: int) -> _Found:
    if isinstance(source, bytes | bytearray | memoryview):
        what = name or f"the {kind}"
        return _Found(what, _check_data(bytes(source), what, max_bytes))
    if isinstance(source, str):
        scheme, colon, rest = source.partition(":")
        if colon and scheme.strip().lower() == "data":
            return _read_data_url(rest, name or f"the data: URL of the {kind}", max_bytes)
        if colon and rest.startswith("//"):
            return _read_url(source.strip())
    if not isinstance(source, str | Path) or not str(source):
        hint = "Give a path, bytes, or a URL."
        raise UsageError(f"the source of the {kind} is {source!r}", hint=hint)
    path, what = Path(source), _clean_name(str(source))
    return _Found(what, _read_media_file(path, what, max_bytes), name=path.name)


def _read_media_file(path: Path, what: str, max_bytes: int) -> bytes:
    try:
        if path.is_dir():
            raise UsageError(f"{what} is a folder", hint="Name a file in it.")
        if path.exists() and not path.is_file():
            raise UsageError(f"{what} is not a regular file", hint="Read it yourself, and give its bytes.")
        if (size := path.stat().st_size) > max_bytes:
            raise _build_size_error(what, f"{size:,} bytes", max_bytes)
        with path.open("rb") as opened:
            # The file may have grown since `stat`: read at most one byte too many.
            data = opened.read(max_bytes + 1)
    except FileNotFoundError as exc:
        hint = f"Looked in {Path.cwd()}." if not path.is_absolute() else "Check its path."
        raise UsageError(f"there is no file {what}", hint=hint) from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise UsageError(f"{what!r} cannot be read: {reason}", hint="Check its path and permissions.") from exc
    return _check_data(data, what, max_bytes)


def _check_data(data: bytes, what: str, max_bytes: int) -> bytes:
    if not data:
        raise UsageError(f"{what} is empty", hint="Give something with bytes in it.")
    if len(data) > max_bytes:
        # Of a growing file, only one byte too many was read: the true size is unknown.
        raise _build_size_error(what, f"{len(data):,} bytes" if len(data) > max_bytes + 1 else "more", max_bytes)
    return data


def _build_size_error(what: str, size: str, max_bytes: int) -> UsageError:
    hint = "Make it smaller, or give a larger max_bytes, as far as the provider takes it."
    return UsageError(f"{what} is too large: it has {size}, and at most {max_bytes:,} bytes may be sent", hint=hint)


def _read_data_url(rest: str, what: str, max_bytes: int) -> _Found:
    """Decode the part of a `data:` URL after the scheme (RFC 2397)."""
    head, comma, body = rest.partition(",")
    said, *parameters = (part.strip() for part in head.split(";"))
    if not comma:
        raise UsageError(f"{what} has no comma", hint="Write it as in data:image/png;base64,iVBOR...")
    if said and not canonical(said):
        raise UsageError(
            f"{what} gives the media type {_shorten_text(said)!r}", hint="Write it as in data:image/png;..."
        )
    if len(body) > max_bytes * 3 + 4:  # percent-encoding takes at most 3 characters a byte, base64 fewer
        raise _build_size_error(what, "more", max_bytes)
    try:
        if "base64" in (parameter.lower() for parameter in parameters):
            # White space and missing padding are common in copied URLs.
            compact = "".join(unquote(body).split()).rstrip("=")
            data = base64.b64decode(compact + "=" * (-len(compact) % 4), altchars=None, validate=True)
        else:
            data = unquote_to_bytes(body)
    except (binascii.Error, ValueError) as exc:
        raise UsageError(f"{what} is not base64: {exc}", hint="Copy all of it.") from exc
    # The RFC takes a missing type for text. Nobody means text by leaving the type out, so the bytes decide.
    return _Found(what, _check_data(data, what, max_bytes), said=said)


def _read_url(url: str) -> _Found:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    shown = _shorten_text(url)
    if parts is None or parts.scheme not in ("http", "https"):
        raise UsageError(f"{shown} cannot be passed to a model", hint="Give an http:, https: or data: URL, or a path.")
    if not host or any(char.isspace() or not char.isprintable() for char in url):
        raise UsageError(
            f"{shown} is not a valid URL", hint="Write it as in https://example.com/cat.png, spaces as %20."
        )
    return _Found(shown, url=url, name=unquote(parts.path.rpartition("/")[2]) or None)


def _determine_type(found: _Found, kind: MediaKind, said: str, by_name: str) -> str:
    """Determine the type from the bytes, the given type, and the file's suffix. Raises `UsageError`."""
    assert found.data is not None
    possible = sniff(found.data)
    expected = said or by_name
    if not expected:
        fitting = [type_ for type_ in possible if _is_kind(kind, type_)]
        if fitting:
            return fitting[0]
        if kind == "file":
            return _BINARY
        raise _build_kind_error(found.what, kind, possible[0] if possible else "")
    if not _can_be_type(expected, possible):
        actual = f"is {possible[0]}" if possible else "is of no known type"
        source = "was said to be" if said else "is named as"
        hint = f"Give media_type={possible[0]!r} if that is right." if possible else "Is it damaged, or encrypted?"
        if is_text_type(expected):
            hint = "Text has to be UTF-8."
        raise UsageError(f"{found.what} {actual}, and {source} {expected}", hint=hint)
    # `.ogg`, `.mp4` and `.webm` may hold sound or pictures: the requested kind decides.
    if not said and expected in possible:
        expected = next((type_ for type_ in (expected, *possible) if _is_kind(kind, type_)), expected)
    if not _is_kind(kind, expected):
        raise _build_kind_error(found.what, kind, expected)
    return expected


def _can_be_type(type_: str, possible: Sequence[str]) -> bool:
    if type_ in possible or type_ == _BINARY:
        return True
    if "text/plain" in possible:
        return is_text_type(type_) or (type_ not in SNIFFED and not type_.startswith(("image/", "audio/", "video/")))
    # Neither the brands of containers nor the formats here are complete: allow related and unknown types.
    related = {"video/quicktime", "video/mp4", "audio/mp4"}
    if possible:
        return type_ in related and bool(related.intersection(possible))
    return type_ not in SNIFFED and not is_text_type(type_)


def _build_kind_error(what: str, kind: MediaKind, actual: str) -> UsageError:
    is_ = f"is {actual}" if actual else "is of no known type"
    other = next((one for one in _KINDS if actual.startswith(f"{one}/")), "file")
    hint = f"Use {other}(...) for it." if actual else "Give media_type if you know better."
    article = "an image" if kind == "image" else "a video" if kind == "video" else "audio"
    return UsageError(f"{what} {is_}, not {article}", hint=hint)


def _is_kind(kind: MediaKind, media_type: str) -> bool:
    return kind == "file" or media_type.startswith(f"{kind}/")


def _check_media_part(media: Media, where: str) -> None:
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


def _is_accepted(patterns: Iterable[str], media_type: str) -> bool:
    family = media_type.partition("/")[0]
    # A URL of unknown type is `image/*`, and may be any type of the family.
    known = not media_type.endswith("/*")
    return any(
        pattern in (media_type, f"{family}/*", "*/*") or (not known and pattern.startswith(f"{family}/"))
        for pattern in patterns
    )


def _is_text_file(media: Media) -> bool:
    if media.kind != "file" or media.data is None or not is_text_type(media.media_type):
        return False
    return "text/plain" in sniff(media.data)


def _render_text_file(media: Media) -> str:
    assert media.data is not None
    text = media.data.decode("utf-8-sig")
    return f"{media.name}:\n\n{text}" if media.name else text


def _clean_name(name: str) -> str:
    """Replace surrogates, which a file system may have in names but which cannot be sent."""
    return name.encode("utf-8", "replace").decode()


def _format_size(count: int) -> str:
    if count < 1_000:
        return f"{count} bytes"
    return f"{count / 1e3:.0f} kB" if count < 999_500 else f"{count / 1e6:.1f} MB"


def _shorten_text(text: str) -> str:
    line = "".join(char for char in text if char.isprintable())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
