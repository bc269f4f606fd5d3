"""Readers of documents of each type, and of damaged and harmful documents."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from agno_rt_readers import READERS, make_reader

from agno_rt import Knowledge, Runtime
from agno_rt.errors import ConfigError, UsageError
from agno_rt.knowledge import Mark
from tests.knowledge.document_files import (
    TYPES,
    change_part,
    make_encrypted_pdf,
    make_entity_bomb,
    make_pdf,
    make_slides,
    make_word,
    make_zip_bomb,
    read,
)

PAGE = """<!DOCTYPE html><html><head><title>The canteen</title><style>p {}</style><body><nav><p>Home</p></nav>
<h1>Canteen</h1><p>It opens &amp; closes.</p><h2>Prices</h2><table><tr><th>soup<td>four euros</table>
<pre>a
 b</pre><script>x()</script><footer>Imprint</footer></html>"""
ARTICLE = """# Canteen

It opens & closes.

## Prices

soup | four euros

```
a
 b
```"""
GOOD: dict[str, Callable[[], bytes]] = {
    ".pdf": lambda: make_pdf(["soup"]),
    ".docx": make_word,
    ".pptx": make_slides,
    ".html": PAGE.encode,
    ".csv": lambda: b"a,b\n1,2\n",
    ".json": lambda: b'{"a": [1, {"b": "c"}]}',
    ".jsonl": lambda: b'{"a": 1}\n{"a": 2}\n',
}


async def test_a_pdf_has_pages() -> None:
    """Pages follow one another, each with a mark; the title is read, too."""
    document = await read(".pdf", make_pdf(["The canteen opens.", "A bowl of soup."], "Canteen"))

    assert document.text == "The canteen opens.\n\nA bowl of soup."
    assert document.marks == (Mark(0, "page 1"), Mark(20, "page 2"))
    assert document.title == "Canteen"


async def test_a_word_document_has_headings_lists_and_tables() -> None:
    """Styles become headings and lists of Markdown; a paragraph with the sign of a heading stays text."""
    document = await read(".docx", make_word())

    assert document.text == (
        "# Canteen\n\nIt opens at noon.\n\n# Prices\n\n\\# is the sign for numbers.\n\n- soup\n- bread\n\n"
        "| dish | price |\n| soup | four euros |"
    )
    assert (document.title, document.media_type) == ("The canteen", "text/markdown")


async def test_a_presentation_has_slides() -> None:
    """Each slide has a heading and a mark; tables and the speaker's notes are read."""
    document = await read(".pptx", make_slides())

    assert document.text == (
        "# Costs\n\nSoup is four euros.\n\nBread is free.\n\nNotes: Say it loud.\n\n# Slide 2\n\n| soup | hot |"
    )
    assert [document.text[mark.start :].split("\n")[0] for mark in document.marks] == ["# Costs", "# Slide 2"]
    assert [mark.label for mark in document.marks] == ["slide 1", "slide 2"]


async def test_a_page_has_headings_and_no_menu() -> None:
    """HTML becomes Markdown, without scripts, menus and footers, in the encoding of the page."""
    document = await read(".html", PAGE.encode())
    latin = "<meta charset='iso-8859-1'><h1>Gr\xf6\xdfe</h1>".encode("latin-1")

    assert document.text == ARTICLE
    assert (document.title, document.media_type) == ("The canteen", "text/markdown")
    assert (await read(".html", latin)).text == "# Größe"


async def test_a_long_page_is_cut_down_to_its_article() -> None:
    """With trafilatura, teasers around the article of a long page are left out, and headings stay."""
    pytest.importorskip("trafilatura")
    story = "".join(
        f"<h2>Day {day}</h2><p>On day {day} the cook made a soup of {day} leeks.</p>" for day in range(1, 9)
    )
    teasers = '<div class="sidebar"><ul><li><a href="/a">Win a prize</a></li></ul></div>'
    text = (await read(".html", f"<body>{teasers}<article>{story}</article>{teasers}".encode())).text

    assert "prize" not in text
    assert text.count("## Day") == 8


HOSTILE = [
    *("<svg>{}</p>", "<title>x<b>", "<!--", "<!x", "<?x", "<a <", "<div>", "<nav></aside>", "<p>x", "<a b='c\" "),
    *("<a " + " ".join(f"a{number}=1" for number in range(100)) + ">", "&#x9", "<li>x<td>"),
]


@pytest.mark.parametrize("place", range(len(HOSTILE)))
async def test_hostile_pages_take_linear_time(place: int) -> None:
    """The time for a page grows with its length alone: twice the page takes about twice the time."""
    whole = HOSTILE[place] * (400_000 // len(HOSTILE[place]))
    if "{}" in whole:
        start, end = HOSTILE[place].split("{}")
        whole = start * 50_000 + end * 50_000

    async def measure(page: str) -> float:
        began = time.process_time()
        with suppress(UsageError):  # a page without text
            await read(".html", page.encode())
        return time.process_time() - began

    half = f"{whole[: len(whole) // 4]}{whole[len(whole) // 2 : -len(whole) // 4]}"
    # With the square of the length, the whole would take four times as long.
    assert await measure(whole) < max(3 * await measure(half), 0.5)


@pytest.mark.parametrize("make", [lambda many: f"<a {many}>", lambda many: f"<p {many}>x</p>"])
async def test_a_page_too_costly_for_trafilatura_is_read_whole(make: Callable[[str], str]) -> None:
    """A tag of 20,000 attributes does not get to trafilatura, which would take seconds."""
    story = "<h2>Soup</h2>" + "<p>The cook made a soup of leeks.</p>" * 20
    page = f"<body><article>{story}</article>" + make(" ".join(f"a{number}=1" for number in range(20_000)))
    began = time.process_time()
    text = (await read(".html", page.encode())).text
    assert time.process_time() - began < 2
    assert text.count("The cook made") == 20


async def test_rows_tell_their_columns() -> None:
    """Each row of a table has the names of the columns, and a mark."""
    document = await read(".csv", b'\xef\xbb\xbfname;city\r\nAnn;Rome\r\n"B;ob";\r\n;;more\r\n')

    assert document.text == "name: Ann\ncity: Rome\n\nname: B;ob\n\ncolumn 3: more"
    assert [(mark.start, mark.label) for mark in document.marks] == [(0, "row 2"), (22, "row 3"), (34, "row 4")]
    assert (await read(".csv", "größe\n1\n".encode("utf-16"))).text == "größe: 1"


async def test_items_tell_their_keys() -> None:
    """JSON becomes lines with the keys before each value; items, keys and lines have marks."""
    items = await read(".json", b'[{"a": {"b": 1, "c": [true, "x", null]}}, "y"]')
    keys = await read(".json", b'{"a": {"b": 1}, "c": 2}')
    lines = await read(".jsonl", b'{"a": 1}\n\n{"a": "2\\u2028"}\n')

    assert items.text == "a.b: 1\na.c: true\na.c: x\n\nvalue: y"
    assert [mark.label for mark in items.marks] == ["item 1", "item 2"]
    assert (keys.text, [mark.label for mark in keys.marks]) == ("a.b: 1\n\nc: 2", ["a", "c"])
    assert [mark.label for mark in lines.marks] == ["line 1", "line 3"]


@pytest.mark.parametrize(
    ("ending", "make", "problem"),
    [
        (".pdf", make_encrypted_pdf, "encrypted"),
        (".pdf", lambda: make_pdf(["", ""]), "no text"),
        (".pdf", lambda: b"%PDF-1.7 nothing", "cannot be read"),
        (".docx", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "password"),
        (".docx", lambda: b"PK\x03\x04 nothing", "not an office document"),
        (".docx", lambda: change_part(make_word(), "word/document.xml", b"<a><b></a>"), "XML is damaged"),
        (".docx", lambda: change_part(make_word(), "word/document.xml", b"<a>" * 1_000), "deep"),
        (".docx", make_zip_bomb, "100,000,008 bytes"),
        (".docx", make_entity_bomb, "DTD"),
        (".pptx", make_word, "no text"),
        (".csv", lambda: b'a,b\n"x,y', "line 2"),
        (".csv", lambda: "größe".encode("latin-1"), "not UTF-8"),
        (".csv", lambda: b"a\0b", "binary"),
        (".json", lambda: b"[1, 2", "not JSON"),
        (".json", lambda: b"[" * 500 + b"1" + b"]" * 500, "too deep"),
        (".jsonl", lambda: b'{"a": 1}\nx\n', "line 2"),
        (".html", lambda: b"<script>x</script>", "no text"),
        (".html", lambda: b"<p>" + b"x" * 2_001, "2,004 bytes"),
    ],
)
async def test_bad_documents_are_refused_by_name(ending: str, make: Callable[[], bytes], problem: str) -> None:
    """A damaged, encrypted, empty, oversized or harmful document is an error with the name and the reason."""
    data = make()
    with trio.fail_after(60), pytest.raises(UsageError) as caught:
        await read(ending, data, max_bytes=2_000 if len(data) == 2_004 else 50_000_000)

    assert f"a{ending}" in caught.value.message
    assert problem in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("ending", GOOD)
async def test_damage_anywhere_is_an_error_or_a_document(ending: str) -> None:
    """Documents with changed, missing and repeated bytes are read or refused, with no other outcome."""
    chance, good = random.Random(ending), GOOD[ending]()
    for _ in range(60):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data) + 1)
            data[at : at + chance.randint(0, 8)] = chance.randbytes(chance.randint(0, 8))
        with suppress(UsageError):
            await read(ending, bytes(data))


async def test_text_has_a_limit() -> None:
    """A long text of a small file is refused by name, and so is a PDF of many pages."""
    for ending, make in GOOD.items():
        with pytest.raises(UsageError, match=f"a{ending} has a text of more than 3 characters"):
            await read(ending, make(), max_characters=3)
    with pytest.raises(UsageError, match="2 pages"):
        await read(".pdf", make_pdf(["a", "b"]), max_pages=1)


def test_settings_are_checked() -> None:
    """A wrong limit or network is an error with a remedy."""
    for settings in ({"max_bytes": 0}, {"allow": ["10.0.0.0/99"]}, {"max_byte": 1}):
        with pytest.raises(ConfigError):
            make_reader("text/csv", settings)
    assert all(make_reader(name).name for name in READERS)


async def test_pdfs_are_read_one_at_a_time(tmp_path: Path) -> None:
    """Many PDFs at once are read rightly, by two runtimes in one process, too."""
    for number in range(20):
        (tmp_path / f"{number}.pdf").write_bytes(make_pdf([f"number{number}"] * 5))
    found = []

    async def add() -> None:
        async with Runtime() as rt:
            opened = rt.knowledge(Knowledge(embedder=None, root=str(tmp_path)))
            assert len((await opened.add(tmp_path)).added) == 20
            found.append([hit.chunk.where for hit in await opened.search("number7")])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(add)
        nursery.start_soon(add)
    assert found == [["7.pdf (page 1)"]] * 2


PROGRAM = """
import pathlib, sys
from agno_rt.cli import main
try:
    main(sys.argv[1:])
finally:
    # Linux alone tells a process's own peak: `getrusage` begins with the peak of the process that started it.
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else ["VmHWM: 0 kB"]
    print("peak", *[int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")], file=sys.stderr)
"""


def test_a_folder_of_bad_files_is_added_without_them(tmp_path: Path) -> None:
    """`agno-rt knowledge add` names each bad file with the reason, adds the others, and stays small."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for ending, make in GOOD.items():
        (docs / f"good{ending}").write_bytes(make())
    (docs / "latin.txt").write_bytes("größer".encode("latin-1"))
    (docs / "wide.txt").write_bytes("wider text".encode("utf-16"))
    (docs / "binary.txt").write_bytes(bytes(range(256)))
    (docs / "corrupt.pdf").write_bytes(make_pdf(["soup"])[:40])
    (docs / "secret.pdf").write_bytes(make_encrypted_pdf())
    (docs / "bomb.docx").write_bytes(make_zip_bomb())
    (docs / "entities.docx").write_bytes(make_entity_bomb())
    for name in ("huge.txt", "huge.pdf", "huge.docx", "huge.json"):
        with (docs / name).open("wb") as huge:
            huge.truncate(1_000_000_000)

    command = [sys.executable, "-c", PROGRAM, "knowledge", "add", "docs", "--embedder", "none"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)

    bad = ["latin.txt", "binary.txt", "corrupt.pdf", "secret.pdf", "bomb.docx", "entities.docx"]
    bad += ["huge.txt", "huge.pdf", "huge.docx", "huge.json"]
    assert f"{len(GOOD) + 1} added, {len(bad)} failed" in done.stderr + done.stdout
    assert all(f"docs/{name}" in done.stderr for name in bad)
    assert not any(f"docs/good{ending}" in done.stderr for ending in TYPES)
    assert done.stderr.count("1,000,000,000 bytes") == 4
    # 90 MB were measured; one of the large files alone would be a gigabyte.
    assert int(done.stderr.rsplit("peak ", 1)[1].split()[0]) < 300
