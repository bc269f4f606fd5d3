"""Skills of the server: each is a prompt for clients' users, and its files are resources. Nothing of a skill is run."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import mcp_types as types
import trio
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from agno_rt.context_providers.front_matter import FrontMatterError
from agno_rt.context_providers.rooted_files import read_file, split_path
from agno_rt.context_providers.skill_folders import Skill, find_skills, list_files, parse_skill
from agno_rt.errors import UsageError, suggest
from agno_rt.media.types import BY_SUFFIX, suffix_of

__all__ = ["SkillOffers"]

T = TypeVar("T")

log = logging.getLogger("agno_rt_mcp.server")

MOST_BYTES = 2**20
"""The most bytes of a resource."""

PAGE = 200
"""Prompts or resources on a page."""

_SCHEME = "skill://"
_INPUT = types.PromptArgument(name="input", description="What to do.", required=False)


class SkillOffers:
    """The skills of folders and packages, looked at for each request. The caller may use the route, and so all skills.

    A user chooses a prompt: skills that are kept from models are there, too.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = sources
        self._told: set[str] = set()

    def add_to(self, server: Server[Any]) -> None:
        """Let the server answer requests for prompts and resources."""
        server.add_request_handler("prompts/list", types.PaginatedRequestParams, self.list_prompts)
        server.add_request_handler("prompts/get", types.GetPromptRequestParams, self.get_prompt)
        server.add_request_handler("resources/list", types.PaginatedRequestParams, self.list_resources)
        server.add_request_handler("resources/read", types.ReadResourceRequestParams, self.read_resource)

    async def list_prompts(
        self, context: ServerRequestContext[Any, Any], params: types.PaginatedRequestParams
    ) -> types.ListPromptsResult:
        """Return a page of the prompts, in the order of their names."""
        page, cursor = _cut_page(list((await self._find()).values()), params)
        prompts = [types.Prompt(name=each.name, description=each.description, arguments=[_INPUT]) for each in page]
        return types.ListPromptsResult(prompts=prompts, next_cursor=cursor)

    async def get_prompt(
        self, context: ServerRequestContext[Any, Any], params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        """Return a skill as a message of the user: its text, its files, and what to do."""
        skill = await self._find_one(params.name)
        text = await _run(_render_skill, skill, (params.arguments or {}).get("input", ""))
        message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
        return types.GetPromptResult(description=skill.description, messages=[message])

    async def list_resources(
        self, context: ServerRequestContext[Any, Any], params: types.PaginatedRequestParams
    ) -> types.ListResourcesResult:
        """Return a page of the skills' files."""
        skills = list((await self._find()).values())
        page, cursor = _cut_page(await _run(_list_resources, skills), params)
        return types.ListResourcesResult(resources=page, next_cursor=cursor)

    async def read_resource(
        self, context: ServerRequestContext[Any, Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """Return a file of a skill: as text, or as bytes if it is not a text."""
        name, _, path = unquote(str(params.uri).removeprefix(_SCHEME)).partition("/")
        if not str(params.uri).startswith(_SCHEME) or not path:
            raise _refuse(f"Unknown resource {str(params.uri)[:200]!r}: write {_SCHEME}NAME/FILE")
        data = await _run(_read_file, await self._find_one(name), path)
        return types.ReadResourceResult(contents=[_write_contents(str(params.uri), path, data)])

    async def _find(self) -> dict[str, Skill]:
        found = await _run(find_skills, self._sources)
        for problem in map(str, found.problems):
            if problem not in self._told:
                self._told.add(problem)
                log.warning("a skill is left out: %s", problem)
        return dict(found.skills)

    async def _find_one(self, name: str) -> Skill:
        skills = await self._find()
        if name not in skills:
            raise _refuse(f"Unknown skill {name[:100]!r}. {suggest('skill', name[:100], skills)}")
        return skills[name]


async def _run(function: Callable[..., T], *args: Any) -> T:
    return await trio.to_thread.run_sync(function, *args, abandon_on_cancel=True)


def _refuse(problem: str) -> MCPError:
    return MCPError(types.INVALID_PARAMS, problem)


def _cut_page(found: Sequence[T], params: types.PaginatedRequestParams) -> tuple[list[T], str | None]:
    """Return the page that begins at the cursor, and the cursor of the next page."""
    cursor = params.cursor or "0"
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 10):
        raise _refuse("The cursor is not of this server")
    end = int(cursor) + PAGE
    return list(found[int(cursor) : end]), str(end) if len(found) > end else None


def _render_skill(skill: Skill, asked: str) -> str:
    try:
        _, body = parse_skill(skill.root, skill.name, skill.file)
    except (OSError, FrontMatterError) as exc:
        raise _refuse(f"The skill {skill.name} cannot be read any more: {exc}") from exc
    parts = [body]
    if files := list_files(skill):
        lines = "\n".join(f"- {_make_uri(skill, file)}" for file in files)
        parts.append(f"Files of the skill, as resources of this server:\n{lines}")
    return "\n\n".join([*parts, asked] if asked else parts)


def _list_resources(skills: Sequence[Skill]) -> list[types.Resource]:
    return [
        types.Resource(
            uri=_make_uri(skill, file),
            name=f"{skill.name}/{file}",
            description=skill.description if file == skill.file else None,
            mime_type=BY_SUFFIX.get(suffix_of(file)),
        )
        for skill in skills
        for file in (skill.file, *list_files(skill))
    ]


def _make_uri(skill: Skill, file: str) -> str:
    return f"{_SCHEME}{skill.name}/{quote(file)}"


def _read_file(skill: Skill, path: str) -> bytes:
    try:
        parts = split_path(path)
        if any(part.startswith(".") for part in parts):
            raise UsageError(f"{path[:200]!r} is hidden", hint="The list of resources has the files of skills.")
        data = read_file(skill.root, (skill.name, *parts), MOST_BYTES + 1)
    except UsageError as exc:
        raise _refuse(exc.full_text) from exc
    except OSError as exc:
        raise _refuse(f"{path[:200]!r} of the skill {skill.name} cannot be read: {exc.strerror}") from exc
    if len(data) > MOST_BYTES:
        raise _refuse(f"{path[:200]!r} of the skill {skill.name} has more than {MOST_BYTES:,} bytes")
    return data


def _write_contents(uri: str, path: str, data: bytes) -> types.TextResourceContents | types.BlobResourceContents:
    type_ = BY_SUFFIX.get(suffix_of(path))
    try:
        return types.TextResourceContents(uri=uri, mime_type=type_ or "text/plain", text=data.decode())
    except UnicodeDecodeError:
        blob = base64.b64encode(data).decode()
        return types.BlobResourceContents(uri=uri, mime_type=type_ or "application/octet-stream", blob=blob)
