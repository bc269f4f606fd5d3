"""The recorded table of the toolkits: names, parameters and notes that prompts and approvals rely on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno_rt_data import make_csv, make_pandas, make_sql

READS, CHANGES = (True, False, False), (False, True, True)
"""The notes read-only and destructive, and whether a call waits for a person."""
R = "required"

TABLE: dict[str, dict[str, tuple[tuple[bool, bool, bool], dict[str, Any]]]] = {
    "csv": {
        "read_csv": (READS, {"file_path": R, "has_header": True, "start": 1, "limit": 100}),
        "write_csv": (CHANGES, {"file_path": R, "data": R, "headers": None}),
        "analyze_csv": (READS, {"file_path": R}),
        "filter_csv": (READS, {"file_path": R, "conditions": R, "start": 1, "limit": 100}),
    },
    "pandas": {
        "create_dataframe": (READS, {"data": R, "name": ""}),
        "load_dataframe": (READS, {"file_path": R, "name": ""}),
        "dataframe_info": (READS, {"dataframe": R}),
        "dataframe_head": (READS, {"dataframe": R, "n": 5}),
        "dataframe_describe": (READS, {"dataframe": R}),
        "dataframe_filter": (READS, {"dataframe": R, "conditions": R, "name": ""}),
        "dataframe_groupby": (READS, {"dataframe": R, "by": R, "agg": R, "name": ""}),
    },
    "sql": {
        "list_tables": (READS, {}),
        "describe_table": (READS, {"table_name": R}),
        "run_sql_query": (READS, {"query": R, "limit": 100}),
        "execute_sql": (CHANGES, {"statement": R}),
    },
}


@pytest.mark.parametrize("name", TABLE)
def test_names_parameters_and_notes(name: str, tmp_path: Path) -> None:
    """Each tool has the recorded parameters, a description, and the recorded notes."""
    (tmp_path / "a.db").touch()
    shop = {"databases": {"shop": {"url": f"sqlite:{tmp_path}/a.db", "write": True}}}
    toolkits = {"csv": make_csv(str(tmp_path)), "pandas": make_pandas(str(tmp_path)), "sql": make_sql("shop", shop)}
    found = {
        each.name: (
            (each.read_only, each.destructive, each.pauses),
            {key: part.get("default", R) for key, part in each.parameters.get("properties", {}).items()},
        )
        for each in toolkits[name].tools
    }
    assert found == TABLE[name]
    assert list(found) == list(TABLE[name])
    for each in toolkits[name].tools:
        parts = each.parameters.get("properties", {}).values()
        assert each.description
        assert all("description" in part or each.name == "execute_sql" for part in parts)
