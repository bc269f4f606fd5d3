"""The finding of the plugin for `agno-rt doctor`: whether the server could listen on its port."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from agno_rt.cli.verbs.doctor import command
from agno_rt.plugins import PluginHost

HOST = "127.0.0.9"
"""An address of this machine that other tests do not use: a port that is free there stays free."""


def find_port() -> int:
    """Return a port that is free."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def test_a_free_port_is_well() -> None:
    """A free port is a note, and port 0 is always free."""
    host, port = PluginHost(), find_port()
    [found] = host.examine("serve", {"host": HOST, "port": port})
    assert (found.level, found.message) == ("note", f"port {port} is free for `agno-rt serve`")
    assert host.examine("serve", {"port": 0}) == []


def test_a_used_port_is_a_warning() -> None:
    """The server may be running, so a used port may be intended."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        [found] = PluginHost().examine("serve", {"port": port})
    assert found.level == "warning"
    assert f"port {port} of 127.0.0.1 cannot be used" in found.message
    assert "--port 0" in found.hint


@pytest.mark.parametrize("settings", [{"port": "x"}, {"port": 99_999}, {"host": 7}])
def test_an_unusable_address_is_a_warning(settings: dict[str, object]) -> None:
    """What cannot be an address is told, and raises nothing."""
    [found] = PluginHost().examine("serve", settings)
    assert found.level == "warning"


def test_doctor_shows_the_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is about the plugin; the command line knows nothing of ports."""
    port = find_port()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agno-rt.toml").write_text(f'[plugins.serve]\nhost = "{HOST}"\nport = {port}\n')
    lines = [json.loads(line) for line in CliRunner().invoke(command, ["--json"]).stdout.splitlines()]
    told = [line["message"] for line in lines if line["about"] == "serve"]
    assert told == [f"port {port} is free for `agno-rt serve`"]
