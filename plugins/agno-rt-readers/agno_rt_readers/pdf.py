"""The reader of PDF, by pypdfium2, the library of a browser: pages with marks such as "page 3"."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import trio

from agno_rt.errors import ConfigError, UsageError
from agno_rt.knowledge.documents import Document
from agno_rt.knowledge.reading import Unread
from agno_rt_readers.base import FileReader, TextBuilder, damaged_error
from agno_rt_readers.settings import ReaderSettings

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

__all__ = ["PdfReader"]

_IN_USE = threading.Lock()
"""PDFium may run in a single thread at a time, also where two runtimes read."""
_HYPHENS = re.compile("[\x02\ufffe\xad]\\s*")
"""A word that is parted at the end of a line, as PDFium tells."""
_PASSWORD = 4  # FPDF_ERR_PASSWORD


class PdfReader(FileReader):
    """A `Reader` of PDF. Pages are read one after another, in one thread at a time."""

    name = "pdf-1"
    media_type = "text/plain"

    def __init__(self, settings: ReaderSettings | None = None) -> None:
        super().__init__(settings)
        # Others wait here, and not in threads that other work needs.
        self.limiter = trio.CapacityLimiter(1)

    def load(self, unread: Unread) -> Document:
        """See `FileReader.load`. Raises `ConfigError` without pypdfium2."""
        self.check_size(unread)
        builder = TextBuilder(unread.source, self.settings.max_characters)
        with _IN_USE, _open(unread) as pdf:
            if len(pdf) > self.settings.max_pages:
                hint = "Cut the document, or raise max_pages in [plugins.readers]."
                raise UsageError(f"{unread.source} has {len(pdf):,} pages", hint=hint)
            for number in range(len(pdf)):
                trio.from_thread.check_cancelled()
                text = _read_page(pdf, number)
                builder.mark(f"page {number + 1}")
                builder.add(text)
            title = pdf.get_metadata_value("Title")
        return self.make_document(unread, builder, title)


@contextmanager
def _open(unread: Unread) -> Iterator[PdfDocument]:
    """Open the document, and turn PDFium's errors into `UsageError`, also while it is being read."""
    try:
        import pypdfium2
    except ImportError as exc:
        hint = "pip install 'agno-rt-readers[pdf]'"
        raise ConfigError(f"{unread.source} is a PDF, and pypdfium2 is not installed", hint=hint) from exc
    try:
        with closing(pypdfium2.PdfDocument(unread.path if unread.data is None else unread.data)) as pdf:
            yield pdf
    except pypdfium2.PdfiumError as exc:
        if exc.err_code == _PASSWORD:
            hint = "Save a copy without the password, as with `qpdf --decrypt --password=... in.pdf out.pdf`."
            raise UsageError(f"{unread.source} is encrypted with a password", hint=hint) from exc
        raise damaged_error(unread.source, str(exc)) from exc
    except OSError as exc:
        raise damaged_error(unread.source, str(exc)) from exc


def _read_page(pdf: PdfDocument, number: int) -> str:
    with closing(pdf[number]) as page, closing(page.get_textpage()) as text:
        found: str = text.get_text_bounded()
    return _HYPHENS.sub("", found.replace("\r\n", "\n"))
