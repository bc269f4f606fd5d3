"""Bodies of answers as bytes and text: unpacked within a limit, and decoded by the server's word or the page's own."""

from __future__ import annotations

import codecs
import re
import zlib
from email.message import Message

from agno_rt_web.errors import WebError

__all__ = ["Unpacker", "clean_line", "clean_text", "cut_text", "decode_body", "split_content_type"]

_META = re.compile(rb"""<meta[^>]{0,200}charset=["']?([a-zA-Z0-9_-]{1,40})""", re.IGNORECASE)
_XML = re.compile(rb"""^\s{0,100}<\?xml[^>]{0,100}encoding=["']([a-zA-Z0-9_-]{1,40})["']""")
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_COSTLY = frozenset({"punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})
"""Codecs of Python that no page is written in. Some take a time that grows with the square of the text."""

MOST_MEMBERS = 1_000
"""The most bodies in one packed body."""

_SIGNS = (*range(9), 11, 12, *range(14, 32), *range(127, 160))
_DIRECTIONS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = dict.fromkeys((*_SIGNS, *_DIRECTIONS, *range(0xE0000, 0xE01F0)))
"""Characters that no text needs: terminals obey some, some turn the direction of a text, and the tags and selectors
above 0xE0000 hide whole texts that models read and people do not see."""


class Unpacker:
    """Unpacks a body piece by piece, up to `most` bytes, packed or not. `is_full` is true if the body has more.

    Raises `WebError` for an unknown or damaged compression.
    """

    def __init__(self, encoding: str, most: int) -> None:
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise WebError(f"the answer is compressed as {self._encoding[:40]!r}, which was not asked for")
        self._most = most
        self._inflate = None if self._encoding in ("", "identity") else _start_inflating(self._encoding)
        self._received = self._members = 0
        self.body = bytearray()
        self.is_full = False

    def feed(self, piece: bytes) -> None:
        """Take in a piece of the body."""
        self._received += len(piece)
        if self._inflate is None:
            self.body += piece[: self._most - len(self.body)]
        else:
            while piece and not self.is_full:
                piece = self._unpack(self._inflate, piece)
        # Packed bytes that unpack to nothing have the same limit.
        self.is_full = self.is_full or self._received > self._most

    def _unpack(self, inflate: zlib._Decompress, piece: bytes) -> bytes:
        """Unpack what fits, and return the beginning of the next of several packed bodies."""
        try:
            # One byte above the limit tells a full body from a longer one.
            self.body += inflate.decompress(piece, self._most - len(self.body) + 1)
        except zlib.error as exc:
            if self._encoding == "deflate" and not self.body:
                # Many servers send deflate without the header of zlib.
                self._encoding, self._inflate = "raw", zlib.decompressobj(wbits=-15)
                return piece
            raise WebError(f"the answer is damaged: {exc}", hint="Try another address.") from None
        if len(self.body) > self._most or self._members > MOST_MEMBERS:
            del self.body[self._most :]
            self.is_full = True
        if not inflate.eof:
            return b""
        # Some servers pad the end.
        rest = inflate.unused_data if inflate.unused_data.startswith(b"\x1f\x8b") else b""
        if rest:
            self._inflate, self._members = _start_inflating(self._encoding), self._members + 1
        return rest


def _start_inflating(encoding: str) -> zlib._Decompress:
    return zlib.decompressobj() if encoding == "deflate" else zlib.decompressobj(wbits=31)


def split_content_type(header: str) -> tuple[str, str]:
    """Return the media type and the charset of a header, in small letters; empty without them."""
    if not header:
        return "", ""
    message = Message()
    message["content-type"] = header[:500]
    charset = message.get_param("charset", "")
    return message.get_content_type(), charset.strip("'\" ").lower() if isinstance(charset, str) else ""


def decode_body(body: bytes, charset: str = "") -> str:
    """Return the text of a body: by its byte order mark, the given charset, its own word, or as UTF-8."""
    named = [name for mark, name in _BOMS if body.startswith(mark)] + [charset]
    own = (pattern.search(body[:2_000]) for pattern in (_META, _XML))
    named += [found[1].decode("ascii") for found in own if found]
    for name in [*named, "utf-8"]:
        if (text := _try_decoding(body, name)) is not None:
            return text
    return body.decode("cp1252", "replace")


def _try_decoding(body: bytes, charset: str) -> str | None:
    try:
        "a".encode(charset)  # refuses codecs that are not for texts
        info = codecs.lookup(charset)
        if info.name in ("iso8859-1", "ascii"):
            info = codecs.lookup("cp1252")  # https://encoding.spec.whatwg.org/#names-and-labels
        # A body that was cut may end in the middle of a character.
        return None if info.name in _COSTLY else info.incrementaldecoder("strict").decode(body)
    except (LookupError, UnicodeError, ValueError, TypeError, AttributeError):
        return None


def clean_text(text: str) -> str:
    """Return the text without characters of control, and without surrogates."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROLS)
    return text.encode("utf-8", "replace").decode()


def clean_line(text: str, most: int = 500) -> str:
    """Return the text on one line, cut after `most` characters."""
    return cut_text(" ".join(clean_text(text).split()), most)


def cut_text(text: str, most: int) -> str:
    """Return the text, cut after `most` characters with a mark."""
    return text if len(text) <= most else text[:most] + "..."
