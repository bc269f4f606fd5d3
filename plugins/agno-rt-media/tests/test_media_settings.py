"""Specs and settings: tables, services, keys and models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agno_rt_media import MediaServer, make_toolkit
from agno_rt_media.folder import Folder
from agno_rt_media.settings import Kind, choose

from agno_rt import Agent, Runtime
from agno_rt.errors import ConfigError, UsageError
from agno_rt.readiness import check_ready
from agno_rt.testing import ScriptedModel
from agno_rt.tools import ToolArgumentError


def test_tables_lie_over_each_other() -> None:
    """A tool's table changes keys of the common table; a spec changes the model."""
    settings = {"folder": "out", "size": "1024x1024", "image": {"size": "1536x1024"}}
    assert choose("image", "", settings).size == "1536x1024"
    edit = choose("edit", "gpt-image-next", settings)
    assert (edit.size, edit.folder, edit.model) == ("1024x1024", "out", "gpt-image-next")


def test_another_service_does_not_get_the_key_of_the_first() -> None:
    """Keys, addresses and models of one service stay with the service, while folders and timeouts hold for all."""
    settings: dict[str, Any] = {
        "base_url": "https://images.example.com/v1",
        "api_key": "sk-0123456789",
        "model": "m",
        "hosts": ["cdn.example.com"],
        "folder": "out",
        "timeout": 9.0,
    }
    for server in (
        choose("video", "evolink:seedance-2.0", settings),
        choose("video", "", {**settings, "video": {"service": "evolink", "model": "seedance-2.0"}}),
    ):
        assert (server.service, server.base_url) == ("evolink", "https://api.evolink.ai/v1")
        assert (server.api_key, server.hosts, server.model) == (None, (), "seedance-2.0")
        assert (server.folder, server.timeout) == ("out", 9.0)


@pytest.mark.parametrize(
    ("host", "fetched"),
    [
        ("files.evolink.ai", True),
        ("api.evolink.ai", True),
        ("evolink.ai.example.com", False),
        ("notevolink.ai", False),
        ("169.254.169.254", False),
    ],
)
def test_files_come_from_hosts_of_the_service(host: str, fetched: bool) -> None:
    """Hosts below the service's domain are allowed, and no look-alikes."""
    assert choose("video", "evolink:m", {}).may_fetch(host) is fetched


def test_a_gateway_allows_its_own_host_alone() -> None:
    """A server at another address gets neither the official key nor the official hosts."""
    server = choose("video", "evolink:m", {"service": "evolink", "base_url": "https://gateway.example.com/v1"})
    assert server.may_fetch("gateway.example.com")
    assert not server.may_fetch("files.evolink.ai")
    assert server.key().text == ""


@pytest.mark.parametrize(
    ("kind", "spec", "settings", "words"),
    [
        ("video", "", {}, "media:video is not known for the service openai"),
        ("speech", "evolink:m", {}, "media:speech is not known for the service evolink"),
        ("image", "evolink:", {}, "has no model"),
        ("image", "", {"sizes": "1:1"}, r"\[plugins.media\].*'sizes'"),
        ("image", "", {"image": {"sizes": "1:1"}}, r"\[plugins.media.image\].*'sizes'"),
        ("image", "", {"service": "other"}, "service"),
        ("image", "", {"timeout": 0}, "timeout"),
        ("image", "", {"max_bytes": 0}, "max_bytes"),
        ("image", "", {"hosts": ["https://example.com/"]}, "hosts"),
        ("image", "", {"hosts": ["*"]}, "hosts"),
        ("speech", "", {"format": "pcm"}, "pcm"),
    ],
)
def test_wrong_settings_are_named(kind: Kind, spec: str, settings: dict[str, Any], words: str) -> None:
    """Each mistake is an error with its table or its spec, before any request."""
    with pytest.raises((UsageError, ConfigError), match=words):
        choose(kind, spec, settings)


@pytest.mark.parametrize("kind", ["edit", "transcribe"])
def test_tools_that_read_files_need_a_folder(kind: Kind) -> None:
    """The error says which line to write."""
    with pytest.raises(UsageError, match="no folder") as caught:
        make_toolkit(kind, MediaServer())
    assert "folder = " in caught.value.hint


async def test_a_check_finds_missing_keys_and_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The check at start tells what the first call would run into, and the place of files if all is well."""
    monkeypatch.setenv("AGNO_RT_KEYS", str(tmp_path / "keys.toml"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / "file").write_text("no folder")
    for table, words in (
        ({}, "OPENAI_API_KEY"),
        ({"api_key": "k", "folder": str(tmp_path / "file" / "media")}, "cannot be written"),
        ({"api_key": "k", "folder": str(tmp_path / "media")}, "files go to"),
    ):
        async with Runtime(settings={"media": table}) as rt:
            agent = Agent(ScriptedModel([]), tools=["media:image"])
            found = await check_ready(rt, agent, toolkits=True)
        assert any(words in f"{finding.message} {finding.hint}" for finding in found), found


def test_an_unusable_folder_is_told(tmp_path: Path) -> None:
    """A file that cannot be written is an error with the path, and nothing stays behind."""
    folder = Folder(str(tmp_path / "media"))
    (tmp_path / "media").write_text("a file where the folder should be")
    with pytest.raises(UsageError, match="cannot be written"):
        folder.write("image", "png", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["media"]


def test_a_folder_within_is_no_file(tmp_path: Path) -> None:
    """A name of a folder, read again and again, is refused, and opens nothing for good."""
    (tmp_path / "made").mkdir()
    folder, opened = Folder(str(tmp_path)), Path("/proc/self/fd")
    before = len(list(opened.iterdir())) if opened.exists() else 0
    for _ in range(20):
        with pytest.raises(ToolArgumentError, match="not a regular file"):
            folder.read("made", 100)

    assert not opened.exists() or len(list(opened.iterdir())) < before + 20


def test_a_kill_leaves_no_half_file(tmp_path: Path) -> None:
    """After a kill in the middle of the writing, no file passes for a finished one."""
    pytest.importorskip("resource")
    # The kernel ends the process by a signal at the first byte beyond the limit.
    program = (
        "import resource, signal, sys; from agno_rt_media.folder import Folder\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "Folder(sys.argv[1]).write('image', 'png', b'x' * 100_000)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=60, check=False)

    assert done.returncode < 0
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    path = Folder(str(tmp_path)).write("image", "png", b"x" * 100_000)
    assert path.read_bytes() == b"x" * 100_000


def test_the_import_leaves_the_http_client_out() -> None:
    """Importing the plugin does not import the HTTP client."""
    program = "import sys, agno_rt_media; print([name for name in sys.modules if name.startswith(('httpx', 'h11'))])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
