"""The scripts of asv's pages, fetched once through npm, so that a dashboard does not need a network.

asv's pages name the scripts on servers outside. `python -m benchmarks.site.scripts` fetches them. Each file is
checked against its sum below, so that a dashboard runs only reviewed scripts. Knows nothing of benchmarks.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from agno_rt.errors import UsageError

from .running import failed

__all__ = ["FOLDER", "SCRIPTS", "fetch", "lay", "localize", "missing"]

FOLDER = Path(".asv/scripts")


class Script(NamedTuple):
    """A file of an npm package, and its SHA-256."""

    package: str
    path: str
    sha256: str


# By the name in asv's page. npm lacks minified files of some packages: these are the same version, not minified.
SCRIPTS = {
    "jquery-3.3.1.min.js": Script(
        "jquery@3.3.1", "dist/jquery.min.js", "160a426ff2894252cd7cebbdd6d6b7da8fcd319c65b70468f10b6690c45d02ef"
    ),
    "jquery.flot.min.js": Script(
        "flot@0.8.3", "jquery.flot.js", "b7b931f273c38b1277b9c6c1f4e05c4ec09885a487bddaf3279e2d7e49a38e12"
    ),
    "jquery.flot.time.min.js": Script(
        "flot@0.8.3", "jquery.flot.time.js", "a582c832adc7138a6b05aaf61f16ebac274701f1be4afea77e739a1c34b9c41a"
    ),
    "jquery.flot.selection.min.js": Script(
        "flot@0.8.3", "jquery.flot.selection.js", "e6c85f6c1ebe4b4da29d8ae238c7c5060283f05f7ef054f6b91817d02c092918"
    ),
    "jquery.flot.categories.min.js": Script(
        "flot@0.8.3", "jquery.flot.categories.js", "6e81664b28ea795c734906f4aa15614640a75ac7fbd399a7fb9084040698351a"
    ),
    "jquery.flot.orderBars.js": Script(
        "flot-orderbars@1.0.0",
        "js/jquery.flot.orderBars.js",
        "39735b4f46f96ff4e082572401f47c55a2767b366fd1d1e821e44a8d830a12bf",
    ),
    "stupidtable.min.js": Script(  # npm lacks asv's version, 1.0.1
        "stupid-table-plugin@1.1.3",
        "stupidtable.min.js",
        "4642380f28ebe9ed7cac251793b281ef8620c4386205d92788f9b12f5cceb4e0",
    ),
    "md5.min.js": Script(
        "blueimp-md5@2.19.0", "js/md5.min.js", "64d7ded388c562e4bde9e58ce205e5fa01b9734fcd434d496eb7b4fbfe9b927d"
    ),
    "bootstrap.min.js": Script(
        "bootstrap@3.1.1",
        "dist/js/bootstrap.min.js",
        "898d05a17f2cfc5120ddcdba47a885c378c0b466f30f0700e502757e24b403a1",
    ),
    "bootstrap.min.css": Script(
        "bootstrap@3.1.1",
        "dist/css/bootstrap.min.css",
        "e9503448692b738dd260fbd7f7cabf2e11f09b600fa97e6eb3a56eba5b1a7e9b",
    ),
    "glyphicons-halflings-regular.woff": Script(  # asked for by the style above
        "bootstrap@3.1.1",
        "dist/fonts/glyphicons-halflings-regular.woff",
        "fc969dc1c6ff531abcf368089dcbaf5775133b0626ff56b52301a059fc0f9e1e",
    ),
}

_OUTSIDE = re.compile(r'<(?:script|link)\b[^>]*\b(src|href)="https?://[^"]*/([^"/]+)"[^>]*>(?:</script>)?')
_FALLBACK = re.compile(r'<script type="text/javascript">\s*function js_load_failure.*?</script>\s*', re.DOTALL)


def missing(folder: Path) -> list[str]:
    """Return the names of scripts that are missing in the folder, or have another sum."""
    return [name for name, script in SCRIPTS.items() if not _has_sum(folder / name, script)]


def fetch(folder: Path) -> None:
    """Fetch missing scripts with npm. Raises `UsageError` if npm is missing or fails, or if a file has another sum."""
    if not missing(folder):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise UsageError("npm is not installed, and fetches the scripts of asv's pages", hint="Install Node.js.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        command = [npm, "install", "--prefix", made, "--ignore-scripts", "--no-save", "--no-package-lock"]
        command += [
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            *sorted({script.package for script in SCRIPTS.values()}),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise UsageError(
                f"npm could not fetch the scripts of asv's pages: {done.stderr.strip()}", hint="Try again."
            )
        for name, script in SCRIPTS.items():
            found = Path(made, "node_modules", script.package.rpartition("@")[0], script.path)
            if not _has_sum(found, script):
                raise UsageError(
                    f"{script.path} of {script.package} does not have the expected sum",
                    hint="The file was not taken. Review it before you change the sum in benchmarks/site/scripts.py.",
                )
            shutil.copyfile(found, folder / name)


def lay(folder: Path, page: Path) -> None:
    """Copy the scripts from the folder to the places that a page in the folder `page` names."""
    for name in SCRIPTS:
        place = page / ("fonts" if name.endswith(".woff") else "vendor")
        place.mkdir(exist_ok=True)
        shutil.copyfile(folder / name, place / name)


def localize(html: str) -> str:
    """Return asv's page with scripts from `vendor/`. Raises `UsageError` if the page names an unknown script."""
    asked: list[str] = []

    def local(found: re.Match[str]) -> str:
        attribute, name = found[1], found[2]
        asked.append(name)
        if attribute == "src":
            return f'<script src="vendor/{name}"></script>'
        return f'<link rel="stylesheet" href="vendor/{name}">'

    made = _OUTSIDE.sub(local, _FALLBACK.sub("", html))
    unknown = [name for name in asked if name not in SCRIPTS]
    if unknown:
        raise UsageError(
            f"this version of asv asks for {', '.join(unknown)}, which is missing in SCRIPTS",
            hint="Add it to SCRIPTS in benchmarks/site/scripts.py.",
        )
    return made


def _has_sum(path: Path, script: Script) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == script.sha256


def main() -> None:
    """Fetch the scripts into .asv/scripts of this folder."""
    try:
        fetch(FOLDER)
    except UsageError as exc:
        sys.exit(failed(exc))


if __name__ == "__main__":
    main()
