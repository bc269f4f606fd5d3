"""The distributions: metadata, and wheels doing the main job on each Python of this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Sequence
from email import message_from_string
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

import release
from tests.e2e.conftest import serving

ROOT = Path(__file__).parents[2]
PROJECTS = sorted(path for path in [ROOT, *(ROOT / "plugins").iterdir()] if (path / "pyproject.toml").exists())
SHIPPED = [path for path in PROJECTS if path.name != "agno-rt-template"]
PYTHONS = ("3.11", "3.12", "3.13")
ADDRESS = "https://forge.example/agno_rt"
SECONDS = 300

AGENT = """
from agno_rt import Agent
from agno_rt.testing import ScriptedModel

hello = Agent(ScriptedModel(lambda request: "Hello!"), "hello")
"""

LATE = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "agno-rt-late"
version = "1.0"
dependencies = ["agno-rt{kernel}"]

[project.entry-points.agno_rt]
late = "agno_rt_late"

[tool.hatch.build.targets.wheel]
include = ["agno_rt_late.py"]
"""


def metadata(project: Path) -> dict[str, Any]:
    """Return the table [project] of a distribution."""
    found: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


VERSION = metadata(ROOT)["version"]


@pytest.mark.parametrize("project", SHIPPED, ids=lambda path: path.name)
def test_distributions_say_the_same_of_themselves(project: Path) -> None:
    """Author, licence, version, Pythons and classifiers equal the kernel's, but for POSIX; the licence is there."""
    kernel, found = metadata(ROOT), metadata(project)
    found["classifiers"] = [each.replace(":: POSIX", ":: OS Independent") for each in found["classifiers"]]
    shared = ("version", "authors", "license", "license-files", "classifiers", "requires-python")

    assert {key: found.get(key) for key in shared} == {key: kernel[key] for key in shared}
    assert (project / "LICENSE").read_text(encoding="utf-8") == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert found["readme"] == "README.md"
    assert found["keywords"]


def test_a_new_plugin_says_what_the_others_say() -> None:
    """The template of `agno-rt plugin new` has our classifiers, Pythons and licence, and no author."""
    kernel, template = metadata(ROOT), metadata(ROOT / "plugins" / "agno-rt-template")
    shared = ("license", "license-files", "classifiers", "requires-python")

    assert {key: template.get(key) for key in shared} == {key: kernel[key] for key in shared}
    assert (ROOT / "plugins/agno-rt-template/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert "authors" not in template


def test_no_distribution_claims_to_be_more_than_it_is() -> None:
    """Before the first release the status is alpha; the Pythons are the tested ones."""
    classifiers = metadata(ROOT)["classifiers"]

    assert [each for each in classifiers if each.startswith("Development Status")] == [
        "Development Status :: 3 - Alpha"
    ]
    named = [each.rpartition(" ")[2] for each in classifiers if re.search(r":: 3\.\d+$", each)]
    assert tuple(named) == PYTHONS


@pytest.mark.parametrize("project", [path for path in PROJECTS if path != ROOT], ids=lambda path: path.name)
def test_plugins_bound_the_kernel(project: Path) -> None:
    """A kernel with another interface cannot be installed beside a plugin."""
    version = metadata(ROOT)["version"]

    assert f"agno-rt~={version}" in metadata(project)["dependencies"]


def test_the_extra_all_brings_every_plugin() -> None:
    """`agno-rt[all]` has each shipped plugin, and the kernel's own extras but CEL's, which takes 50 MB."""
    extras = metadata(ROOT)["optional-dependencies"]
    names = {requirement.partition("~")[0].partition("[")[0] for requirement in extras["all"]}

    assert names == {path.name for path in SHIPPED if path != ROOT} | {"agno-rt"}
    assert {"agno-rt[process]", "agno-rt[vectors]"} <= set(extras["all"])
    assert extras.keys() == {"all", "cel", "process", "stems", "vectors"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build every shipped distribution as wheel and source distribution, as for an index."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "release.py", "--url", ADDRESS, "--out", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == sorted(map(str, folder.iterdir()))
    return folder


def test_wheels_have_types_a_licence_and_an_author(built: Path) -> None:
    """Each wheel has types, an author and the licence's text; none carries tests."""
    for path in built.glob("*.whl"):
        names, said = zipfile.ZipFile(path).namelist(), metadata_of(path)

        assert any(name.endswith("/py.typed") for name in names), path.name
        assert any(name.endswith("licenses/LICENSE") for name in names), path.name
        assert not any(name.startswith("tests/") for name in names), path.name
        assert said["Author"] == "the agno_rt developers"
        assert said["License-Expression"] == "Apache-2.0"
    assert len(list(built.glob("*.whl"))) == len(list(built.glob("*.tar.gz"))) == len(SHIPPED)


def test_wheels_name_the_address_that_was_given(built: Path) -> None:
    """The five addresses are there, and the README's links lead to the files of that version."""
    for path in built.glob("*.whl"):
        said = metadata_of(path)

        assert set(said.get_all("Project-URL") or ()) == {
            f"Homepage, {ADDRESS}",
            f"Documentation, {ADDRESS}/blob/v{VERSION}/docs/index.md",
            f"Source, {ADDRESS}",
            f"Changelog, {ADDRESS}/blob/v{VERSION}/CHANGELOG.md",
            f"Issues, {ADDRESS}/issues",
        }
    kernel = metadata_of(built / f"agno_rt-{VERSION}-py3-none-any.whl")
    assert f"({ADDRESS}/blob/v{VERSION}/CHANGELOG.md)" in str(kernel.get_payload())


def test_links_are_made_absolute() -> None:
    """Links to files, images and addresses of their own become absolute, in each form; code is left alone."""
    text = """[a](docs/index.md#top) ![b](LICENSE) [![c](LICENSE)](README.md) [d](https://x.example/) [e](#f) [g](/h)
<img src="LICENSE"> <a href="plugins">j</a>

[k]: ./Makefile

```markdown
[l](nowhere.md)
```
"""
    place = release.Place("https://f.example/o/n", "https://f.example/files", "https://f.example/images", "")

    assert release.absolute_links(text, Path("README.md"), place) == (
        text.replace("docs/index.md#", "https://f.example/files/docs/index.md#")
        .replace("(LICENSE)", "(https://f.example/images/LICENSE)")
        .replace("(README.md)", "(https://f.example/files/README.md)")
        .replace('"LICENSE"', '"https://f.example/images/LICENSE"')
        .replace('"plugins"', '"https://f.example/files/plugins"')
        .replace("./Makefile", "https://f.example/files/Makefile")
    )
    assert (
        release.absolute_links("[a](../../docs)", Path("plugins/agno-rt-otel/README.md"), place)
        == "[a](https://f.example/files/docs)"
    )


@pytest.mark.parametrize("address", ["", "forge.example/agno_rt", "http://forge.example/agno_rt", "https://"])
def test_nothing_is_built_without_an_address(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An invalid address is an error with a valid suggestion."""
    assert release.main(["--url", address, "--out", str(tmp_path / "dist")]) == 1

    assert "write https://HOST/OWNER/NAME" in capsys.readouterr().err
    assert not (tmp_path / "dist").exists()


def test_a_dead_link_is_not_published() -> None:
    """A README with a link to a missing file cannot be built."""
    place = release.Place("https://f.example", "https://f.example", "https://f.example", "")
    with pytest.raises(release.ReleaseError, match=r"README.md links to docs/nowhere.md, which is not"):
        release.absolute_links("[a](docs/nowhere.md)", Path("README.md"), place)


def test_the_kernels_sdist_has_what_its_wheel_is_made_of(built: Path, tmp_path: Path) -> None:
    """The sdist has no plugin except the template, no tests and no results; its wheel equals the built one."""
    with tarfile.open(built / f"agno_rt-{VERSION}.tar.gz") as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
        archive.extractall(tmp_path, filter="data")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path / f"agno_rt-{VERSION}", capture_output=True, timeout=SECONDS, check=True)
    wheel = f"agno_rt-{VERSION}-py3-none-any.whl"

    files = {"CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert {name.partition("/")[0] for name in names} == {"agno_rt", "plugins", *files}
    assert {name.split("/")[1] for name in names if name.startswith("plugins/")} == {"agno-rt-template"}
    assert contents_of(tmp_path / wheel) == contents_of(built / wheel)


@pytest.mark.parametrize("version", PYTHONS)
def test_wheels_do_the_main_job(version: str, built: Path, tmp_path: Path) -> None:
    """In a fresh environment the kernel runs an agent by itself, and with all plugins serves the agent."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"Python {version} is not here: put python{version} on the PATH")
    here = Environment(python, tmp_path)
    (tmp_path / "agents.py").write_text(AGENT, encoding="utf-8")

    here.install(built, "agno-rt")
    here.check()
    assert here.agno("run", "agents.py", "hi").stdout == "Hello!\n"
    alone = here.agno("serve", status=2)
    assert "pip install agno-rt-serve" in alone.stderr
    assert "pip install agno-rt-bench" in here.agno("bench", status=2).stderr
    assert "pip install agno-rt-bench" in here.agno("profile", "cpu", "agents.py", status=2).stderr

    here.install(built, "agno-rt[all]")
    here.check()
    assert here.agno("run", "agents.py", "hi").stdout == "Hello!\n"
    listed = here.agno("plugins").stdout
    assert all(project.name.removeprefix("agno-rt-") in listed for project in SHIPPED if project != ROOT)
    assert "failed" not in listed.lower()
    with serving([here.bin("agno-rt"), "serve", "agents.py", "--port", "0"], tmp_path, here.variables) as server:
        asked = urllib.request.Request(
            f"{server.url}/agents/hello/runs", b'{"input": "hi"}', {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert json.load(answer)["content"] == "Hello!"

    here.install(make_plugin(tmp_path / "late", "~=9.1.0"), "agno-rt-late", "--no-deps")
    refused = here.agno("plugins")
    assert "plugin 'late' (agno-rt-late 1.0) is made for agno-rt~=9.1.0, and this is agno-rt" in refused.stderr
    assert here.agno("run", "agents.py", "hi").stdout == "Hello!\n"


class Environment:
    """A virtual environment of the test, with commands."""

    def __init__(self, python: Sequence[str], folder: Path) -> None:
        self.folder = folder
        self.variables = {"XDG_DATA_HOME": str(folder / "data")}
        self._run([*python, "-m", "venv", str(folder / "env")])

    def bin(self, name: str) -> str:
        """Return the path of a program of the environment."""
        return str(self.folder / "env/bin" / name)

    def install(self, wheels: Path, what: str, *options: str) -> None:
        """Install by pip: our distributions from the wheels, the others from the configured index."""
        pip = [self.bin("python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--prefer-binary"]
        self._run([*pip, "--find-links", str(wheels), "--constraint", str(ROOT / "constraints.txt"), *options, what])

    def check(self) -> None:
        """Check that every requirement is met, and importing the kernel gives no warning."""
        self._run([self.bin("python"), "-m", "pip", "check", "--disable-pip-version-check"])
        self._run([self.bin("python"), "-W", "error", "-c", "import agno_rt; agno_rt.Runtime"])

    def agno(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the command, and check the exit code."""
        return self._run([self.bin("agno-rt"), *arguments], status)

    def _run(self, command: Sequence[str], status: int = 0) -> subprocess.CompletedProcess[str]:
        environment = plain() | self.variables
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
        return done


def make_plugin(folder: Path, kernel: str) -> Path:
    """Build the wheel of a plugin `late` for those versions of the kernel, and return the wheel's folder."""
    folder.mkdir()
    (folder / "agno_rt_late.py").write_text("raise Exception('it was imported')", encoding="utf-8")
    (folder / "pyproject.toml").write_text(LATE.format(kernel=kernel), encoding="utf-8")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=folder, capture_output=True, timeout=SECONDS, check=True)
    return folder


def metadata_of(wheel: Path) -> Message:
    """Return the metadata of a wheel."""
    texts = [text for name, text in contents_of(wheel).items() if name.endswith(".dist-info/METADATA")]
    return message_from_string(texts[0].decode())


def contents_of(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel with contents."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def find_python(version: str) -> list[str] | None:
    """Return the command of a Python of this version from the PATH or pyenv, or None."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *map(str, _find_pyenv_folders(version))]
    for folder in folders:
        found = shutil.which(f"python{version}", path=folder)
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return [found]
    return None


def _find_pyenv_folders(version: str) -> list[Path]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return sorted(root.glob(f"versions/{version}.*/bin"))


def plain() -> dict[str, str]:
    """Return the environment without the variables of the tests' own environment."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AGNO_RT", "PYTHON", "VIRTUAL"))}
