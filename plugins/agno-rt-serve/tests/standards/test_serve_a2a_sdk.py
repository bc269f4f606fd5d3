"""The official clients of A2A, in Python and JavaScript, find, run and follow the runnables.

Each client runs in the environment of `make clients`, as a program: see `clients/`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from agno_rt_serve.api.a2a.settings import A2ASettings
from agno_rt_serve.api.runs.webhook_settings import WebhookSettings

from standards.a2a_agents import list_runnables

FOLDER = Path(__file__).parents[4] / ".asv" / "clients"
CLIENTS = Path(__file__).with_name("clients")
PATIENCE = 120
KEY = "a-key-for-all-clients-0123456789"
SAID = "You said: Hi."


@pytest.fixture(scope="module")
def addresses(serve_in_thread: Any) -> list[str]:
    """Serve the runnables without a key, and with one; return both addresses and the key."""
    private = WebhookSettings(private=True)
    url = serve_in_thread(*list_runnables(), webhooks=private)
    keyed = serve_in_thread(*list_runnables()[1:], key=KEY, a2a=A2ASettings(open_cards=True))
    return [url, keyed, KEY]


def _skip_or_fail(reason: str) -> None:
    pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def _carry_out(command: list[str], **more: Any) -> Any:
    environ = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, env=environ, check=False, cwd=FOLDER, **more
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_python(addresses: list[str]) -> None:
    """The SDK for Python does all operations in each binding and version, streamed and whole."""
    python = FOLDER / "bin" / "python"
    if not python.exists():
        _skip_or_fail("the clients are not installed: run `make clients`")
    found = _carry_out([str(python), str(CLIENTS / "a2a_client.py"), *addresses])

    assert found.pop("extended") == [["desk"], ["desk", "pay"]]
    assert len(found) == 6
    for name, each in found.items():
        is_streamed = name.endswith("streamed")
        assert each["text"] == SAID
        assert each["shown"] == [SAID, "Hi."]
        assert each["said"][-1] == each["approved"][-1] == "COMPLETED"
        assert each["asked"][-1] == "INPUT_REQUIRED"
        assert len(each["said"]) == (3 if is_streamed else 1)
        assert each["paid"] == "paid ann"
        assert each["configs"] == ["http://127.0.0.1:9/", "t", 1]
        assert each["cancelled"] == "TASK_STATE_CANCELED"
        expected = ["TaskNotCancelableError", "TaskNotFoundError", "UnsupportedOperationError"]
        assert each["errors"] == expected[: 3 if is_streamed else 2]
        assert each.get("followed", ["INPUT_REQUIRED", "WORKING", "COMPLETED"]) == [
            "INPUT_REQUIRED",
            "WORKING",
            "COMPLETED",
        ]
        assert each.get("listed", [True, True]) == [True, True]


def test_javascript(addresses: list[str]) -> None:
    """The SDK for JavaScript finds the card, streams, answers a question, follows, lists and cancels."""
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules" / "@a2a-js").exists():
        _skip_or_fail("the client is not installed: run `make clients` with npm")
    program = (CLIENTS / "a2a_client.mjs").read_text()
    found = _carry_out([str(node), "--input-type=module", "-", addresses[0]], input=program)

    for name in ("JSONRPC", "HTTP+JSON"):
        assert found[name] == {
            "said": SAID,
            "states": ["WORKING", "COMPLETED"],
            "asked": "Name?",
            "answered": "Hello Ann",
            "followed": ["INPUT_REQUIRED", "WORKING", "COMPLETED"],
            "listed": True,
            "cancelled": "CANCELED",
            "error": "TaskNotFoundError",
        }
