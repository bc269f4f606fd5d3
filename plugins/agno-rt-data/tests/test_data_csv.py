"""The toolkit `csv`: files of one folder, read, written, analyzed and filtered within limits."""

from __future__ import annotations

import csv
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from agno_rt_data import make_csv

from agno_rt.errors import UsageError
from agno_rt.plugins import PluginHost
from agno_rt.tools import ToolArgumentError

SALES = 'city;amount;code\nKassel;9.5;00123\n"Bad; Hersfeld";12;00456\nMarburg;;\n'


@pytest.fixture
def use(tmp_path: Path) -> Callable[..., str]:
    """Call a tool of the folder: `use("read_csv", file_path="a.csv")`."""
    (tmp_path / "in").mkdir()

    def call(name: str, settings: dict[str, Any] | None = None, **arguments: Any) -> str:
        [found] = [each for each in make_csv(f"{tmp_path}/in", settings).tools if each.name == name]
        result: str = found(**arguments)
        return result

    return call


def write(folder: Path, text: str | bytes, name: str = "a.csv") -> None:
    """Write a file into the folder of the toolkit."""
    (folder / "in" / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def test_a_file_is_read(use: Callable[..., str], tmp_path: Path) -> None:
    """The delimiter is found, numbers are numbers, codes with zeros stay texts, and nothing is NULL."""
    write(tmp_path, SALES)
    assert use("read_csv", file_path="a.csv") == (
        "city,amount,code\nKassel,9.5,00123\nBad; Hersfeld,12,00456\nMarburg,NULL,NULL\n[3 rows]"
    )
    assert use("read_csv", file_path="a.csv", start=2, limit=1) == (
        "city,amount,code\nBad; Hersfeld,12,00456\n[rows 2 to 2 of 3; use start, or filter_csv]"
    )
    assert use("read_csv", file_path="a.csv", start=9).endswith("[3 rows; start before that]")
    assert use("read_csv", file_path="a.csv", has_header=False).startswith(
        "column_1,column_2,column_3\ncity,amount,code"
    )


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", "a,b\n1,2\n[1 row]"),
        ("ä,b\n1,ü\n".encode("cp1252"), "ä,b\n1,ü\n[1 row]"),
        (b"a,a,\n1,2,3\n", "a,a_2,column_3\n1,2,3\n[1 row]"),
        (b"a,b\n1\n1,2,3\n", "a,b,column_3\n1,NULL,NULL\n1,2,3\n[2 rows]"),
        (b'a,b\n"x\ny",2\n\n', 'a,b\n"x\ny",2\n[1 row]'),
        (b"a\tb\n1,5\t2\n", 'a,b\n"1,5",2\n[1 row]'),
        (b"", "\n[0 rows]"),
        (b"a,b\n", "a,b\n[0 rows]"),
        (b"n\n12345678901234567890\n", "n\n12345678901234567890\n[1 row]"),
    ],
)
def test_files_of_all_kinds(data: bytes, told: str, use: Callable[..., str], tmp_path: Path) -> None:
    """Marks of Excel, other encodings, repeated names, uneven rows, long values and empty files are read."""
    write(tmp_path, data)
    assert use("read_csv", file_path="a.csv") == told


def test_a_file_is_written_and_read_again(use: Callable[..., str], tmp_path: Path) -> None:
    """Rows are written with quotes where they are needed, in folders that are made; the old file is replaced."""
    rows = [["a, b", 1], ['say "hi"', None], ["two\nlines", True]]
    told = use("write_csv", file_path="new/b.csv", data=rows, headers=["text", "value"])
    assert told.startswith("new/b.csv is written: 3 rows, ")
    with open(tmp_path / "in/new/b.csv", newline="") as opened:
        assert list(csv.reader(opened)) == [["text", "value"], ["a, b", "1"], ['say "hi"', ""], ["two\nlines", "true"]]
    use("write_csv", file_path="new/b.csv", data=[[1, 0.12345678901234566]])
    assert (tmp_path / "in/new/b.csv").read_text() == "1,0.12345678901234566\n"
    assert os.listdir(tmp_path / "in/new") == ["b.csv"]


def test_a_file_is_analyzed(use: Callable[..., str], tmp_path: Path) -> None:
    """The analysis tells rows, columns, kinds, empty and distinct values, the range, and the first rows."""
    write(tmp_path, SALES)
    assert use("analyze_csv", file_path="a.csv") == (
        "a.csv: 3 rows, 3 columns, delimiter ';', all rows have the same number of columns\n\n"
        "column,kind,empty,distinct,min,max\n"
        "city,text,0,3,Bad; Hersfeld,Marburg\namount,number,1,2,9.5,12\ncode,text,1,2,00123,00456\n\n"
        "city,amount,code\nKassel,9.5,00123\nBad; Hersfeld,12,00456\nMarburg,NULL,NULL\n[3 rows]"
    )
    write(tmp_path, "a,b\n1\n")
    assert "1 uneven rows" in use("analyze_csv", file_path="a.csv")


@pytest.mark.parametrize(
    ("conditions", "cities"),
    [
        ({"column": "amount", "operator": ">", "value": 10}, ["Bad; Hersfeld"]),
        ({"column": "amount", "operator": ">=", "value": "9.5"}, ["Kassel", "Bad; Hersfeld"]),
        ({"column": "amount", "operator": "<", "value": 100}, ["Kassel", "Bad; Hersfeld"]),
        ({"column": "amount", "operator": "!=", "value": 12}, ["Kassel", "Marburg"]),
        ({"column": "amount", "operator": "==", "value": None}, ["Marburg"]),
        ({"column": "code", "operator": "==", "value": "00123"}, ["Kassel"]),
        ({"column": "city", "value": "Kassel"}, ["Kassel"]),
        ({"column": "city", "operator": "contains", "value": "hers"}, ["Bad; Hersfeld"]),
        ({"column": "city", "operator": "starts_with", "value": "M"}, ["Marburg"]),
        ([{"column": "city", "operator": "ends_with", "value": "el"}, {"column": "amount", "value": 12}], []),
        (
            {"one": {"column": "amount", "operator": ">", "value": 1}, "two": {"column": "city", "value": "Kassel"}},
            ["Kassel"],
        ),
    ],
)
def test_rows_are_filtered(conditions: Any, cities: list[str], use: Callable[..., str], tmp_path: Path) -> None:
    """Conditions compare numbers as numbers and texts as texts, alone, in a list, or by name."""
    write(tmp_path, SALES)
    lines = use("filter_csv", file_path="a.csv", conditions=conditions).splitlines()
    assert lines[0] == f"{len(cities)} of 3 rows fit."
    assert [line.split(",")[0] for line in lines[2:-1]] == cities


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("read_csv", {"file_path": "../out.csv"}, "leads outside"),
        ("read_csv", {"file_path": "/etc/passwd"}, "leads outside"),
        ("read_csv", {"file_path": "none.csv"}, "No such file"),
        ("read_csv", {"file_path": "link.csv"}, "cannot be read"),
        ("read_csv", {"file_path": "folder"}, "cannot be read"),
        ("read_csv", {"file_path": "binary.csv"}, "is not a text"),
        ("read_csv", {"file_path": "long.csv"}, "cannot be read as CSV"),
        ("write_csv", {"file_path": "../out.csv", "data": [[1]]}, "leads outside"),
        ("write_csv", {"file_path": "link/out.csv", "data": [[1]]}, "cannot be written"),
        ("write_csv", {"file_path": "run.sh", "data": [["rm"]]}, "is not the name of a CSV file"),
        (
            "filter_csv",
            {"file_path": "a.csv", "conditions": {"column": "town", "value": 1}},
            "There is no column 'town'",
        ),
        ("filter_csv", {"file_path": "a.csv", "conditions": {"column": "citty", "value": 1}}, "Did you mean 'city'?"),
        (
            "filter_csv",
            {"file_path": "a.csv", "conditions": {"column": "city", "operator": "~", "value": 1}},
            "no operator",
        ),
        ("filter_csv", {"file_path": "a.csv", "conditions": {"age": 30}}, "A condition has no column"),
    ],
)
def test_refusals_are_told(
    name: str, arguments: dict[str, Any], problem: str, use: Callable[..., str], tmp_path: Path
) -> None:
    """Paths outside, links, other files and wrong conditions are errors for the model; nothing is written."""
    write(tmp_path, SALES)
    write(tmp_path, b"a\0b", "binary.csv")
    write(tmp_path, "a\n" + "x" * 200_000, "long.csv")
    (tmp_path / "in/folder").mkdir()
    (tmp_path / "secret.csv").write_text("secret")
    (tmp_path / "in/link.csv").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "in/link").symlink_to(tmp_path)
    before = sorted(map(str, tmp_path.rglob("*")))
    with pytest.raises(ToolArgumentError, match=problem):
        use(name, **arguments)
    assert sorted(map(str, tmp_path.rglob("*"))) == before


def test_limits_hold(use: Callable[..., str], tmp_path: Path) -> None:
    """Files, data, rows, values and answers have bounds; a cut answer says so."""
    write(tmp_path, "a\n" + "12345\n" * 1_000)
    with pytest.raises(ToolArgumentError, match="more than 100 bytes"):
        use("read_csv", {"file_bytes": 100}, file_path="a.csv")
    with pytest.raises(ToolArgumentError, match="may have 100"):
        use("write_csv", {"file_bytes": 100}, file_path="b.csv", data=[["x" * 200]])
    with pytest.raises(ToolArgumentError, match="more than 3 values"):
        use("write_csv", {"cells": 3}, file_path="b.csv", data=[[1, 2], [3, 4]])
    assert "rows 1 to 5 of 1,000" in use("read_csv", {"rows": 5}, file_path="a.csv")
    assert "rows 1 to 12 of 1,000" in use("read_csv", {"result_characters": 100}, file_path="a.csv")
    write(tmp_path, "a\n" + "x" * 50)
    assert "xxxxx[... 50 characters]" in use("read_csv", {"cell_characters": 5}, file_path="a.csv")


def test_a_race_with_links_is_lost(tmp_path: Path) -> None:
    """While a folder is swapped for a link again and again, no file outside is read or written."""
    (tmp_path / "in/sub").mkdir(parents=True)
    write(tmp_path, "a\ninside\n", "sub/x.csv")
    (tmp_path / "x.csv").write_text("a\nsecret\n")
    tools = {each.name: each for each in make_csv(f"{tmp_path}/in").tools}
    read, change = tools["read_csv"], tools["write_csv"]
    swaps, is_over = 0, threading.Event()

    def swap() -> None:
        nonlocal swaps
        while not is_over.is_set():
            with suppress(OSError):
                os.rename(tmp_path / "in/sub", tmp_path / "in/kept")
                os.symlink(tmp_path, tmp_path / "in/sub")
                os.unlink(tmp_path / "in/sub")
            shutil.rmtree(tmp_path / "in/sub", ignore_errors=True)  # a write makes missing folders
            with suppress(OSError):
                os.rename(tmp_path / "in/kept", tmp_path / "in/sub")
                swaps += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        tries = 0
        while tries < 300 or swaps <= 10:  # however seldom the other thread gets its turn
            tries += 1
            with suppress(ToolArgumentError):
                assert "secret" not in read(file_path="sub/x.csv")
            with suppress(ToolArgumentError):
                change(file_path="sub/x.csv", data=[["a"], ["inside"]])
    finally:
        is_over.set()
        thread.join()
    assert (tmp_path / "x.csv").read_text() == "a\nsecret\n"


def test_the_spec_string(tmp_path: Path) -> None:
    """A spec without a folder, and a missing folder, are errors with a remedy; read-only has no tool to write."""
    with pytest.raises(UsageError, match="names no folder"):
        PluginHost().tool("data:csv", {})
    with pytest.raises(UsageError, match="there is no folder"):
        PluginHost().tool(f"data:csv:{tmp_path}/none", {})
    names = [each.name for each in PluginHost().tool(f"data:csv:{tmp_path}", {"data": {"read_only": True}}).tools]
    assert names == ["read_csv", "analyze_csv", "filter_csv"]
