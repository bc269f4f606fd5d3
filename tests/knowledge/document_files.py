"""Makes documents to read, good and bad."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import docx
import pptx
from agno_rt_readers import READERS, make_reader
from pypdf import PdfReader, PdfWriter

from agno_rt.knowledge import Document, Unread

WORD, SLIDES = (next(name for name in READERS if word in name) for word in ("wordprocessingml", "presentationml"))
TYPES = {
    ".pdf": "application/pdf",
    ".docx": WORD,
    ".pptx": SLIDES,
    ".html": "text/html",
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
}


async def read(ending: str, data: bytes, **settings: object) -> Document:
    """Read the bytes of a file with this ending."""
    kind = TYPES[ending]
    (document,) = await make_reader(kind, settings).read(Unread(f"a{ending}", media_type=kind, data=data))
    return document


def make_pdf(pages: Sequence[str], title: str = "") -> bytes:
    """Make a PDF with a line of text on each page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for text in pages:
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R"
        objects.append(f"{page} /Resources << /Font << /F1 3 0 R >> >> >>")
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    objects.append(f"<< /Title ({title}) >>")
    out, places = "%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{each}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>"
    xref = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}\nstartxref\n{len(out)}\n%%EOF\n"
    return (out + xref).encode("latin-1")


def make_encrypted_pdf() -> bytes:
    """Make a PDF that asks for a password."""
    writer, out = PdfWriter(PdfReader(io.BytesIO(make_pdf(["secret"])))), io.BytesIO()
    writer.encrypt("password", algorithm="RC4-128")
    writer.write(out)
    return out.getvalue()


def make_word() -> bytes:
    """Make a Word document with headings, a list and a table."""
    document, out = docx.Document(), io.BytesIO()
    document.core_properties.title = "The canteen"
    document.add_heading("Canteen", 0)
    document.add_paragraph("It opens at noon.")
    document.add_heading("Prices", 1)
    document.add_paragraph("# is the sign for numbers.")
    document.add_paragraph("soup", style="List Bullet")
    document.add_paragraph("bread", style="List Bullet")
    table = document.add_table(2, 2)
    for at, text in enumerate(("dish", "price", "soup", "four euros")):
        table.cell(*divmod(at, 2)).text = text
    document.save(out)
    return out.getvalue()


def make_slides() -> bytes:
    """Make a presentation of two slides, the second without a title."""
    presentation, out = pptx.Presentation(), io.BytesIO()
    first = presentation.slides.add_slide(presentation.slide_layouts[1])
    first.shapes.title.text = "Costs"
    first.placeholders[1].text = "Soup is four euros.\nBread is free."
    first.notes_slide.notes_text_frame.text = "Say it loud."
    second = presentation.slides.add_slide(presentation.slide_layouts[6])
    table = second.shapes.add_table(1, 2, 0, 0, 100, 100).table
    table.cell(0, 0).text, table.cell(0, 1).text = "soup", "hot"
    presentation.save(out)
    return out.getvalue()


def change_part(archive: bytes, part: str, content: bytes) -> bytes:
    """Return the archive with another content of a part."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as before,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as after,
    ):
        for name in before.namelist():
            after.writestr(name, content if name == part else before.read(name))
    return out.getvalue()


def make_zip_bomb() -> bytes:
    """Make a Word document of about a megabyte with a part of more than a hundred."""
    return change_part(make_word(), "word/document.xml", b"<a>" + b" " * 100_000_001 + b"</a>")


ENTITIES = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">'
    + b"".join(b'<!ENTITY b%d "%s">' % (at, b"&b%s;" % (b"%d" % (at - 1) if at else b"") * 10) for at in range(9))
    + b"]><a>&b8;</a>"
)


def make_entity_bomb() -> bytes:
    """Make a Word document of entities that multiply."""
    return change_part(make_word(), "word/document.xml", ENTITIES)
