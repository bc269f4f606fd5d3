"""The plugin `readers`: documents from PDF, Word, PowerPoint, HTML, tables, JSON and web pages, for knowledge.

Each reader is made for a media type, or for the scheme of a URL; its module and its libraries are imported then.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt.knowledge.reading import Reader

__all__ = ["READERS", "agno_rt_register_readers", "make_reader"]

_OFFICE = "application/vnd.openxmlformats-officedocument"

READERS: Mapping[str, tuple[str, str]] = {
    "application/pdf": ("pdf:PdfReader", "PDF, by pages. Needs agno-rt-readers[pdf]."),
    f"{_OFFICE}.wordprocessingml.document": ("word:WordReader", "Word (.docx), by headings."),
    f"{_OFFICE}.presentationml.presentation": ("slides:SlidesReader", "PowerPoint (.pptx), by slides."),
    "text/html": ("html:HtmlReader", "HTML, by headings; only the article with agno-rt-readers[html]."),
    "application/xhtml+xml": ("html:HtmlReader", "XHTML, as HTML."),
    "text/csv": ("tables:TableReader", "CSV, by rows."),
    "text/tab-separated-values": ("tables:TableReader", "Values between tabs, by rows."),
    "application/json": ("records:JsonReader", "JSON, by items."),
    "application/jsonl": ("records:JsonReader", "JSON lines, by lines."),
    "https:": ("web:WebReader", "Web pages, and documents on the web."),
    "http:": ("web:WebReader", "Web pages without encryption."),
}
"""The readers by media type or scheme: module and class, and a line for `agno-rt plugins`."""


@hookimpl
def agno_rt_register_readers(register: Register) -> None:
    """Offer the readers."""
    for name, (_, about) in READERS.items():
        register(name, make_reader, help=about)


def make_reader(name: str, settings: Mapping[str, Any] | None = None) -> Reader:
    """Make the reader of a media type or of a scheme with its colon. Raises `ConfigError` for the settings.

    Raises `KeyError` for another name.
    """
    from agno_rt_readers.settings import read_reader_settings

    module, _, kind = READERS[name][0].partition(":")
    made: Reader = getattr(import_module(f"agno_rt_readers.{module}"), kind)(read_reader_settings(settings or {}))
    return made
