"""The toolkit `pandas`: frames of data, made, looked at, filtered and grouped. Names and parameters are Agno-Go's."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from agno_rt.context import RunContext
from agno_rt.tools import Tool, Toolkit, tool
from agno_rt_data.csv_files import CsvFolder
from agno_rt_data.csv_toolkit import show_frame
from agno_rt_data.frame_store import FrameStore
from agno_rt_data.frames import Frame, describe_frame, filter_frame, group_frame, kind_of
from agno_rt_data.settings import DataSettings
from agno_rt_data.text_tables import show_rows

__all__ = ["frame_tools"]

SHOWN = 5
"""The rows to show of a frame that was made."""

Dataframe = str | dict[str, list[Any]]
Name = Annotated[str, Meta(max_length=100)]
Context = RunContext[Any]
_OPTIONS: dict[str, Any] = {"read_only": True, "destructive": False}


def frame_tools(limits: DataSettings | None = None, folder: CsvFolder | None = None) -> Toolkit:
    """Make the tools for frames. With a folder, `load_dataframe` makes frames of its CSV files.

    Frames belong to a session, or to a run without one. They are in memory, and end with their process.
    """
    store = FrameStore(limits or DataSettings())
    loading = [] if folder is None else [_loading_tool(store, folder)]
    return Toolkit("pandas", (*_making_tools(store), *loading, *_looking_tools(store), *_asking_tools(store)))


def _making_tools(store: FrameStore) -> list[Tool]:
    @tool(**_OPTIONS)
    def create_dataframe(ctx: Context, data: dict[str, list[Any]], name: Name = "") -> str:
        """Create a frame from data, for the other tools. The answer tells the name of the frame.

        Args:
            data: the columns, such as {"column1": [values], "column2": [values]}
            name: the name of the frame; df1, df2 and so on by default
        """
        return _keep_frame(store, ctx, store.check(data), name)

    return [create_dataframe]


def _loading_tool(store: FrameStore, folder: CsvFolder) -> Tool:
    @tool(**_OPTIONS)
    def load_dataframe(
        ctx: Context, file_path: Annotated[str, Meta(min_length=1, max_length=1_000)], name: Name = ""
    ) -> str:
        """Create a frame from a CSV file. The answer tells the name of the frame.

        Args:
            file_path: path to the CSV file
            name: the name of the frame; df1, df2 and so on by default
        """
        return _keep_frame(store, ctx, folder.read(file_path).to_frame(), name)

    return load_dataframe


def _looking_tools(store: FrameStore) -> list[Tool]:
    @tool(**_OPTIONS)
    def dataframe_info(ctx: Context, dataframe: Dataframe) -> str:
        """Tell the rows and columns of a frame, with the kind of each column.

        Args:
            dataframe: the name of a frame, or its columns
        """
        frame = store.find(ctx, dataframe)
        rows = [
            [name, kind_of(values), str(sum(value is not None for value in values))]
            for name, values in frame.columns.items()
        ]
        table = show_rows(("column", "kind", "filled"), rows[: store.limits.rows])
        return f"{frame.rows:,} rows, {len(frame.names):,} columns\n{table}"

    @tool(**_OPTIONS)
    def dataframe_head(ctx: Context, dataframe: Dataframe, n: Annotated[int, Meta(ge=1, le=10_000)] = 5) -> str:
        """Show the first n rows of a frame.

        Args:
            dataframe: the name of a frame, or its columns
            n: the number of rows
        """
        return show_frame(
            store.find(ctx, dataframe), store.limits, limit=n, more="; use a larger n, or dataframe_filter"
        )

    @tool(**_OPTIONS)
    def dataframe_describe(ctx: Context, dataframe: Dataframe) -> str:
        """Tell statistics of the columns of numbers: count, mean, std, min, quartiles and max.

        Args:
            dataframe: the name of a frame, or its columns
        """
        found = describe_frame(store.find(ctx, dataframe))
        return show_frame(found, store.limits) if found.rows else "No column has numbers alone."

    return [dataframe_info, dataframe_head, dataframe_describe]


def _asking_tools(store: FrameStore) -> list[Tool]:
    @tool(**_OPTIONS)
    def dataframe_filter(
        ctx: Context, dataframe: Dataframe, conditions: dict[str, Any] | list[dict[str, Any]], name: Name = ""
    ) -> str:
        """Make a frame of the rows that fit all conditions.

        Operators: ==, !=, >, >=, <, <=, contains, starts_with, ends_with.

        Args:
            dataframe: the name of a frame, or its columns
            conditions: a condition such as {"column": "age", "operator": ">", "value": 30}, or a list of conditions
            name: the name of the new frame
        """
        return _keep_frame(store, ctx, filter_frame(store.find(ctx, dataframe), conditions), name)

    @tool(**_OPTIONS)
    def dataframe_groupby(
        ctx: Context, dataframe: Dataframe, by: list[str], agg: dict[str, str], name: Name = ""
    ) -> str:
        """Group the rows of a frame by columns, and make a frame of aggregates.

        Aggregates: count, sum, mean, median, std, min, max, first, last, nunique.

        Args:
            dataframe: the name of a frame, or its columns
            by: columns to group by
            agg: aggregates by column, such as {"age": "mean", "salary": "sum"}
            name: the name of the new frame
        """
        return _keep_frame(store, ctx, group_frame(store.find(ctx, dataframe), by, agg), name)

    return [dataframe_filter, dataframe_groupby]


def _keep_frame(store: FrameStore, ctx: Context, frame: Frame, name: str) -> str:
    kept = store.keep(ctx, frame, name)
    return f"{kept}: {frame.rows:,} rows, {len(frame.names):,} columns\n" + show_frame(
        frame, store.limits, limit=SHOWN, more=f"; dataframe_head shows more of {kept}"
    )
