"""An analyst of a database: queries that cannot change anything, exact sums, and a report as a CSV file.

The model is scripted, so each time prints the same.
"""

import sqlite3
import tempfile
from pathlib import Path

import trio
from agno_rt_data import make_csv, make_sql

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.testing import ScriptedModel

SHOP = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, city TEXT, price REAL);
INSERT INTO orders (city, price) VALUES ('Kassel', 0.1), ('Kassel', 0.2), ('Marburg', 12.5);
"""

model = ScriptedModel(
    [
        ToolCall("1", "describe_table", '{"table_name": "order"}'),
        ToolCall("2", "run_sql_query", '{"query": "SELECT city, price FROM orders ORDER BY id"}'),
        ToolCall("3", "run_sql_query", '{"query": "DELETE FROM orders"}'),
        ToolCall("4", "calculate", '{"expression": "0.1 + 0.2 + 12.5"}'),
        ToolCall("5", "write_csv", '{"file_path": "report.csv", "data": [["total", 12.8]]}'),
        "The orders add up to 12.8; report.csv has the total.",
    ]
)


async def main() -> None:
    """Ask an analyst, and show each tool's answer. The model's mistakes are told to the model."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Path(folder, "shop.db")
        conn = sqlite3.connect(shop)
        conn.executescript(SHOP)
        conn.close()
        database, files = make_sql(f"sqlite:{shop}"), make_csv(folder, {"approve": False})
        analyst = Agent(model, "analyst", tools=[database, files, "toolkits:calculator"])
        async with Runtime() as runtime:
            result = await runtime.run(analyst, "What do the orders add up to?")
        for message in result.messages:
            if message.role == "tool":
                print(f"- {message.text}")
        print(result.content)


trio.run(main)
