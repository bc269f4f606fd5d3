"""Web pages: fetched within limits, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest
import trio
from agno_rt_readers import make_reader

from agno_rt import Knowledge, Runtime
from agno_rt.errors import UsageError
from agno_rt.knowledge import Document, Unread
from tests.knowledge.document_files import make_pdf

ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/page": (200, {"content-type": "text/html; charset=latin-1"}, "<title>T</title><h1>Größe</h1>".encode("latin-1")),
    "/report.pdf": (200, {"content-type": "application/octet-stream"}, make_pdf(["soup"])),
    "/notes": (200, {"content-type": "text/plain"}, b"plain notes"),
    "/moved": (302, {"location": "page"}, b""),
    "/loop": (302, {"location": "/loop"}, b""),
    "/inside": (302, {"location": "http://169.254.169.254/latest/meta-data/"}, b""),
    "/file": (302, {"location": "file:///etc/passwd"}, b""),
    "/password": (302, {"location": "http://ann:secret@127.0.0.1/"}, b""),
    "/large": (200, {"content-type": "text/plain"}, b"x" * 5_000),
    "/packed": (200, {"content-type": "text/plain", "content-encoding": "gzip"}, b"\x1f\x8b"),
    "/picture": (200, {"content-type": "image/png"}, b"\x89PNG"),
    "/wrong": (200, {"content-type": "text/html; charset=klingon"}, b"x"),
    "/gone": (410, {}, b"gone"),
}


@contextmanager
def open_site() -> Iterator[tuple[str, list[str]]]:
    """Serve `ANSWERS` on loopback; `/slow` never answers. Yields the address, and the hosts that were asked for."""
    asked: list[str] = []
    end = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["host"])
            if self.path == "/slow":
                end.wait(20)
                return
            status, headers, body = ANSWERS[self.path]
            told = self.headers["if-none-match"], self.headers["if-modified-since"]
            if any(told) and told == (headers.get("etag"), headers.get("last-modified")):
                status, body = 304, b""
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}", asked
        finally:
            end.set()
            server.shutdown()
            thread.join()


async def fetch_page(url: str, **settings: Any) -> Document:
    """Read a web page."""
    reader: Any = make_reader("http:", settings)
    try:
        (document,) = await reader.read(Unread(url))
    finally:
        await reader.aclose()
    assert isinstance(document, Document)
    return document


async def test_reads_what_the_server_sends() -> None:
    """Pages, files and text are read by their types, after redirects too, in the encoding named by the server."""
    with open_site() as (site, asked):
        for path in ("/page", "/moved"):
            page = await fetch_page(site + path, allow=["localhost"])
            assert (page.source, page.title, page.text) == (site + path, "T", "# Größe")
        report = await fetch_page(f"{site}/report.pdf", allow=["127.0.0.0/8", "::1"])
        assert (report.text, report.marks[0].label) == ("soup", "page 1")
        assert (await fetch_page(f"{site}/notes", allow=["localhost"])).text == "plain notes"
    assert set(asked) == {site.removeprefix("http://")}


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/inside", "169.254.169.254, which is not on the public internet"),
        ("/file", "leads to 'file:"),
        ("/password", "name and a password"),
        ("/loop", "more than 5 other addresses"),
        ("/large", "more than 1,000 bytes"),
        ("/packed", "gzip"),
        ("/picture", "image/png"),
        ("/wrong", "klingon"),
        ("/gone", "410"),
        ("/slow", "not read in 0.3 s"),
    ],
)
async def test_refuses_answers_by_name(path: str, problem: str) -> None:
    """Redirects into the own network, and large, slow and useless answers, are errors."""
    with open_site() as (site, _), trio.fail_after(60), pytest.raises(UsageError) as caught:
        await fetch_page(site + path, allow=["localhost"], max_bytes=1_000, timeout=0.3 if path == "/slow" else 60)
    assert problem in caught.value.message
    assert "secret" not in caught.value.full_text
    assert caught.value.hint


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"])
async def test_refuses_the_own_machine(host: str) -> None:
    """Loopback is refused under each name, and the server is never asked."""
    with open_site() as (site, asked), pytest.raises(UsageError, match=r"public internet|unknown"):
        await fetch_page(f"http://{host}:{site.rpartition(':')[2]}/page")
    assert not asked


async def test_an_unreadable_page_stops_nothing() -> None:
    """A missing page is among the failed, by address; the other page is added, and found."""
    with open_site() as (site, _):
        settings = {"readers": {"allow": ["localhost"]}}
        async with Runtime(settings=settings) as rt:
            opened = rt.knowledge(Knowledge(embedder=None))
            added = await opened.add(f"{site}/page", f"{site}/gone", "http://host.invalid/")
            (hit,) = await opened.search("Größe")
    assert added.added == [f"{site}/page"]
    assert [source for source, _ in added.failed] == ["http://host.invalid/", f"{site}/gone"]
    assert hit.chunk.where == f"{site}/page (Größe)"


async def test_an_unchanged_page_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is asked by ETag and date, at the address behind a redirect; what changed is read."""
    marks = {"content-type": "text/plain", "etag": 'W/"1"', "last-modified": "Mon, 30 Nov 2026 10:00:00 GMT"}
    monkeypatch.setitem(ANSWERS, "/marked", (200, marks, b"a fox"))
    monkeypatch.setitem(ANSWERS, "/to-marked", (302, {"location": "/marked"}, b""))
    settings = {"readers": {"allow": ["localhost"]}}
    with open_site() as (site, asked):
        async with Runtime(settings=settings) as rt:
            opened = rt.knowledge(Knowledge("memory:", embedder=None))
            urls = [f"{site}/{path}" for path in ("marked", "notes", "to-marked")]
            first = await opened.add(*urls)
            ANSWERS["/marked"] = (200, marks, b"changed without a new mark")
            again = await opened.add(*urls)
            assert [hit.chunk.text for hit in await opened.search("changed")] == []
            ANSWERS["/marked"] = (200, {**marks, "etag": 'W/"2"'}, b"a hen")
            changed = await opened.add(*urls)
            found = await opened.search("hen")
            other = await opened.add(*urls, metadata={"team": "x"})
    assert (first.added, again.added, again.unchanged) == (urls, [], urls)
    assert (changed.added, changed.unchanged, other.added) == ([urls[0], urls[2]], [urls[1]], urls)
    assert (found[0].chunk.source, found[0].also) == (urls[0], (urls[2],))
    assert len(asked) == 4 * 4


@pytest.mark.parametrize("version", ["", "[]", "{}", '["u", 1, "", "", ""]', "\x00"])
async def test_a_version_of_somebody_else_is_ignored(version: str) -> None:
    """A version that the reader did not write asks for the whole page."""
    with open_site() as (site, _):
        reader: Any = make_reader("http:", {"allow": ["localhost"]})
        visit = await reader.revisit(Unread(f"{site}/notes"), version)
        await reader.aclose()
    assert [document.text for document in visit.documents] == ["plain notes"]
    assert visit.version == ""
