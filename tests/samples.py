"""Tiny files of many formats, made here. Each begins as the format's specification says; some are whole files."""

from __future__ import annotations

import gzip
import io
import struct
import wave
import zipfile
import zlib

__all__ = ["BINARIES", "PDF", "PNG", "WAV"]


def _make_png() -> bytes:
    """Make an image of one red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


def _make_wav() -> bytes:
    """Make a hundredth of a second of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(8_000)
        writer.writeframes(b"\x80" * 80)
    return file.getvalue()


def _make_zip(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return file.getvalue()


def _make_box(brand: bytes) -> bytes:
    """Make the first box of a file in the ISO base media format."""
    return struct.pack(">I", 24) + b"ftyp" + brand + b"\0\0\0\0" + brand + b"isom"


def _make_ebml(doctype: bytes) -> bytes:
    """Make the header of a Matroska or WebM file."""
    element = b"\x42\x82" + bytes([0x80 | len(doctype)]) + doctype
    return b"\x1a\x45\xdf\xa3" + bytes([0x80 | len(element)]) + element + b"\x18\x53\x80\x67"


def _make_bmp() -> bytes:
    pixels = b"\0\0\xff\0"
    return (
        b"BM"
        + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 24, 0, len(pixels), 0, 0, 0, 0)
        + pixels
    )


PNG = _make_png()
WAV = _make_wav()
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

BINARIES: dict[str, tuple[bytes, str]] = {
    "aac": (b"\xff\xf1\x50\x80\x02\x1f\xfc", "audio/aac"),
    "avi": (b"RIFF\x24\0\0\0AVI LIST", "video/x-msvideo"),
    "avif": (_make_box(b"avif"), "image/avif"),
    "bmp": (_make_bmp(), "image/bmp"),
    "docx": (_make_zip("[Content_Types].xml", "word/document.xml"), "application/zip"),
    "flac": (b"fLaC\0\0\0\x22", "audio/flac"),
    "gif": (b"GIF89a\1\0\1\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;", "image/gif"),
    "gz": (gzip.compress(b"x"), "application/gzip"),
    "heic": (_make_box(b"heic"), "image/heic"),
    "jpg": (b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xd9", "image/jpeg"),
    "m4a": (_make_box(b"M4A "), "audio/mp4"),
    "mkv": (_make_ebml(b"matroska"), "video/x-matroska"),
    "mov": (_make_box(b"qt  "), "video/quicktime"),
    "mp3": (b"\xff\xfb\x90\x64" + b"\0" * 12, "audio/mpeg"),
    "mp4": (_make_box(b"isom"), "video/mp4"),
    "ogg": (b"OggS\0\2" + b"\0" * 20, "audio/ogg"),
    "pdf": (PDF, "application/pdf"),
    "png": (PNG, "image/png"),
    "tiff": (b"II*\0\x08\0\0\0", "image/tiff"),
    "wav": (WAV, "audio/wav"),
    "webm": (_make_ebml(b"webm"), "video/webm"),
    "webp": (b"RIFF\x1a\0\0\0WEBPVP8L", "image/webp"),
    "zip": (_make_zip("a"), "application/zip"),
}
"""File name endings with the bytes of a file and the likeliest media type."""
