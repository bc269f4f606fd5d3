"""Servers in agno-rt.toml, in `.mcp.json` and in specs, and the command `agno-rt mcp`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from agno_rt_mcp.settings import ServerSettings, fill_secrets, find_server, list_servers

from agno_rt.cli import main
from agno_rt.config import load_config
from agno_rt.errors import ConfigError, NotFound
from agno_rt.plugins import PluginHost

ROGUE = Path(__file__).with_name("rogue.py")


@pytest.fixture(autouse=True)
def _enter_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_toml(text: str) -> Path:
    """Write agno-rt.toml in the working directory."""
    path = Path("agno-rt.toml")
    path.write_text(text)
    return path


def run(*args: str) -> int:
    """Run the command line, and return the exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["mcp", *args])
    return int(ended.value.code or 0)


def test_tables_have_every_setting() -> None:
    """A table of the file becomes a server, with secrets unread until the start."""
    path = write_toml("""
[plugins.mcp.servers.notes]
command = "notes"
args = ["-v"]
env = { TOKEN = "${NOTES_TOKEN}" }
allow = ["read"]
rename = { read = "read_note" }
approve = "writes"
timeout = 5
[plugins.mcp.servers.web]
url = "https://notes.example/mcp"
headers = { Authorization = "Bearer ${NOTES_TOKEN}" }
""")
    notes = find_server("notes", load_config(path).plugins["mcp"])
    web = find_server("web", load_config(path).plugins["mcp"])

    assert (notes.name, notes.command, notes.args, notes.allow) == ("notes", "notes", ("-v",), ("read",))
    assert (notes.rename, notes.approve, notes.timeout) == ({"read": "read_note"}, "writes", 5)
    assert web.url == "https://notes.example/mcp"
    assert "NOTES_TOKEN" not in repr(notes) + repr(web)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("comand = 'x'", "agno-rt.toml:3, [plugins.mcp.servers.a]: unknown key 'comand'"),
        ("command = 'x'\ntimeout = 0", "agno-rt.toml:4, [plugins.mcp.servers.a]: timeout is 0"),
        ("command = 'x'\napprove = 'perhaps'", "agno-rt.toml:4, [plugins.mcp.servers.a]: 'approve'"),
        ("args = ['x']", "needs either a command or a url"),
        ("url = 'ftp://x'", "agno-rt.toml:3, [plugins.mcp.servers.a]: url is 'ftp://x'"),
    ],
)
def test_faults_of_tables_name_the_line(table: str, said: str) -> None:
    """An error has the file, the line and the key."""
    path = write_toml(f"\n[plugins.mcp.servers.a]\n{table}\n")

    with pytest.raises(ConfigError) as error:
        list_servers(load_config(path).plugins["mcp"])
    assert said in error.value.message


def test_the_file_of_other_programs_is_read() -> None:
    """Servers of `.mcp.json` have names, too; a table of the same name wins; another file can be named."""
    servers = {
        "files": {"command": "npx", "args": ["-y", "files"], "env": {"A": "${A:-b}"}, "disabled": False},
        "web": {"type": "http", "url": "https://x.example/mcp"},
    }
    Path(".mcp.json").write_text(json.dumps({"mcpServers": servers, "inputs": []}))
    table = {"servers": {"web": {"url": "https://own.example/mcp"}}}

    found = list_servers(table)
    assert isinstance(found["files"], ServerSettings)
    assert isinstance(found["web"], ServerSettings)
    assert (found["files"].args, fill_secrets("files", found["files"].env)) == (("-y", "files"), {"A": "b"})
    assert found["web"].url == "https://own.example/mcp"
    assert list_servers({"file": "other.json"}) == {}
    with pytest.raises(NotFound, match="unknown MCP server 'fils'") as error:
        find_server("fils", table)
    assert "files" in error.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"\.mcp\.json cannot be used"),
        ('{"mcpServers": []}', r"\.mcp\.json cannot be used"),
        ('{"mcpServers": {"a": {"type": "sse", "url": "https://x.example"}}}', "'a' is reached by SSE alone"),
        ('{"mcpServers": {"a": {}}}', r"\.mcp\.json: .*'a' needs either a command or a url"),
        ('{"mcpServers": {"a": {"command": "x", "args": [1]}}}', r"\.mcp\.json: .*'a' cannot be used: .*\$\.args"),
    ],
)
def test_faults_of_the_file_name_the_file(text: str, said: str) -> None:
    """An error has the file and the server."""
    Path(".mcp.json").write_text(text)

    with pytest.raises(ConfigError, match=said):
        find_server("a", {})


@pytest.mark.parametrize(
    "table",
    [
        'url = "http://127.0.0.1:9/mcp"\nheaders = {a = "${NO_SUCH_TOKEN}"}',
        'command = "x"\nenv = {A = "${NO_SUCH_TOKEN}"}',
    ],
)
def test_a_missing_secret_is_told_with_the_remedy(
    table: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The first try without the secret of a server names the variable and the command; there is no traceback."""
    write_toml(f"[plugins.mcp.servers.web]\n{table}\n")

    assert run("check", "web") == 1
    told = capsys.readouterr().err
    assert told.startswith("error: the MCP server 'web' needs NO_SUCH_TOKEN, which is not set\n")
    assert "agno-rt keys set NO_SUCH_TOKEN" in told
    assert not caplog.records


def test_an_unusable_entry_of_the_file_leaves_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    """Other programs write into the file, too: an entry for them is told by name, and the other servers are there."""
    servers = {"old": {"type": "sse", "url": "https://x.example"}, "new": {"command": "no-such-program"}}
    Path(".mcp.json").write_text(json.dumps({"mcpServers": servers}))

    assert find_server("new", {}).command == "no-such-program"
    assert run("list", "--json") == 0
    assert [json.loads(line)["server"] for line in capsys.readouterr().out.splitlines()] == ["new", "old"]
    assert run("list") == 0
    assert "not usable: " in capsys.readouterr().out
    assert run("check") == 1
    told = capsys.readouterr().err
    assert "'old' is reached by SSE alone" in told
    assert "no-such-program" in told
    found = PluginHost().examine("mcp", {})
    assert [each.level for each in found] == ["warning", "warning"]


def test_specs_are_files_command_lines_and_urls() -> None:
    """A spec says how to reach a server; passwords are not in the name."""
    python, node = find_server("./a b/server.py".replace(" ", "_"), {}), find_server("server.js", {})
    line, url = find_server("npx -y 'some package'", {}), find_server("https://me:pw@x.example/mcp?key=1", {})

    assert (python.command, python.args, python.name) == (sys.executable, ("./a_b/server.py",), "server")
    assert (node.command, node.args) == ("node", ("server.js",))
    assert (line.command, line.args) == ("npx", ("-y", "some package"))
    assert (url.name, url.url) == ("https://x.example/mcp", "https://me:pw@x.example/mcp?key=1")
    with pytest.raises(ConfigError, match="is not a command line"):
        find_server("npx 'open", {})


def test_the_doctor_tells_of_missing_commands_and_secrets() -> None:
    """Each fault is a finding; a well server has none, and nothing is started."""
    well = {"command": sys.executable, "args": ["/no/such/file"]}
    lacking = {"command": "no-such-program", "env": {"A": "${NO_SUCH_TOKEN_HERE}"}}
    found = PluginHost().examine("mcp", {"servers": {"well": well, "lacking": lacking}})

    assert [each.level for each in found] == ["warning", "warning"]
    assert "needs no-such-program, which is missing" in found[0].message
    assert "needs NO_SUCH_TOKEN_HERE, which is not set" in found[1].message
    [wrong] = PluginHost().examine("mcp", {"servers": {"a": {"comand": "x"}}})
    assert wrong.level == "error"


def test_the_command_lists_checks_and_calls(capfd: pytest.CaptureFixture[str]) -> None:
    """The servers are listed without a start; tools, checks and calls start one; failures have exit code 1."""
    write_toml(f"""
[plugins.mcp.servers.rogue]
command = {sys.executable!r}
args = [{str(ROGUE)!r}]
grace = 0.2
[plugins.mcp.servers.dead]
command = {sys.executable!r}
args = [{str(ROGUE)!r}, "dead"]
""")
    assert run("list") == 0
    assert "rogue" in capfd.readouterr().out
    assert run("list", "rogue", "--json") == 0
    tools = {row["name"]: row for row in map(json.loads, capfd.readouterr().out.splitlines())}
    assert (tools["wipe"]["notes"], tools["typed"]["notes"]) == ("destructive, asks", "read-only")
    assert run("check") == 1
    out, err = capfd.readouterr()
    assert "rogue: 18 tools, opened in" in out
    assert "no licence found" in err
    assert run("call", "rogue", "echo", '{"a": 1}') == 0
    assert capfd.readouterr().out == '{"a": 1}\n'
    assert run("call", "rogue", "fail") == 1
    assert capfd.readouterr().out == "the disk is full\n"
    assert run("call", "rogue", "eco") == 2
    assert "Did you mean 'echo'" in capfd.readouterr().err
    assert run("call", "rogue", "echo", "[1]") == 2
    assert "not a JSON object" in capfd.readouterr().err
