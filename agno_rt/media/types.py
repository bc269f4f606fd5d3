"""Finds the media type of bytes from their first bytes, and of a file from the name. Pure: opens no file.

The signatures come from the formats' own specifications; the WHATWG's standard "MIME Sniffing" describes the practice
of browsers.
"""

from __future__ import annotations

import re

__all__ = ["BY_SUFFIX", "SNIFFED", "canonical", "is_text_type", "sniff", "suffix_of"]

BY_SUFFIX: dict[str, str] = {
    "aac": "audio/aac",
    "avi": "video/x-msvideo",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "csv": "text/csv",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "epub": "application/epub+zip",
    "flac": "audio/flac",
    "gif": "image/gif",
    "gz": "application/gzip",
    "heic": "image/heic",
    "htm": "text/html",
    "html": "text/html",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "log": "text/plain",
    "m4a": "audio/mp4",
    "md": "text/markdown",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "odt": "application/vnd.oasis.opendocument.text",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "opus": "audio/ogg",
    "pdf": "application/pdf",
    "png": "image/png",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "py": "text/x-python",
    "svg": "image/svg+xml",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "toml": "application/toml",
    "txt": "text/plain",
    "wav": "audio/wav",
    "weba": "audio/webm",
    "webm": "video/webm",
    "webp": "image/webp",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "zip": "application/zip",
}
"""Media types by suffix, for the formats that people send to models."""

_ALIASES = {
    "application/csv": "text/csv",
    "application/x-pdf": "application/pdf",
    "application/x-yaml": "application/yaml",
    "application/x-zip-compressed": "application/zip",
    "audio/m4a": "audio/mp4",
    "audio/mp3": "audio/mpeg",
    "audio/mpeg3": "audio/mpeg",
    "audio/opus": "audio/ogg",
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-aac": "audio/aac",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/mp4",
    "audio/x-wav": "audio/wav",
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-ms-bmp": "image/bmp",
    "image/x-png": "image/png",
    "text/json": "application/json",
    "text/xml": "application/xml",
    "video/avi": "video/x-msvideo",
    "video/x-m4v": "video/mp4",
}

_STARTS: tuple[tuple[bytes, tuple[str, ...]], ...] = (
    (b"\x89PNG\r\n\x1a\n", ("image/png",)),
    (b"\xff\xd8\xff", ("image/jpeg",)),
    (b"GIF87a", ("image/gif",)),
    (b"GIF89a", ("image/gif",)),
    (b"II*\0", ("image/tiff",)),
    (b"MM\0*", ("image/tiff",)),
    (b"fLaC\0", ("audio/flac",)),
    (b"fLaC\x80", ("audio/flac",)),
    # With the version: a text about ID3 tags may begin with `ID3`, too.
    *((b"ID3" + version, ("audio/mpeg",)) for version in (b"\2", b"\3", b"\4")),
    (b"OggS\0", ("audio/ogg", "video/ogg")),
    (b"%PDF-", ("application/pdf",)),
    (b"\x1f\x8b\x08", ("application/gzip",)),
)
_RIFF = {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"M4A ": ("audio/mp4",),
    b"M4B ": ("audio/mp4",),
    b"avif": ("image/avif",),
    b"avis": ("image/avif",),
    b"heic": ("image/heic",),
    b"heix": ("image/heic",),
    b"mif1": ("image/heic", "image/avif"),
    b"qt  ": ("video/quicktime",),
}
_ZIPPED = ("application/zip", *(BY_SUFFIX[name] for name in ("docx", "epub", "odt", "pptx", "xlsx")))
# The sizes of known headers: a text may begin with "BM", too, as in "BMW".
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_SVG = re.compile(
    r"\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*)*<svg[\s>/]", re.DOTALL | re.IGNORECASE
)
_HEAD = 2_048  # characters to search for `<svg`, after comments and a DOCTYPE

SNIFFED = frozenset(
    {kind for _, kinds in _STARTS for kind in kinds}
    | set(_RIFF.values())
    | {kind for kinds in _BRANDS.values() for kind in kinds}
    | {*_ZIPPED, "image/bmp", "video/mp4", "video/webm", "audio/webm", "video/x-matroska", "audio/aac"}
)
"""Types that `sniff` always recognises: bytes without the signature are of another type."""

_TEXTS = frozenset(
    {"application/json", "application/toml", "application/xml", "application/yaml", "application/javascript"}
)


def canonical(media_type: str) -> str:
    """Return the usual name of a media type, `audio/wav` for `Audio/X-WAV; rate=1`; empty for malformed text."""
    name = media_type.partition(";")[0].strip().lower()
    if not re.fullmatch(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+*-]+", name):
        return ""
    return _ALIASES.get(name, name)


def suffix_of(name: str) -> str:
    """Return the text after the last dot of a file's name, in lower case."""
    return name.rpartition(".")[2].lower() if "." in name else ""


def is_text_type(media_type: str) -> bool:
    """Return whether media of the type are read as text."""
    return media_type.startswith("text/") or media_type in _TEXTS or media_type.endswith(("+json", "+yaml"))


def sniff(data: bytes) -> tuple[str, ...]:
    """Return the possible types of the bytes, likeliest first; empty for unknown bytes.

    The start of some containers does not tell sound from pictures, so both types are returned. Any text may be
    `text/plain`.
    """
    for start, kinds in _STARTS:
        if data.startswith(start):
            return kinds
    return _sniff_container(data) or _sniff_frames(data) or _sniff_text(data)


def _sniff_container(data: bytes) -> tuple[str, ...]:
    kinds: tuple[str, ...] = ()
    if data[:4] == b"RIFF" and data[8:12] in _RIFF:
        kinds = (_RIFF[data[8:12]],)
    elif data[4:8] == b"ftyp":
        kinds = _BRANDS.get(data[8:12], ("video/mp4", "audio/mp4"))
    elif data.startswith(b"\x1a\x45\xdf\xa3"):
        kinds = ("video/webm", "audio/webm") if b"webm" in data[:64] else ("video/x-matroska",)
    elif data.startswith(b"PK\x03\x04"):
        kinds = _ZIPPED
    elif data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        kinds = ("image/bmp",)
    return kinds


def _sniff_frames(data: bytes) -> tuple[str, ...]:
    """Recognise headerless sound: frames of MPEG audio or AAC, which begin with eleven 1 bits."""
    if len(data) < 4 or data[0] != 0xFF:
        return ()
    # AAC (ADTS) has twelve 1 bits and layer 0; the bits of version and protection are masked out.
    if data[1] & 0xF6 == 0xF0:
        return ("audio/aac",)
    # Reserved values (version 1, rate 3, bit rate 15) and the free bit rate 0 are unlikely; layer 1 is MP3's.
    version, layer, rate = data[1] >> 3 & 3, data[1] >> 1 & 3, data[2] >> 2 & 3
    fits = data[1] & 0xE0 == 0xE0 and version != 1 and layer == 1 and rate != 3 and data[2] >> 4 not in (0, 15)
    return ("audio/mpeg",) if fits else ()


def _sniff_text(data: bytes) -> tuple[str, ...]:
    if _NO_TEXT.search(data):
        return ()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return ()
    return ("image/svg+xml", "text/plain") if _SVG.match(text[:_HEAD]) else ("text/plain",)
