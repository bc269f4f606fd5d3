"""The body of an HTML form with files: multipart/form-data (RFC 7578). Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

import attrs

from agno_rt_serve.errors import HttpError

__all__ = ["FormPart", "read_form"]

MOST_PARTS = 100

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*(name|filename|filename\*)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))', re.IGNORECASE)


@attrs.frozen
class FormPart:
    """A field of a form; `filename` is None for a field that is not a file."""

    name: str
    filename: str | None
    media_type: str
    data: bytes = attrs.field(repr=False)


def read_form(content_type: str, body: bytes) -> list[FormPart]:
    """Return the fields of a form, in their order. Raises `HttpError` 400 for a body of another form."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise _bad_form("its Content-Type has no boundary")
    delimiter = b"\r\n--" + (found[1] or found[2]).encode("latin-1")
    # A delimiter begins on a line of its own, also at the beginning of the body.
    pieces = (b"\r\n" + body).split(delimiter, MOST_PARTS + 2)
    if len(pieces) > MOST_PARTS + 2:
        raise _bad_form(f"it has more than {MOST_PARTS} fields")
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise _bad_form("its end is missing")
    return [_read_part(piece) for piece in pieces[1:-1]]


def _read_part(piece: bytes) -> FormPart:
    # White space may stand between the delimiter and the end of its line.
    head, blank, data = piece.lstrip(b" \t").partition(b"\r\n\r\n")
    if not blank or not head.startswith(b"\r\n"):
        raise _bad_form("a field has no head")
    headers = {}
    for line in head[2:].decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    told = {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain
        for name, quoted, plain in _PARAMETER.findall(headers.get("content-disposition", ""))
    }
    if "name" not in told:
        raise _bad_form("a field has no name")
    filename = told.get("filename")
    if filename is not None:
        # Browsers write a quotation mark in a name so, and nothing else (HTML, multipart/form-data).
        filename = filename.replace("%22", '"')
    if "filename*" in told:
        filename = unquote(told["filename*"].rpartition("'")[2])
    return FormPart(told["name"], filename, headers.get("content-type", "").partition(";")[0].strip().lower(), data)


def _bad_form(problem: str) -> HttpError:
    hint = "Send a form with files, as `curl -F file=@notes.md` does."
    return HttpError(400, "invalid_body", f"the body is not a form: {problem}", hint)
