"""Skills as a context provider: a catalogue in the instructions, and texts and files on demand by one tool."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
import trio

from agno_rt.context import RunContext
from agno_rt.context_providers.front_matter import FrontMatterError
from agno_rt.context_providers.rooted_files import read_file, split_path
from agno_rt.context_providers.skill_folders import Catalogue, Skill, find_skills, list_files, parse_skill
from agno_rt.errors import UsageError, suggest
from agno_rt.providers import Context
from agno_rt.tools import tool

__all__ = ["SkillWarning", "Skills"]

_HEADING = """\
## Skills

A skill is a set of instructions for a kind of task. If the task fits a skill below, call read_skill with the skill's
name before you begin, and follow its text."""


class SkillWarning(UserWarning):
    """A skill that was skipped, with its file, the line and the reason."""


def _list_sources(sources: str | Path | Iterable[str | Path]) -> tuple[str | Path, ...]:
    return (sources,) if isinstance(sources, str | Path) else tuple(sources)


@attrs.frozen
class Skills:
    """Shows the model a catalogue of skills, and lets the model read their texts and files. Runs nothing.

    The folders are looked at before each run. The catalogue is the same as long as the skills are, in the order of
    their names, so that the beginning of requests stays cached. A skill that cannot be used is skipped with a
    `SkillWarning`.

    Attributes:
        sources: folders with a folder for each skill, nearest first, and packages: `@name` is the folder `skills` of
            the installed package
        characters: the most characters of the catalogue; longer descriptions are cut
        file_bytes: the most bytes to show of a text or file
        scripts: `True` to tell the model where a skill lies, so that another tool that runs commands, such as the
            workspace's, can run the skill's scripts
    """

    sources: tuple[str | Path, ...] = attrs.field(converter=_list_sources)
    characters: int = 8_000
    file_bytes: int = 100_000
    scripts: bool = False
    name: str = attrs.field(default="skills", kw_only=True)
    _warned: set[str] = attrs.field(factory=set, init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if not self.sources or not all(str(source) for source in self.sources):
            raise UsageError("Skills has no folder", hint="Name one: Skills('skills').")
        for field in ("characters", "file_bytes"):
            if not isinstance(getattr(self, field), int) or getattr(self, field) < 1:
                problem = f"{field} of Skills is {getattr(self, field)!r}"
                raise UsageError(problem, hint="Give a whole number of at least 1.")

    def check_ready(self) -> str:
        """Return the number of skills. Raises `UsageError` with the skipped skills."""
        found = self.find()
        count = f"{len(found.skills)} skill{'' if len(found.skills) == 1 else 's'}"
        if found.problems:
            problems = "\n".join(map(str, found.problems))
            raise UsageError(f"{count} found, and some skipped:\n{problems}", hint="Mend or remove these.")
        return f"{count} in {', '.join(map(str, self.sources))}"

    def find(self) -> Catalogue:
        """Look at the folders, and return the skills and the problems. Blocks."""
        return find_skills(self.sources)

    async def provide(self, context: RunContext) -> Context | None:
        """Return the catalogue and the tool; `None` without skills."""
        found = await trio.to_thread.run_sync(self.find)
        for problem in map(str, found.problems):
            if problem not in self._warned:
                self._warned.add(problem)
                warnings.warn(problem, SkillWarning, stacklevel=2)
        offered = {name: skill for name, skill in found.skills.items() if not skill.hidden}
        if not offered:
            return None
        context.kept[_KEY] = self, offered
        return Context(f"{_HEADING}\n\n{_format_catalogue(list(offered.values()), self.characters)}", tools=_TOOLS)

    def show(self, skill: Skill) -> str:
        """Return the text of a skill, with its tools and the list of its files. Blocks."""
        try:
            skill, body = parse_skill(skill.root, skill.name, skill.file)
        except (OSError, FrontMatterError) as exc:
            return f"The skill {skill.name} cannot be read any more: {exc}"
        parts = [_cut_text(body.encode(), self.file_bytes, f"{skill.name}/{skill.file}")]
        if skill.compatibility:
            parts.append(f"The skill needs: {skill.compatibility}")
        if skill.allowed_tools:
            parts.append(f"The skill is meant to use no tools but these: {', '.join(skill.allowed_tools)}")
        if files := list_files(skill):
            lines = "\n".join(f"- {file}" for file in files)
            parts.append(f"Files of the skill. read_skill with `file` shows one, and runs nothing:\n{lines}")
        if self.scripts:
            parts.append(f"The folder of the skill: {(skill.root / skill.name).resolve()}")
        return "\n\n".join(parts)

    def show_file(self, skill: Skill, file: str) -> str:
        """Return the text of a file of a skill, or the reason against it, for the model. Blocks."""
        try:
            parts = split_path(file)
            data = read_file(skill.root, (skill.name, *parts), self.file_bytes + 1)
        except UsageError as exc:
            return exc.full_text
        except OSError as exc:
            known = list_files(skill)
            has = f"Files: {', '.join(known)}" if known else "The skill has no files."
            return f"{file[:200]!r} of the skill {skill.name} cannot be read: {exc.strerror}. {has}"
        if b"\0" in data:
            return f"{file[:200]!r} of the skill {skill.name} is not a text."
        return _cut_text(data, self.file_bytes, f"{skill.name}/{file}") or f"{file} is empty."


def _cut_text(data: bytes, most: int, path: str) -> str:
    if len(data) <= most:
        return data.decode("utf-8", "replace")
    return f"{data[:most].decode('utf-8', 'ignore')}\n[... {path} is cut after {most:,} bytes]"


def _format_catalogue(skills: Sequence[Skill], most: int) -> str:
    """Return a line for each skill. Descriptions are cut to the length at which all lines fit."""
    low, high = 0, max(len(skill.description) for skill in skills)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(len(_format_entry(skill, middle)) + 1 for skill in skills) <= most:
            low = middle
        else:
            high = middle - 1
    lines, left = list[str](), most
    for skill in skills:
        line = _format_entry(skill, low)
        left -= len(line) + 1
        if left < 0:
            lines.append(f"- and {len(skills) - len(lines)} more: read_skill without a name lists all")
            break
        lines.append(line)
    return "\n".join(lines)


def _format_entry(skill: Skill, most: int) -> str:
    if len(skill.description) <= most:
        return f"- {skill.name}: {skill.description}"
    return f"- {skill.name}: {skill.description[: most - 1]}…" if most > 10 else f"- {skill.name}"


_KEY = object()
"""The key of the provider and its skills among the things that a run keeps."""


@tool(idempotent=True)
async def read_skill(context: RunContext, name: str = "", file: str = "") -> str:
    """Read the text of a skill, or one of its files.

    Args:
        name: the skill's name; empty for a list of all skills
        file: the path of a file of the skill; empty for the skill's text
    """
    provider, skills = context.kept[_KEY]
    if not name:
        return _format_catalogue(list(skills.values()), provider.file_bytes)
    if name not in skills:
        return f"There is no skill {name[:100]!r}. {suggest('skill', name[:100], skills)}"
    skill = skills[name]
    if file:
        return await trio.to_thread.run_sync(provider.show_file, skill, file)
    return await trio.to_thread.run_sync(provider.show, skill)


_TOOLS = (read_skill,)
