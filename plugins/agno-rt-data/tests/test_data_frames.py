"""The toolkit `pandas`: frames that belong to a run or a session, and their statistics."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agno_rt_data import make_pandas
from agno_rt_data.frames import AGGREGATES, Frame, describe_frame, group_frame, infer_values, show_value
from hypothesis import given
from hypothesis import strategies as st

from agno_rt import Agent, MemoryPolicy, RunResult, Runtime, ToolCall
from agno_rt.testing import ScriptedModel
from agno_rt.tools import ToolArgumentError, Toolkit

PEOPLE = {"name": ["Ann", "Bob", "Cy", "Di"], "age": [30, 25, None, 41], "team": ["a", "b", "a", "a"]}


def call(name: str, /, **arguments: Any) -> ToolCall:
    """Call a tool."""
    return ToolCall("1", name, msgspec.json.encode(arguments).decode())


def texts(result: RunResult) -> list[str]:
    """Return the results of a run's tools."""
    return [message.text for message in result.messages if message.role == "tool"]


async def use(toolkit: Toolkit, *calls: ToolCall) -> list[str]:
    """Run an agent that makes these calls, and return the results."""
    async with Runtime() as rt:
        return texts(await rt.run(Agent(ScriptedModel([*calls, "done"]), tools=[toolkit]), "?"))


async def test_frames_are_made_and_asked() -> None:
    """A frame is made, described, filtered and grouped; results are frames with names of their own."""
    results = await use(
        make_pandas(),
        call("create_dataframe", data=PEOPLE),
        call("dataframe_info", dataframe="df1"),
        call("dataframe_head", dataframe="df1", n=2),
        call("dataframe_filter", dataframe="df1", conditions={"column": "team", "value": "a"}, name="a team"),
        call("dataframe_groupby", dataframe="df1", by=["team"], agg={"age": "mean", "name": "count"}),
        call("dataframe_describe", dataframe="a team"),
        call("dataframe_head", dataframe="df3"),
        call("dataframe_head", dataframe={"x": [1, 2]}, n=1),
    )
    assert results == [
        "df1: 4 rows, 3 columns\nname,age,team\nAnn,30,a\nBob,25,b\nCy,NULL,a\nDi,41,a\n[4 rows]",
        "4 rows, 3 columns\ncolumn,kind,filled\nname,text,4\nage,integer,3\nteam,text,4",
        "name,age,team\nAnn,30,a\nBob,25,b\n[rows 1 to 2 of 4; use a larger n, or dataframe_filter]",
        "a team: 3 rows, 3 columns\nname,age,team\nAnn,30,a\nCy,NULL,a\nDi,41,a\n[3 rows]",
        "df3: 2 rows, 3 columns\nteam,age,name\na,35.5,3\nb,25,1\n[2 rows]",
        "column,count,mean,std,min,25%,50%,75%,max\nage,2,35.5,7.77817459305202,30,32.75,35.5,38.25,41\n[1 row]",
        "team,age,name\na,35.5,3\nb,25,1\n[2 rows]",
        "x\n1\n[rows 1 to 1 of 2; use a larger n, or dataframe_filter]",
    ]


async def test_mistakes_are_told() -> None:
    """Unknown frames, columns and aggregates, and uneven columns, are errors with the nearest name."""
    results = await use(
        make_pandas(),
        call("dataframe_head", dataframe="df1"),
        call("create_dataframe", data={"a": [1], "b": [1, 2]}),
        call("create_dataframe", data={}),
        call("create_dataframe", data=PEOPLE, name="people"),
        call("dataframe_head", dataframe="peeple"),
        call("dataframe_groupby", dataframe="people", by=["tem"], agg={"age": "mean"}),
        call("dataframe_groupby", dataframe="people", by=["team"], agg={"age": "average"}),
        call("dataframe_groupby", dataframe="people", by=["team"], agg={"name": "sum"}),
        call("dataframe_groupby", dataframe="people", by=[], agg={}),
        call("dataframe_describe", dataframe={"a": ["x"]}),
    )
    told = [
        "There is no frame 'df1'",
        "several lengths",
        "no columns",
        "people: 4 rows",
        "Did you mean 'people'?",
        "Did you mean 'team'?",
        "There is no aggregate 'average'",
        "sum needs numbers, and 'name' is text",
        "Name columns to group by",
        "No column has numbers alone.",
    ]
    for result, part in zip(results, told, strict=True):
        assert part in result


async def test_frames_belong_to_their_session() -> None:
    """A session finds its frames in the next run; other sessions, other users and runs without a session do not."""
    toolkit = make_pandas()
    look: list[ToolCall | str] = [call("dataframe_info", dataframe="df1"), "done"]
    script: list[ToolCall | str] = [call("create_dataframe", data={"a": [1]}), "done", *look, *look, *look, *look]
    agent = Agent(ScriptedModel(script), tools=[toolkit], memory=MemoryPolicy())
    async with Runtime() as rt:
        await rt.run(agent, "?", session="s", user="ann")
        again = await rt.run(agent, "?", session="s", user="ann")
        other = await rt.run(agent, "?", session="t", user="ann")
        alone = await rt.run(agent, "?")
        twice = await rt.run(agent, "?")
    assert texts(again)[-1].startswith("1 rows")
    assert all("There is no frame 'df1'" in texts(result)[-1] for result in (other, alone, twice))


async def test_frames_are_bounded() -> None:
    """A holder has a bounded number of frames and of cells; a name that is used again makes room."""
    results = await use(
        make_pandas("", {"frames": 2, "cells": 5}),
        call("create_dataframe", data={"a": [1, 2, 3, 4, 5, 6]}),
        call("create_dataframe", data={"a": [1, 2, 3]}),
        call("create_dataframe", data={"a": [1, 2, 3]}),
        call("create_dataframe", data={"a": [1, 2, 3, 4]}, name="df1"),
        call("create_dataframe", data={"a": [1]}),
        call("create_dataframe", data={"a": []}),
    )
    for result, part in zip(results, ["may have 5", "df1: 3", "no room", "df1: 4", "df2: 1", "no room"], strict=True):
        assert part in result


async def test_frames_of_files(tmp_path: Path) -> None:
    """With a folder, frames are made of its CSV files, and of no others."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text("city,n\nKassel,1\nMarburg,2\n")
    results = await use(
        make_pandas(f"{tmp_path}/in"),
        call("load_dataframe", file_path="a.csv", name="a"),
        call("dataframe_groupby", dataframe="a", by=["city"], agg={"n": "sum"}),
        call("load_dataframe", file_path="../b.csv"),
    )
    assert results[0] == "a: 2 rows, 2 columns\ncity,n\nKassel,1\nMarburg,2\n[2 rows]"
    assert "Marburg,2" in results[1]
    assert "leads outside" in results[2]
    assert "load_dataframe" not in [each.name for each in make_pandas().tools]


@given(st.lists(st.one_of(st.none(), st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6)), min_size=1, max_size=30))
def test_statistics_agree_with_the_standard_library(values: list[Any]) -> None:
    """Count, mean, deviation, median and ends equal those of `statistics`."""
    numbers = [value for value in values if value is not None]
    found = describe_frame(Frame({"a": values}))
    assert found.rows == (1 if numbers else 0)
    if numbers:
        row = {name: column[0] for name, column in found.columns.items()}
        assert row["count"] == len(numbers)
        assert math.isclose(row["mean"], statistics.fmean(numbers), abs_tol=1e-6)
        assert math.isclose(row["50%"], statistics.median(numbers), abs_tol=1e-6)
        assert (row["min"], row["max"]) == (min(numbers), max(numbers))
        if len(numbers) > 1:
            assert math.isclose(row["std"], statistics.stdev(numbers), abs_tol=1e-6)


@pytest.mark.parametrize("word", AGGREGATES)
def test_every_aggregate(word: str) -> None:
    """Each aggregate works on numbers, leaves out nothing-values, and gives nothing for none."""
    frame = Frame({"g": ["x", "x", "y", "z"], "n": [4, 2, None, 7]})
    expected = {
        "count": [2, 0, 1],
        "first": [4, None, 7],
        "last": [2, None, 7],
        "max": [4, None, 7],
        "mean": [3.0, None, 7.0],
        "median": [3.0, None, 7],
        "min": [2, None, 7],
        "nunique": [2, 0, 1],
        "std": [math.sqrt(2), None, None],
        "sum": [6, None, 7],
    }
    assert list(group_frame(frame, ["g"], {"n": word}).columns["n"]) == expected[word]


def test_groups_tell_values_of_several_kinds_apart() -> None:
    """1, true and "1" are three groups; a column may be grouped by and aggregated at once."""
    found = group_frame(Frame({"a": [1, True, "1", 1]}), ["a"], {"a": "count"})
    assert list(found.columns["a"]) == [1, True, "1"]
    assert list(found.columns["a_count"]) == [2, 1, 1]
    with pytest.raises(ToolArgumentError, match="cannot compare"):
        group_frame(Frame({"a": ["x", "x"], "b": [1, "y"]}), ["a"], {"b": "max"})


def test_numbers_may_be_too_large() -> None:
    """Sums beyond the range of floats are an error for the model."""
    frame = Frame({"a": ["x", "x"], "b": [1.5e308, 1.5e308], "c": [10**400, 1]})
    with pytest.raises(ToolArgumentError, match="too large"):
        describe_frame(frame)
    with pytest.raises(ToolArgumentError, match="too large"):
        group_frame(frame, ["a"], {"b": "mean"})
    assert show_value(10**5_000) == "<a number of thousands of digits>"
    assert list(group_frame(frame, ["a"], {"c": "sum"}).columns["c"]) == [10**400 + 1]


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (["1", " 2 ", ""], [1, 2, None]),
        (["1", "2.5"], [1.0, 2.5]),
        (["1e3", ".5"], [1000.0, 0.5]),
        (["007", "8"], ["007", "8"]),
        (["true", "False"], [True, False]),
        (["1", "x"], ["1", "x"]),
        (["", ""], [None, None]),
        (["nan", "1"], ["nan", "1"]),
        (["1e999", "1"], ["1e999", "1"]),
        (["1_000"], ["1_000"]),
        (["."], ["."]),
        (["-"], ["-"]),
        (["1."], ["1."]),
    ],
)
def test_values_of_files_are_inferred(read: list[str], values: list[Any]) -> None:
    """A column is read as numbers or truth values only if all its values are."""
    assert infer_values(read) == values
