"""Skills in folders and packages: found, checked, and read. The functions block: call them in a thread.

A skill is a folder with a file SKILL.md, whose front matter has a name and a description
(https://agentskills.io/specification).
"""

from __future__ import annotations

import importlib.util
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from agno_rt.context_providers.front_matter import FrontMatter, FrontMatterError, Value, parse_front_matter
from agno_rt.context_providers.rooted_files import open_folder, read_file, show_name

__all__ = ["Catalogue", "Skill", "SkillProblem", "find_skills", "list_files", "parse_skill"]

FILES = ("SKILL.md", "skill.md")
MOST_SKILLS = 500
MOST_BYTES = 200_000
"""The most bytes of a SKILL.md."""
MOST_FILES = 100
"""The most files of a skill that are listed."""

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_TOOL = re.compile(r"[^\s,()]+(?:\([^()]*\))?")


@attrs.frozen
class Skill:
    """A skill as its front matter describes it.

    Attributes:
        name: the name, which is the name of the folder as well
        description: the task for the skill, in a line
        root: the folder of skills that has the skill
        file: the name of the skill's file, in its folder
        allowed_tools: the tools that the author means the skill to use. Never an approval of a call
        compatibility: the author's note on the needs of the skill
        hidden: the author keeps the skill from models (`disable-model-invocation: true`)
    """

    name: str
    description: str
    root: Path
    file: str = "SKILL.md"
    allowed_tools: tuple[str, ...] = ()
    compatibility: str = ""
    hidden: bool = False


@attrs.frozen
class SkillProblem:
    """The reason why a skill was skipped, with the file and the line; 0 for no line."""

    path: str
    line: int
    problem: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.problem}"


@attrs.frozen
class Catalogue:
    """The skills by name, in the order of their names, and the reasons for the skipped ones."""

    skills: Mapping[str, Skill]
    problems: tuple[SkillProblem, ...] = ()


def find_skills(sources: Sequence[str | Path]) -> Catalogue:
    """Find the skills of folders and packages (`@package`). The first source with a skill of a name has it."""
    skills: dict[str, Skill] = {}
    problems = list[SkillProblem]()
    for root in _find_roots(sources, problems):
        for found in _scan_folder(root):
            if isinstance(found, SkillProblem):
                problems.append(found)
            elif (other := skills.setdefault(found.name, found)) is not found:
                problem = f"skipped: the skill {found.name!r} of {other.root} comes first"
                problems.append(SkillProblem(str(root / found.name), 0, problem))
    return Catalogue(dict(sorted(skills.items())), tuple(problems))


def _find_roots(sources: Sequence[str | Path], problems: list[SkillProblem]) -> Iterator[Path]:
    for source in sources:
        text = str(source)
        if not text.startswith("@"):
            yield Path(source).expanduser()
            continue
        name = text[1:]
        # The spec of a package's part would import the package.
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        places = [Path(place) / "skills" for place in (spec and spec.submodule_search_locations) or ()]
        roots = [place for place in places if place.is_dir()]
        if not roots:
            problems.append(SkillProblem(text, 0, "there is no installed package of this name with a folder 'skills'"))
        yield from roots


def _scan_folder(root: Path) -> Iterator[Skill | SkillProblem]:
    """Yield the skills of a folder, by name, and the problems."""
    try:
        with open_folder(root) as opened:
            names = sorted(os.listdir(opened))
            kinds = {name: _read_mode(name, opened) for name in names}
    except OSError as exc:
        yield SkillProblem(str(root), 0, f"the folder cannot be read: {exc.strerror}")
        return
    count = 0
    for name in names:
        path = f"{root}/{show_name(name)}"
        if name in FILES:
            yield SkillProblem(path, 0, "skipped: a skill needs a folder of its own below this one")
        elif name.startswith((".", "_")) or not (stat.S_ISDIR(kinds[name]) or stat.S_ISLNK(kinds[name])):
            continue
        elif stat.S_ISLNK(kinds[name]):
            yield SkillProblem(path, 0, "skipped: it is a link, which may lead anywhere; name the folder itself")
        elif count == MOST_SKILLS:
            yield SkillProblem(path, 0, f"skipped with all after it: {MOST_SKILLS} skills is the most of a folder")
            return
        else:
            count += 1
            yield _load_skill(root, name)


def _read_mode(name: str, folder: int) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except OSError:
        return 0  # gone meanwhile


def _load_skill(root: Path, name: str) -> Skill | SkillProblem:
    for file in FILES:
        path = f"{root}/{show_name(name)}/{file}"
        try:
            return parse_skill(root, name, file)[0]
        except FileNotFoundError:
            continue
        except OSError as exc:
            return SkillProblem(path, 0, f"cannot be read: {exc.strerror}")
        except FrontMatterError as exc:
            return SkillProblem(path, exc.line, exc.problem)
    return SkillProblem(f"{root}/{show_name(name)}", 0, "skipped: the folder has no SKILL.md")


def parse_skill(root: Path, name: str, file: str) -> tuple[Skill, str]:
    """Read the skill in the folder `name`. Return the skill, and its text. Raises `OSError` or `FrontMatterError`."""
    data = read_file(root, (name, file), MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise FrontMatterError(0, f"the file has more than {MOST_BYTES:,} bytes: put parts into other files")
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise FrontMatterError(data.count(b"\n", 0, exc.start) + 1, "the text is not UTF-8") from None
    front = parse_front_matter(text)
    # Limits hold however their keys are written.
    values = {key.lower().replace("_", "-"): (value, front.lines[key]) for key, value in front.values.items()}
    if len(values) < len(front.values):
        raise FrontMatterError(1, "a key is there twice, in two ways of writing")
    description, line = _read_line(values, "description")
    if not description:
        raise FrontMatterError(line, "the description is missing: write description: the task for this skill")
    _check_name(*_read_line(values, "name"), folder=name)
    tools, line = values.get("allowed-tools", ("", 1))
    hidden, at = _read_line(values, "disable-model-invocation")
    if hidden.lower() not in ("", "true", "false"):
        raise FrontMatterError(at, f"disable-model-invocation is {hidden[:40]!r}: write true or false")
    compatibility, _ = _read_line(values, "compatibility")
    is_hidden = hidden.lower() == "true"
    return Skill(name, description, root, file, _split_tools(tools, line), compatibility, is_hidden), _read_body(front)


def _read_line(values: Mapping[str, tuple[Value, int]], key: str) -> tuple[str, int]:
    """Return a text in one line, so that it cannot look like several entries of a list, and its place."""
    value, line = values.get(key, ("", 1))
    if not isinstance(value, str):
        raise FrontMatterError(line, f"{key} is not a text: put it in quotes")
    return " ".join("".join(char if char.isprintable() else " " for char in value).split()), line


def _check_name(name: str, line: int, *, folder: str) -> None:
    if not name:
        raise FrontMatterError(line, f"the name is missing: write name: {show_name(folder)}")
    if not _NAME.fullmatch(name) or len(name) > 64:
        problem = f"{name[:80]!r} is not a name for a skill: use up to 64 of a-z, 0-9 and single hyphens between"
        raise FrontMatterError(line, problem)
    if name != folder:
        raise FrontMatterError(line, f"the name is {name!r}, but the folder is {show_name(folder)!r}: make them equal")


def _split_tools(value: Value, line: int) -> tuple[str, ...]:
    """Return the tools, written as a list or as a text with spaces or commas between."""
    if isinstance(value, list) and all(value):
        return tuple(value)
    if not isinstance(value, str) or _TOOL.sub("", value).strip(" ,\n"):
        raise FrontMatterError(line, "allowed-tools cannot be read: write the names with spaces between")
    return tuple(_TOOL.findall(value))


def _read_body(front: FrontMatter) -> str:
    return front.body or "(The skill has no text.)"


def list_files(skill: Skill) -> list[str]:
    """Return the paths of the files of a skill besides SKILL.md, at most a bound. Links are left out."""
    found = list[str]()
    _add_files(skill, (), found)
    return found[:MOST_FILES]


def _add_files(skill: Skill, below: tuple[str, ...], found: list[str]) -> None:
    try:
        with open_folder(skill.root, (skill.name, *below)) as opened:
            kinds = [(name, _read_mode(name, opened)) for name in sorted(os.listdir(opened))]
    except OSError:
        return
    for name, mode in kinds:
        if len(found) >= MOST_FILES or name.startswith(".") or (not below and name == skill.file):
            continue
        if stat.S_ISREG(mode) and show_name(name) == name:
            found.append("/".join((*below, name)))
        elif stat.S_ISDIR(mode) and name != "__pycache__" and len(below) < 4:
            _add_files(skill, (*below, name), found)
