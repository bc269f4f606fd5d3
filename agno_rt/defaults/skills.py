"""Skills for agents: the context provider `skills:FOLDER`. Imports nothing slow: the code comes with the provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agno_rt.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from agno_rt.providers import ContextProvider

__all__ = ["agno_rt_register_context"]


def _make_skills(rest: str, settings: Mapping[str, Any]) -> ContextProvider:
    import attrs

    from agno_rt.config import read_settings
    from agno_rt.context_providers.skills import Skills

    @attrs.frozen
    class SkillsSettings:
        characters: int = 8_000
        file_bytes: int = 100_000
        scripts: bool = False

    read = read_settings(SkillsSettings, settings, "[plugins.skills]")
    folders = [folder for folder in rest.split(":") if folder]
    return Skills(folders, read.characters, read.file_bytes, read.scripts)


@hookimpl
def agno_rt_register_context(register: Register) -> None:
    """Offer `skills:FOLDER`, also `skills:FOLDER:FOLDER` and `skills:@PACKAGE`."""
    text = "Skills (SKILL.md) in folders, nearest first: skills:FOLDER, skills:@PACKAGE."
    register("*", _make_skills, help=text, any_name="FOLDER")
