"""The file of keys: private, changed in one step, refused if open to other users; the environment counts first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agno_rt.errors import ConfigError, UsageError
from agno_rt.http_client.server import HttpServer
from agno_rt.keys.find import find_key
from agno_rt.keys.key_file import KeyFile, default_path

SECRET = "sk-planted-0123456789"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a file of keys in a missing folder."""
    path = tmp_path / "settings" / "keys.toml"
    monkeypatch.setenv("AGNO_RT_KEYS", str(path))
    monkeypatch.delenv("ACME_KEY", raising=False)
    return path


def test_keys_are_kept_and_forgotten(path: Path) -> None:
    """A key is kept under its name, replaced, listed by name, and forgotten."""
    file = KeyFile()
    assert (file.names(), file.read("ACME_KEY"), file.remove("ACME_KEY")) == ((), None, False)
    file.set("ACME_KEY", f" {SECRET}\n")
    file.set("OTHER_KEY", 'with "quotes" and \\')
    assert file.names() == ("ACME_KEY", "OTHER_KEY")
    assert KeyFile(path).read("ACME_KEY") == SECRET
    assert KeyFile(path).read("OTHER_KEY") == 'with "quotes" and \\'
    file.set("ACME_KEY", "sk-new")
    assert file.read("ACME_KEY") == "sk-new"
    assert file.remove("ACME_KEY")
    assert file.names() == ("OTHER_KEY",)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_the_file_is_private(path: Path) -> None:
    """Under any umask, only the owner can read the file and the folder, and no other file has the key."""
    before = os.umask(0)
    try:
        KeyFile().set("ACME_KEY", SECRET)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    holding = [each.name for each in path.parent.iterdir() if SECRET in each.read_text()]
    assert holding == ["keys.toml"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(path: Path, mode: int) -> None:
    """No key is read from or added to a file open to other users; the error has the remedy."""
    KeyFile().set("ACME_KEY", SECRET)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="can be read by others") as caught:
        find_key("ACME_KEY")
    assert "chmod 600" in caught.value.hint
    assert SECRET not in caught.value.full_text
    with pytest.raises(ConfigError):
        KeyFile().set("OTHER_KEY", "x")
    path.chmod(0o600)
    assert find_key("ACME_KEY") is not None


@pytest.mark.parametrize("text", ["ACME_KEY", f"ACME_KEY = {SECRET}", f'ACME_KEY = "{SECRET}', "ACME_KEY = 3", "\0"])
def test_a_damaged_file_is_told_without_its_keys(path: Path, text: str) -> None:
    """The error names the file, and neither the error nor a cause quotes the file."""
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"keys\.toml is damaged") as caught:
        find_key("ACME_KEY")
    assert SECRET not in caught.value.full_text
    assert caught.value.__cause__ is None


def test_a_folder_is_not_a_file_of_keys(path: Path) -> None:
    """A folder in the file's place is an error."""
    path.mkdir(parents=True, mode=0o700)
    with pytest.raises(ConfigError, match="is not a file"):
        find_key("ACME_KEY")


@pytest.mark.parametrize("name", ["", "1A", "A B", "A-B", "A.B", "Ä", "A" * 300, "A\n"])
def test_names_are_those_of_variables(path: Path, name: str) -> None:
    """Names unfit for an environment variable are refused."""
    with pytest.raises(UsageError, match="cannot be the name of a key"):
        KeyFile().set(name, SECRET)
    assert not path.exists()


@pytest.mark.parametrize("text", ["", " ", f"{SECRET}\nx", f"{SECRET}ä", f"{SECRET}\0"])
def test_keys_that_cannot_be_sent_are_refused(path: Path, text: str) -> None:
    """A key with odd characters is refused at once, and not shown."""
    with pytest.raises(UsageError) as caught:
        KeyFile().set("ACME_KEY", text)
    assert SECRET not in caught.value.full_text


def test_the_environment_counts_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set variable counts before the file, and an empty variable does not. The source names the place."""
    KeyFile().set("ACME_KEY", SECRET)
    found = find_key("ACME_KEY")
    assert found is not None
    assert found.text == SECRET
    assert "keys.toml" in found.source
    assert SECRET not in repr(found)
    monkeypatch.setenv("ACME_KEY", "sk-env")
    found = find_key("ACME_KEY")
    assert found is not None
    assert (found.text, found.source) == ("sk-env", "the environment variable ACME_KEY")
    monkeypatch.setenv("ACME_KEY", "  ")
    found = find_key("ACME_KEY")
    assert found is not None
    assert found.text == SECRET
    assert find_key("NO_SUCH_KEY") is None


def test_a_changed_file_counts_at_once(path: Path) -> None:
    """A process sees the change of another process with the next look."""
    KeyFile().set("ACME_KEY", "sk-a")
    assert find_key("ACME_KEY") == find_key("ACME_KEY")
    for text in ("sk-b", "sk-c"):  # of the same length
        command = f"from agno_rt.keys.key_file import KeyFile; KeyFile().set('ACME_KEY', {text!r})"
        subprocess.run([sys.executable, "-c", command], check=True, timeout=60)
        found = find_key("ACME_KEY")
        assert found is not None
        assert found.text == text
    path.unlink()
    assert find_key("ACME_KEY") is None


def test_no_change_of_several_processes_is_lost(path: Path) -> None:
    """Simultaneous processes add all of their keys."""
    loop = "for at in range(10): KeyFile().set(f'{sys.argv[1]}_{at}', 'x')"
    command = f"import sys; from agno_rt.keys.key_file import KeyFile\n{loop}"
    running = [subprocess.Popen([sys.executable, "-c", command, name]) for name in ("A", "B", "C")]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert len(KeyFile(path).names()) == 30


def test_the_place_of_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """AGNO_RT_KEYS names the file; the default is in the user's folder of settings."""
    monkeypatch.delenv("AGNO_RT_KEYS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_path() == tmp_path / "agno-rt" / "keys.toml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_path() == tmp_path / ".config" / "agno-rt" / "keys.toml"
    assert KeyFile().shown == "~/.config/agno-rt/keys.toml"
    monkeypatch.setenv("AGNO_RT_KEYS", "~/mine.toml")
    assert default_path() == tmp_path / "mine.toml"


def test_a_server_takes_its_key_from_the_file(path: Path) -> None:
    """Plugins find keys of the file under the name of the variable; the error for a missing key names both places."""
    server = HttpServer(base_url="https://api.example.com/v1", api_key_env="ACME_KEY")
    with pytest.raises(ConfigError, match="ACME_KEY is not set") as caught:
        server.find_key("acme")
    assert "agno-rt keys set ACME_KEY" in caught.value.hint
    KeyFile().set("ACME_KEY", SECRET)
    assert server.find_key("acme").text == SECRET
