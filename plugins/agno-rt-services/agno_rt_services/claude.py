"""Skills of Claude: programs and instructions that Anthropic runs in a container of its own.

References: Anthropic's "Using Agent Skills with the API" (`container.skills`, `pause_turn`) and "Code execution tool".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import attrs
from msgspec import Meta

from agno_rt.context import RunContext
from agno_rt.errors import UsageError
from agno_rt.http_client.server import Key
from agno_rt.messages import Usage
from agno_rt.tools import Tool, ToolArgumentError
from agno_rt_services.errors import ServiceError
from agno_rt_services.service import Definition, KeyAccess, Service
from agno_rt_services.settings import ServiceSettings
from agno_rt_services.texts import pick, shorten

__all__ = ["SERVICE", "ClaudeSettings"]

MOST_TEXT = 20_000
MOST_CONTINUATIONS = 10
"""Times to continue an answer that the service has paused. Each continuation is a request of its own."""

MOST_CONVERSATIONS = 100
MOST_MESSAGES = 40
"""The longest conversation to remember; a longer one goes on with its files alone."""

_DEEPEST = 20
_HEADERS = {"anthropic-version": "2023-06-01", "anthropic-beta": "code-execution-2025-08-25,skills-2025-10-02"}
_TOOL = {"type": "code_execution_20250825", "name": "code_execution"}

Name = Annotated[str, Meta(max_length=200, pattern="^[A-Za-z0-9_-]*$")]


@attrs.frozen(kw_only=True, slots=False)
class ClaudeSettings(ServiceSettings):
    """The settings of Claude's skills.

    Attributes:
        model: the model that uses the skill
        max_tokens: the most tokens of one answer
        skill: the skill to use if the call names none, such as `pptx`, or the id of a skill of your own
        version: the version of skills
    """

    base_url: str = "https://api.anthropic.com"
    read_timeout: float = 600.0
    timeout: float = 900.0
    model: str = "claude-sonnet-5-5"
    max_tokens: int = 16_000
    skill: str = ""
    version: str = "latest"

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.max_tokens < 1:
            raise UsageError(f"max_tokens is {self.max_tokens!r}", hint="Give a whole number of at least 1.")


class ClaudeAccess(KeyAccess):
    """Anthropic's key, in a header of its own."""

    async def find(self) -> tuple[Key, Mapping[str, str]]:
        """Return the key, and the headers of a request with skills."""
        key = self.find_key()
        return key, {**_HEADERS, **({"x-api-key": key.text} if key.text else {})}


def make_tools(service: Service) -> list[Tool]:
    """Make the tools of an open service."""
    conversations: dict[str, list[Any]] = {}

    @service.changing()
    async def invoke_claude_skill(
        context: RunContext,
        input: Annotated[str, Meta(min_length=1, max_length=100_000)],
        skill_id: Name = "",
        conversation_id: Name = "",
    ) -> dict[str, Any]:
        """Let Claude do a task with a skill, such as xlsx, docx, pptx or pdf. It takes minutes, and costs.

        Args:
            input: the task, with all that is needed to do it
            skill_id: the skill; empty for the usual one
            conversation_id: the conversation_id of an earlier result, to go on with its files
        """
        skill = skill_id or service.settings.skill
        if not skill:
            raise ToolArgumentError("skill_id is missing: there is no usual skill")
        messages = [*conversations.get(conversation_id, ()), {"role": "user", "content": input}]
        asked = _Asked(service, skill, conversation_id)
        blocks = await asked.ask(context, messages)
        if asked.container:
            # The last place is the last to be forgotten.
            conversations.pop(asked.container, None)
            conversations[asked.container] = messages if len(messages) <= MOST_MESSAGES else []
            if len(conversations) > MOST_CONVERSATIONS:
                del conversations[next(iter(conversations))]
        return {"skill_id": skill, "output": _show_output(blocks), "conversation_id": asked.container}

    return [invoke_claude_skill]


class _Asked:
    """One use of a skill; `container` is the name of the container, once the service has told it."""

    def __init__(self, service: Service, skill: str, container: str) -> None:
        self._service = service
        kind = "custom" if skill.startswith("skill_") else "anthropic"
        self._skill = {"type": kind, "skill_id": skill, "version": service.settings.version}
        self.container = container

    async def ask(self, context: RunContext, messages: list[Any]) -> list[Any]:
        """Ask until the answer is complete; add the answer to the messages, and return its parts."""
        settings, blocks = self._service.settings, []
        for _ in range(MOST_CONTINUATIONS + 1):
            container = {"skills": [self._skill], **({"id": self.container} if self.container else {})}
            body = {"model": settings.model, "max_tokens": settings.max_tokens, "tools": [_TOOL]}
            answer = await self._service.post("v1/messages", {**body, "container": container, "messages": messages})
            context.spend(_read_usage(answer.get("usage")))
            self.container = pick(answer, "container", "id") or self.container
            content = answer.get("content")
            content = content if isinstance(content, list) else []
            blocks += content
            if content:
                messages.append({"role": "assistant", "content": content})
            if answer.get("stop_reason") != "pause_turn":
                return blocks
        hint = f"Go on with conversation_id {self.container}, or give a smaller task."
        raise ServiceError(f"claude did not finish within {MOST_CONTINUATIONS} continuations", hint=hint)


def _read_usage(usage: Any) -> Usage:
    counts = [pick(usage, name) for name in ("input_tokens", "output_tokens")]
    return Usage(*(count if isinstance(count, int) and count > 0 else 0 for count in counts))


def _show_output(blocks: list[Any]) -> dict[str, Any]:
    """Return the texts of an answer, and the files that it made."""
    text = "\n".join(block["text"] for block in blocks if pick(block, "type") == "text" and block.get("text"))
    cut = f"{text[:MOST_TEXT]}\n[... {len(text):,} characters in all]" if len(text) > MOST_TEXT else text
    files = list(dict.fromkeys(_find_files(blocks, 0)))
    errors = [code for block in blocks if (code := pick(block, "content", "error_code"))]
    shown: dict[str, Any] = {"text": cut, "files": files[:20]}
    return shown | ({"errors": [shorten(code, 100) for code in errors[:5]]} if errors else {})


def _find_files(value: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        if isinstance(value.get("file_id"), str):
            yield value["file_id"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _find_files(each, depth + 1)


SERVICE = Definition("claude", "ANTHROPIC_API_KEY", make_tools, ClaudeSettings, access=ClaudeAccess)
