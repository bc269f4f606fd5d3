"""`export` and `import` of `agno-rt sessions`, `runs`, `facts`, `approvals` and `knowledge`, on every backend."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Message, ToolCall
from agno_rt.cli.app import command
from agno_rt.cli.options import State
from agno_rt.cli.transfer.base import Skipped
from agno_rt.cli.transfer.facts import FactTransfer
from agno_rt.cli.transfer.lines import Fault, LineReader
from agno_rt.cli.transfer.runs import RunTransfer
from agno_rt.cli.transfer.sessions import SessionTransfer
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import AgnoError, UsageError
from agno_rt.knowledge import Chunk, Document
from agno_rt.run_store import Approval, Decision, Entry, RunChange, RunRecord
from agno_rt.runtime import Runtime
from tests.real_servers import open_place

Run = Callable[..., tuple[int, str, str]]

GONE = "another-host/1/1/runtime"
TEXT = "a\0b \ufffe😀\U0010ffff \x7f\r\n \u202e 대화"


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of an empty store."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/target.db"
        return
    with open_place(request.param) as url:
        yield url


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Carry out a command line in this process; return the exit code and both outputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    def carry_out(*args: str) -> tuple[int, str, str]:
        capfd.readouterr()
        error = ""
        try:
            code = command.main([*args], "agno-rt", standalone_mode=False, obj=State()) or 0
        except AgnoError as exc:
            code, error = 2 if isinstance(exc, UsageError) else 1, exc.full_text
        out, err = capfd.readouterr()
        return int(code), out, err + error

    return carry_out


async def fill(store: Any) -> None:
    """Store some of everything, with hostile text."""
    for session, user in (("one", None), ("two", "ann"), ("three", "bob")):
        call = ToolCall("c", "tool", json.dumps({"text": TEXT}))
        messages = [Message("user", TEXT), Message("assistant", "", (call,)), Message("tool", TEXT, tool_call_id="c")]
        await store.append(session, messages, version=0, user=user, data=b"\0\xffdata", agent="a")
    await store.append("two", [Message("user", "more")], version=1, user="ann")
    await store.rename("two", "A title")
    for user, text in (("ann", "Drinks tea."), ("bob", "Has a cat 🐈."), ("ann", "Was born in 서울.")):
        await store.remember(user, text, topics=["life"], session="two")
    await store.create_run(RunRecord("lost", "a", session="one", input=TEXT), [Entry(0, "begun", b"\0x")])
    await store.create_run(RunRecord("paused", "a", user="ann", owner=GONE), [Entry(0, "begun", b"y")])
    await store.send_signal("paused", "mail", json.dumps(TEXT).encode())
    await store.log_events("paused", [b"1", b"2"], first=1, owner=GONE)
    asked = [Approval(f"paused.{at}", "paused", ToolCall(f"c{at}", "pay", "{}"), user="ann") for at in (1, 2)]
    await store.change_run("paused", RunChange("paused", approvals=asked), owner=GONE)
    await store.decide("paused.1", Decision("denied", reason=TEXT, by="boss"))


def make_source(path: Path) -> str:
    """Fill a new file, and return its URL."""

    async def main() -> None:
        memory = SQLiteMemory(path)
        await fill(memory)
        await memory.aclose()

    trio.run(main)
    return f"sqlite:///{path}"


KINDS = ("sessions", "facts", "runs", "approvals")


def export(run: Run, kind: str, url: str, *options: str) -> list[dict[str, Any]]:
    """Return the exported lines."""
    code, out, err = run(kind, "export", "--memory", url, *options)
    assert (code, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def test_from_a_file_into_every_backend(run: Run, tmp_path: Path, target: str) -> None:
    """Exported lines are imported elsewhere once, equal in every field; a second import stores nothing."""
    source = make_source(tmp_path / "source.db")
    for kind in KINDS:
        lines = export(run, kind, source)
        assert run(kind, "export", "--memory", source, "-o", f"{kind}.jsonl")[0] == 0
        first = run(kind, "import", f"{kind}.jsonl", "--memory", target)
        again = run(kind, "import", f"{kind}.jsonl", "--memory", target)
        noun = kind.removesuffix("s")
        # Approvals have come with their runs.
        stored = len(lines) if kind != "approvals" else 0
        assert (first[0], again[0]) == (0, 0), first[2] + again[2]
        assert f"Stored {stored} {noun}{'' if stored == 1 else 's'}." in first[2]
        assert f"{len(lines)} {noun}s were there already." in again[2]
        assert export(run, kind, target) == lines, kind
    assert len(export(run, "sessions", target)) == 3


def test_with_a_user_there_is_only_what_is_theirs(run: Run, tmp_path: Path) -> None:
    """`--user` limits each verb to the things of the user; an import refuses the things of others."""
    source, there = make_source(tmp_path / "a.db"), f"sqlite:///{tmp_path}/b.db"
    counts = {kind: (len(export(run, kind, source, "--user", user))) for kind in KINDS for user in ("ann",)}
    assert counts == {"sessions": 1, "facts": 2, "runs": 1, "approvals": 2}
    assert all(export(run, kind, source, "--user", "eve") == [] for kind in KINDS)
    assert run("sessions", "export", "three", "--user", "ann", "--memory", source)[0] == 2
    assert run("facts", "show", "f9", "--user", "bob", "--memory", source)[0] == 2
    for kind in ("sessions", "facts", "runs"):
        run(kind, "export", "--memory", source, "-o", "out.jsonl")
        code, _, err = run(kind, "import", "out.jsonl", "--user", "bob", "--memory", there)
        assert code == 1
        assert "skipped: it belongs to another user" in err
    owners = {kind: {each.get("user", each.get("record", {}).get("user")) for each in export(run, kind, there)}
              for kind in ("sessions", "facts", "runs")}  # fmt: skip
    assert owners == {"sessions": {"bob"}, "facts": {"bob"}, "runs": {"bob"}}


GOOD = '{"format": 1, "kind": "session", "id": "new", "messages": [{"role": "user", "content": "Hi."}]}'
HOSTILE = [
    ("{", "the line is not a session: Input data was truncated"),
    ("[" * 100_000, "the line is not a session: "),
    ("7", "the line is not a session: "),
    ('{"id": "b"}', "the line has no format"),
    ('{"format": 9, "kind": "session", "id": "b"}', "the line has the format 9, and 1 is known"),
    ('{"format": 1, "kind": "run", "id": "b"}', "the line has the kind 'run', not 'session'"),
    ('{"format": 1, "kind": "session", "id": 7}', "the line is not a session: Expected `str`, got `int`"),
    ('{"format": 1, "kind": "session", "id": "b", "mesages": []}', "the line is not a session: Object contains"),
    ('{"format": 1, "kind": "session", "id": "a\\u0000"}', "the session's id has the character U+0000"),
    ('{"format": 1, "kind": "session", "id": "b", "user": "x\\u202e"}', "the user's name has the character U+202E"),
    ('{"format": 1, "kind": "session", "id": "b", "messages": [{"role": "usr"}]}', "Invalid enum value 'usr'"),
    ('{"format": 1, "kind": "session", "id": "b", "title": "\\ud800"}', "the line is not a session: "),
    ('{"format": 1, "kind": "session", "id": "b", "first": 2}', "the beginning of session 'b' is missing"),
    ('{"format": 1, "kind": "session", "id": "b", "version": 0}', "are at least 1"),
    (GOOD.replace("Hi.", "Ho."), "another session has the id 'new'"),
]


def test_a_bad_line_is_named_and_the_others_are_stored(run: Run, tmp_path: Path) -> None:
    """Each bad line is reported with its number and the reason; every other line is stored, and the exit code is 1."""
    last = GOOD.replace("new", "last")
    (tmp_path / "in.jsonl").write_text("\n".join((GOOD, "", *(line for line, _ in HOSTILE), last, "")))
    memory = "--memory", f"sqlite:///{tmp_path}/a.db"
    dry = run("sessions", "import", "in.jsonl", "--dry-run", *memory)
    assert run("sessions", "list", *memory)[1] == ""
    code, out, err = run("sessions", "import", "in.jsonl", *memory)
    shown = dict(line.partition("in.jsonl:")[2].split(": ", 1) for line in err.splitlines() if "in.jsonl:" in line)
    listed = [json.loads(line)["id"] for line in run("sessions", "list", "--json", *memory)[1].splitlines()]

    assert (code, out, dry[0]) == (1, "", 1)
    assert sorted(listed) == ["last", "new"]
    assert list(map(int, shown)) == list(range(3, len(HOSTILE) + 3))
    for number, (_, reason) in enumerate(HOSTILE, 3):
        assert reason in shown[str(number)], number
    assert "Stored 2 sessions." in err
    assert "lines cannot be read" in err


@pytest.mark.parametrize(
    ("kind", "line", "said"),
    [
        ("facts", '"id": "f1", "user": "ann", "text": "a\\nb", "created_at": 1, "updated_at": 1', "line ends"),
        ("facts", '"id": "f1", "user": "", "text": "a", "created_at": 1, "updated_at": 1', "the user of a fact"),
        ("runs", '"record": {"id": "r", "agent": "a"}, "entries": [{"seq": 3, "kind": "begun"}]', "are missing"),
        ("runs", '"record": {"id": "r", "agent": "a", "status": "done"}', "Invalid enum value 'done'"),
        (
            "approvals",
            '"approval": {"id": "a", "run": "r", "call": {"id": "", "name": "t", "arguments": ""}, "arguments": "{"}',
            "arguments are not JSON",
        ),
        (
            "approvals",
            '"approval": {"id": "r.a", "run": "r", "call": {"id": "", "name": "t", "arguments": ""}}',
            "there is no approval 'r.a' of run 'r'",
        ),
    ],
)
def test_bad_lines_of_other_kinds(run: Run, tmp_path: Path, kind: str, line: str, said: str) -> None:
    """Lines of facts, runs and approvals are checked as well, before the import stores the line."""
    head = f'"format": 1, "kind": "{kind.removesuffix("s")}"'
    (tmp_path / "in.jsonl").write_text(f"{{{head}, {line}}}\n")
    code, _, err = run(kind, "import", "in.jsonl", "--memory", f"sqlite:///{tmp_path}/a.db")
    assert (code, "in.jsonl:1: " in err, said in err) == (1, True, True), err


def test_a_huge_line_is_not_read_into_memory() -> None:
    """A line beyond the bound is a fault with its number; the lines around it are read."""
    transfer = SessionTransfer()
    reader = LineReader(transfer.kind, transfer.line, most=1_000)
    file = io.BytesIO(b"\n".join((GOOD.encode(), b"x" * 3_000_000, GOOD.encode())))
    found = list(reader.read(file))

    assert [number for number, _ in found] == [1, 2, 3]
    assert isinstance(found[1][1], Fault)
    assert "longer than 1,000 bytes" in found[1][1].problem
    assert not isinstance(found[2][1], Fault)


async def move(transfer: Any, source: Any, target: Any, *, lines: int | None = None) -> list[str]:
    """Move everything of a kind, or the first lines alone; return the outcomes."""
    file = io.BytesIO()
    for key in await transfer.find(source, (), None):
        await transfer.export(source, key, file.write)
    file.seek(0)
    outcomes = []
    for _, line in list(LineReader(transfer.kind, transfer.line).read(file))[:lines]:
        assert not isinstance(line, Fault), line
        try:
            outcomes.append(await transfer.load(target, line, None))
        except Skipped as exc:
            outcomes.append(exc.message)
    return outcomes


async def test_a_long_session_has_several_lines(tmp_path: Path) -> None:
    """A session above the size of a part is moved in parts, goes on after a cut, and is completed when it grew."""
    source, target = InProcessMemory(), SQLiteMemory(tmp_path / "a.db")
    await source.append("s", [Message("user", f"{number} {'x' * 100}") for number in range(450)], version=0)
    transfer = SessionTransfer(part_bytes=20_000)
    cut = await move(transfer, source, target, lines=2)
    whole = await move(transfer, source, target)
    await source.append("s", [Message("user", "more")], version=1)
    grown = await move(transfer, source, target)
    moved, there = await target.export_session("s"), await source.export_session("s")
    await target.append("s", [Message("user", "other")], version=2)
    await source.append("s", [Message("user", "another"), Message("user", "one")], version=2)
    apart = await move(SessionTransfer(), source, target)
    await target.aclose()

    assert cut == ["stored", "stored"]
    assert whole[:2] == ["same", "same"]
    assert set(whole[2:]) == {"stored"}
    assert grown == [*["same"] * (len(whole) - 1), "stored"]
    assert moved == there
    assert apart == ["stored"] or "otherwise" in apart[0]


async def test_ids_that_are_taken() -> None:
    """Another session, run or fact of the same id is skipped with the reason, and stays as it is."""
    source, target = InProcessMemory(), InProcessMemory()
    for store, user in ((source, "ann"), (target, "bob")):
        await store.append("s", [Message("user", user)], version=0, user=user)
        await store.create_run(RunRecord("r", user))
        await store.remember("ann", f"A fact of {user}.")

    assert await move(SessionTransfer(), source, target) == ["another session has the id 's'"]
    assert await move(RunTransfer(), source, target) == ["another run has the id 'r'"]
    assert await move(FactTransfer(), source, target) == ["another fact about 'ann' has the id 'f1'"]
    assert (await target.load("s")).messages[0].content == "bob"


def test_decisions_are_made_elsewhere(run: Run, tmp_path: Path) -> None:
    """An exported approval that gets a decision is decided by the import, once; a decided one is refused."""
    source = make_source(tmp_path / "a.db")
    (line,) = [each for each in export(run, "approvals", source) if each["approval"]["status"] == "pending"]
    for fields, said in (
        ({"status": "denied"}, "the denial has no reason"),
        ({"status": "denied", "reason": "too dear", "by": "eve"}, "Stored 1 approval."),
        ({"status": "denied", "reason": "too dear", "by": "eve"}, "1 approval was there already."),
        ({"status": "approved"}, "is denied already"),
    ):
        decided = {**line, "approval": {**line["approval"], **fields}}
        (tmp_path / "in.jsonl").write_text(json.dumps(decided))
        assert said in run("approvals", "import", "in.jsonl", "--memory", source)[2], fields
    shown = json.loads(run("approvals", "show", "paused.2", "--json", "--memory", source)[1])
    assert (shown["status"], shown["reason"], shown["by"]) == ("denied", "too dear", "eve")


def test_withdraws_approvals(run: Run, target: str, tmp_path: Path) -> None:
    """`approvals delete` asks, then withdraws pending approvals; decided ones go with their runs."""
    source = make_source(tmp_path / "source.db")
    run("runs", "export", "--memory", source, "-o", "runs.jsonl")
    run("runs", "import", "runs.jsonl", "--memory", target)
    asked = run("approvals", "delete", "paused.2", "--memory", target)
    decided = run("approvals", "delete", "paused.1", "--yes", "--memory", target)
    done = run("approvals", "delete", "paused.2", "--yes", "--memory", target)
    listed = run("approvals", "list", "--all", "--json", "--memory", target)[1]

    assert (asked[0], "--yes" in asked[2]) == (2, True)
    assert "is denied already" in decided[2]
    assert "runs delete paused" in decided[2]
    assert done[:2] == (0, "deleted paused.2\n")
    assert [json.loads(line)["status"] for line in listed.splitlines()] == ["denied", "expired"]


def test_facts(run: Run, target: str, tmp_path: Path) -> None:
    """Facts are listed by user and page, searched, shown, and deleted by id; an id of several users needs the user."""
    source = make_source(tmp_path / "source.db")
    run("facts", "export", "--memory", source, "-o", "facts.jsonl")
    run("facts", "import", "facts.jsonl", "--memory", target)
    memory = "--memory", target
    listed = [json.loads(line) for line in run("facts", "list", "--json", *memory)[1].splitlines()]
    page = run("facts", "list", "--json", "--limit", "1", "--offset", "1", *memory)[1]
    found = run("facts", "list", "--user", "ann", "--search", "tea", *memory)[1]
    several = run("facts", "show", "f1", *memory)
    shown = run("facts", "show", "f1", "--user", "bob", *memory)[1]
    deleted = run("facts", "delete", "f1", "--user", "ann", "--yes", *memory)

    assert [(each["user"], each["id"]) for each in listed] == [("ann", "f2"), ("ann", "f1"), ("bob", "f1")]
    assert json.loads(page) == listed[1]
    assert "Drinks tea." in found
    assert "서울" not in found
    assert (several[0], "--user ann | bob" in several[2]) == (2, True)
    assert "Has a cat 🐈." in shown
    assert deleted[:2] == (0, "deleted f1 (ann)\n")
    assert [each["user"] for each in export(run, "facts", target)] == ["ann", "bob"]
    assert run("facts", "list", "--memory", "sqlite:///none.db")[2] == "No facts.\n"


def test_runs_and_sessions_in_pages(run: Run, tmp_path: Path) -> None:
    """`--offset` shows the next page of each list."""
    memory = "--memory", make_source(tmp_path / "a.db")
    for kind, count in (("sessions", 3), ("runs", 2), ("facts", 3)):
        whole = run(kind, "list", "--json", *memory)[1].splitlines()
        pages = [run(kind, "list", "--json", "--limit", "1", "--offset", str(at), *memory)[1] for at in range(count)]
        assert [page.strip() for page in pages] == whole
    assert len(run("approvals", "list", "--all", "--json", "--limit", "1", *memory)[1].splitlines()) == 1


def test_a_run_under_way_is_left_out(run: Run, tmp_path: Path) -> None:
    """A run whose owner has a lease is named, and the others are exported."""

    async def main() -> None:
        memory = SQLiteMemory(tmp_path / "a.db")
        await fill(memory)
        await memory.create_run(RunRecord("goes on", "a", owner=GONE))
        await memory.renew_lease(GONE, seconds=60)
        await memory.aclose()

    trio.run(main)
    code, out, err = run("runs", "export", "--memory", f"sqlite:///{tmp_path}/a.db")
    assert (code, len(out.splitlines())) == (1, 2)
    assert "not exported: run 'goes on': it is under way" in err


def fill_knowledge(url: str) -> None:
    """Put two documents into a knowledge, one of them of a user."""
    from agno_rt.knowledge.base import Knowledge

    async def main() -> None:
        async with Runtime() as rt:
            opened = rt.knowledge(Knowledge(url, embedder=None))
            page = f"# One\n\nFoxes {TEXT} eat mice.\n\n# Two\n\n고양이 is a cat.\n"
            await opened.add(Document("a.md", page, title="A", media_type="text/markdown", metadata={"n": 1}))
            await opened.add(Document("b.txt", "Only for ann."), user="ann")

    trio.run(main)


# The tests of agno-rt-postgres have a server with pgvector, which the usual server lacks.
@pytest.mark.parametrize("target", ["sqlite", "redis"], indirect=True)
def test_documents(run: Run, target: str, tmp_path: Path) -> None:
    """Documents come over with passages, metadata and owners, and are found there; another version is skipped."""
    source = f"sqlite:///{tmp_path}/source.db"
    fill_knowledge(source)
    there = "--store", target, "--embedder", "none"
    exported = run("knowledge", "export", "--memory", source, "--embedder", "none")[1]
    (tmp_path / "docs.jsonl").write_text(exported)
    first = run("knowledge", "import", "docs.jsonl", *there)
    again = run("knowledge", "import", "docs.jsonl", *there)
    back = run("knowledge", "export", *there)[1]
    other = json.loads(exported.splitlines()[0]) | {"digest": "other"}
    bad = json.loads(exported.splitlines()[0]) | {"source": "c", "characters": 1}
    (tmp_path / "other.jsonl").write_text("\n".join(map(json.dumps, (other, bad))))
    skipped = run("knowledge", "import", "other.jsonl", *there)
    mine = run("knowledge", "export", "--user", "ann", *there)[1]
    shown = run("knowledge", "show", "a.md", *there)[1]
    found = run("knowledge", "search", "mice", *there)[1]
    deleted = run("knowledge", "delete", "a.md", "--yes", *there)

    assert (first[0], again[0]) == (0, 0), first[2] + again[2]
    assert "Stored 2 documents." in first[2]
    assert "2 documents were there already." in again[2]
    assert back == exported
    assert skipped[0] == 1
    assert "other.jsonl:1: skipped: another version of 'a.md' is there" in skipped[2]
    assert "other.jsonl:2: a passage is from" in skipped[2]
    assert [json.loads(line)["source"] for line in mine.splitlines()] == ["b.txt"]
    assert "고양이 is a cat." in shown
    assert "n=1" in shown
    assert "a.md (One)" in found
    assert deleted[2] == "1 document deleted.\n"
    assert run("knowledge", "show", "a.md", *there)[0] == 2


def test_text_of_a_document_is_put_together() -> None:
    """The text of a copy is the passages at their places, also where they overlap."""
    from agno_rt.knowledge import DocumentCopy, DocumentInfo

    chunks = [Chunk("one two", start=0, end=7), Chunk("two three", start=4, end=13), Chunk("x", start=15, end=16)]
    assert DocumentCopy(DocumentInfo("a", characters=18), chunks).document.text == "one two three  x  "


def test_a_line_without_times_is_imported_once(run: Run, tmp_path: Path) -> None:
    """A session written by hand needs no times; the same line again finds the session there."""
    line = {"format": 1, "kind": "session", "id": "mine", "messages": [{"role": "user", "content": "hi"}]}
    (tmp_path / "mine.jsonl").write_text(json.dumps(line))
    place = "--memory", f"sqlite:///{tmp_path}/mine.db"
    first, again = (run("sessions", "import", "mine.jsonl", *place) for _ in range(2))

    assert first[0] == again[0] == 0
    assert "Stored 1 session." in first[2]
    assert "1 session was there already." in again[2]
