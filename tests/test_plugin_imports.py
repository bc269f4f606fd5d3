"""What loading a plugin imports: its drivers and SDKs wait for the first use, so that every command starts quickly.

Times differ from machine to machine (`benchmarks/model_client.py` has them); the imported modules do not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points

SLOW = {
    *("asyncio", "ssl", "sqlite3", "http", "multiprocessing", "concurrent", "urllib.request", "xml", "email.message"),
    *(
        "httpx2",
        "httpcore2",
        "h2",
        "jwt",
        "cryptography",
        "xllamacpp",
        "numpy",
        "Stemmer",
        "starlette",
        "h11",
        "wsproto",
    ),
    *("opentelemetry", "prometheus_client", "structlog", "click", "rich", "msgpack", "pytest", "py_spy"),
}
"""Modules that take a plugin's share of 5 ms, or more, by themselves."""

MOST = 12
"""The most modules that a plugin may import when it is loaded; each takes some 0.3 ms."""

# Each plugin is loaded in a fork of one process, in which agno_rt is imported already.
CODE = """
import importlib.metadata, json, os, sys
import agno_rt.runtime
before = set(sys.modules)
for point in importlib.metadata.entry_points(group="agno_rt"):
    child = os.fork()
    if child == 0:
        point.load()
        print(json.dumps([point.name, sorted(set(sys.modules) - before)]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_loading_a_plugin_imports_little() -> None:
    """No plugin imports a slow module when it is loaded, and none imports more than a dozen."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, check=True)
    loaded = dict(json.loads(line) for line in done.stdout.splitlines())
    assert set(loaded) == {point.name for point in entry_points(group="agno_rt")}
    for name, modules in loaded.items():
        slow = {module for module in modules if module in SLOW or module.partition(".")[0] in SLOW}
        assert not slow, f"{name} imports {sorted(slow)}"
        assert len(modules) <= MOST, f"{name} imports {modules}"
