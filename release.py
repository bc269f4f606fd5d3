"""Builds every distribution for a package index: `make release URL=https://HOST/OWNER/NAME`, into dist/.

Where the repository lies is written nowhere in it, so that a fork does not point at another. What needs the address
gets it here, in a copy of each project: `[project.urls]`, and the links of its README, which are relative in the
repository and would be dead on an index. The wheels are looked at afterwards; nothing is uploaded.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from email import message_from_string
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

ROOT = Path(__file__).parent
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "build", "dist")
LINKS = (
    (re.compile(r"(!\[[^\]]*\]\()([^)\s]+)"), "images"),
    (re.compile(r"""(\b(?:src|srcset)=["'])([^"'\s]+)"""), "images"),
    (re.compile(r"(\]\()([^)\s]+)"), "files"),
    (re.compile(r"""(\bhref=["'])([^"'\s]+)"""), "files"),
    (re.compile(r"^(\[[^\]]+\]:\s+)(\S+)", re.MULTILINE), "files"),
)
"""The forms of a link in a README, each with the kind of address that it needs."""
FENCED = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|#|/|<", re.IGNORECASE)
"""How a link begins that is not relative to its file."""


class ReleaseError(Exception):
    """The distributions cannot be built as they are; the text says why."""


@attrs.frozen
class Place:
    """Where the repository lies on the web: its address, and those below which its files and images are shown."""

    url: str
    files: str
    images: str
    docs: str

    @classmethod
    def of(cls, options: argparse.Namespace, version: str) -> Place:
        """Fill in what was not said, by the forms that most forges use."""
        url = options.url.rstrip("/")
        if urlsplit(url).scheme != "https" or not urlsplit(url).netloc:
            raise ReleaseError(f"{options.url!r} is not the address of a repository: write https://HOST/OWNER/NAME")
        ref = options.ref or f"v{version}"
        files = (options.files or f"{url}/blob/{ref}").rstrip("/")
        images = (options.images or f"{url}/raw/{ref}").rstrip("/")
        return cls(url, files, images, options.docs or f"{files}/docs/index.md")

    def urls(self) -> dict[str, str]:
        """The addresses that a distribution names, by their labels."""
        return {
            "Homepage": self.url,
            "Documentation": self.docs,
            "Source": self.url,
            "Changelog": f"{self.files}/CHANGELOG.md",
            "Issues": f"{self.url}/issues",
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and check all distributions. Return the exit code."""
    options = _options().parse_args(arguments)
    try:
        place = Place.of(options, _project(ROOT)["version"])
        options.out.mkdir(parents=True, exist_ok=True)
        for project in find_projects():
            print(*build(project, place, options.out), sep="\n")
    except ReleaseError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="release.py", description="Build every distribution for a package index.")
    parser.add_argument("--url", required=True, help="where the repository lies: https://HOST/OWNER/NAME")
    parser.add_argument("--ref", help="the tag that links point at; by default v and the version")
    parser.add_argument("--files", help="the address below which files are shown; by default URL/blob/REF")
    parser.add_argument("--images", help="the address below which images lie; by default URL/raw/REF")
    parser.add_argument("--docs", help="the address of the documentation; by default its files in the repository")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder to write to")
    return parser


def find_projects() -> list[Path]:
    """Return the folders of the distributions; not that of the template, which the kernel's wheel carries."""
    plugins = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
    return [ROOT, *(path for path in plugins if path.name != "agno-rt-template")]


def _project(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def build(project: Path, place: Place, out: Path) -> list[Path]:
    """Build source distribution and wheel of a copy of the project that has the place's addresses in it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / project.name
        copy_project(project, copy)
        readme = copy / "README.md"
        where = project.relative_to(ROOT) / "README.md"
        readme.write_text(absolute_links(readme.read_text(encoding="utf-8"), where, place), encoding="utf-8")
        urls = "".join(f'{label} = "{url}"\n' for label, url in place.urls().items())
        with (copy / "pyproject.toml").open("a", encoding="utf-8") as file:
            file.write(f"\n[project.urls]\n{urls}")
        built = Path(folder) / "built"
        command = [sys.executable, "-m", "hatchling", "build", "--directory", str(built)]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ReleaseError(f"{project.name} cannot be built:\n{done.stdout}{done.stderr}")
        for wheel in built.glob("*.whl"):
            check_wheel(wheel, place)
        return [Path(shutil.copy(path, out)) for path in sorted(built.iterdir())]


def copy_project(project: Path, to: Path) -> None:
    """Copy what a project's distributions are made of: of the kernel, which is the repository, what its sdist has."""
    if project != ROOT:
        shutil.copytree(project, to, ignore=LEFT_OUT)
        return
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for name in [*settings["tool"]["hatch"]["build"]["targets"]["sdist"]["include"], "pyproject.toml"]:
        source, target = ROOT / name, to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=LEFT_OUT)
        else:
            shutil.copy(source, target)


def absolute_links(text: str, where: Path, place: Place) -> str:
    """Return the README with links that work on any page; `where` is its path in the repository.

    What stands in code is left alone. Raises `ReleaseError` for a link to what is not there.
    """
    parts = FENCED.split(text)
    for at in range(0, len(parts), 2):
        for pattern, kind in LINKS:
            base = place.images if kind == "images" else place.files
            parts[at] = pattern.sub(lambda found, base=base: found[1] + _absolute(found[2], where, base), parts[at])
    return "".join(parts)


def _absolute(link: str, where: Path, base: str) -> str:
    if ELSEWHERE.match(link):
        return link
    name, hash_, part = link.partition("#")
    path = os.path.normpath(where.parent / name)
    if not (ROOT / path).exists():
        raise ReleaseError(f"{where} links to {link}, which is not in the repository")
    return f"{base}/{Path(path).as_posix()}{hash_}{part}"


def check_wheel(path: Path, place: Place) -> None:
    """See that a wheel names its author and addresses, has its licence, and a README without relative links."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
        said = message_from_string(wheel.read(metadata).decode())
    faults = list(_faults(said, names, place))
    if faults:
        raise ReleaseError(f"{path.name}: {'; '.join(faults)}")


def _faults(said: Message, names: Sequence[str], place: Place) -> Iterator[str]:
    urls = {f"{label}, {url}" for label, url in place.urls().items()}
    if set(said.get_all("Project-URL") or ()) != urls:
        yield "its addresses are not those of the repository"
    if not said["Author"]:
        yield "it names no author"
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        yield "it has no licence"
    if not any(name.endswith("/py.typed") for name in names):
        yield "it is not marked as typed"
    text = str(said.get_payload())
    for part in FENCED.split(text)[::2]:
        for pattern, _ in LINKS:
            yield from (
                f"its README links to {found[2]}" for found in pattern.finditer(part) if not ELSEWHERE.match(found[2])
            )


if __name__ == "__main__":
    sys.exit(main())
