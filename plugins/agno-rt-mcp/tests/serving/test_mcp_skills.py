"""Skills as prompts and resources of the server, used by the official SDK's client over both transports."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError

from .projects import Agents, connect

pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning")


def write_skill(folder: Path, name: str, more: str = "") -> Path:
    """Write a skill, and return its folder."""
    made = folder / "skills" / name
    made.mkdir(parents=True)
    (made / "SKILL.md").write_text(f"---\nname: {name}\ndescription: Does {name}.\n{more}---\nText of {name}.\n")
    return made


@pytest.fixture
def skilled(agents: Agents) -> Agents:
    """A project with three skills, of which one has files, and one cannot be used."""
    minutes = write_skill(agents.folder, "minutes", "disable-model-invocation: true\n")
    (minutes / "forms").mkdir()
    (minutes / "forms" / "a form.md").write_text("# Form")
    (minutes / "logo.png").write_bytes(b"\x89PNG\xff\0")
    (minutes / "large.txt").write_bytes(b"x" * (2**20 + 1))
    (minutes / ".env").write_text("s3cret")
    (minutes / "link.md").symlink_to("/etc/hosts")
    write_skill(agents.folder, "letters")
    write_skill(agents.folder, "odd", "allowed-tools: {\n")
    agents.configure('agents = ["echo"]\nskills = ["skills"]')
    return agents


async def check_prompts(client: Client) -> None:
    """Look at the prompts of the project."""
    prompts = (await client.list_prompts()).prompts
    assert [(each.name, each.description) for each in prompts] == [
        ("letters", "Does letters."),
        ("minutes", "Does minutes."),
    ]
    plain: Any
    [plain] = (await client.get_prompt("letters")).messages
    assert (plain.role, plain.content.text) == ("user", "Text of letters.")
    asked: Any
    [asked] = (await client.get_prompt("minutes", {"input": "The board's."})).messages
    assert asked.content.text.startswith("Text of minutes.\n\nFiles of the skill, as resources of this server:\n")
    assert "- skill://minutes/forms/a%20form.md\n" in asked.content.text
    assert asked.content.text.endswith("\n\nThe board's.")
    with pytest.raises(MCPError, match=r"Unknown skill 'minuts'\. Did you mean 'minutes'\?"):
        await client.get_prompt("minuts")


async def check_resources(client: Client) -> None:
    """Look at the resources of the project, and for what is not offered."""
    found = {each.uri: each.mime_type for each in (await client.list_resources()).resources}
    assert found == {
        "skill://letters/SKILL.md": "text/markdown",
        "skill://minutes/SKILL.md": "text/markdown",
        "skill://minutes/forms/a%20form.md": "text/markdown",
        "skill://minutes/large.txt": "text/plain",
        "skill://minutes/logo.png": "image/png",
    }
    text: Any
    [text] = (await client.read_resource("skill://minutes/forms/a%20form.md")).contents
    assert (text.text, text.mime_type) == ("# Form", "text/markdown")
    image: Any
    [image] = (await client.read_resource("skill://minutes/logo.png")).contents
    assert (base64.b64decode(image.blob), image.mime_type) == (b"\x89PNG\xff\0", "image/png")
    for uri, said in {
        "skill://minutes/large.txt": "more than 1,048,576 bytes",
        "skill://minutes/.env": "is hidden",
        "skill://minutes/link.md": "cannot be read",
        "skill://minutes/gone.md": "No such file",
        "skill://minutes/../letters/SKILL.md": "leads outside",
        "skill://minutes/%2e%2e/letters/SKILL.md": "leads outside",
        "skill://minutes//etc/hosts": "leads outside",
        "skill://odd/SKILL.md": "Unknown skill 'odd'",
        "skill://minutes": "write skill://NAME/FILE",
        "file:///etc/hosts": "write skill://NAME/FILE",
    }.items():
        with pytest.raises(MCPError, match=said):
            await client.read_resource(uri)


async def test_skills_are_prompts_and_resources(skilled: Agents) -> None:
    """In the earlier era a user chooses a skill as a prompt, and the client reads its files, but nothing outside."""
    async with skilled.stdio("legacy") as client:
        await check_prompts(client)
        await check_resources(client)
        assert [each.name for each in (await client.list_tools()).tools][:1] == ["echo"]


async def test_skills_over_http(skilled: Agents) -> None:
    """The route of the server offers the same in the later era; a new skill is there at once."""
    async with connect(skilled.serve()) as client:
        await check_prompts(client)
        await check_resources(client)
        write_skill(skilled.folder, "fresh")
        assert (await client.get_prompt("fresh")).description == "Does fresh."


async def test_many_skills_come_in_pages(agents: Agents) -> None:
    """No page has more than 200 entries, and the cursors lead to all of them."""
    for number in range(201):
        write_skill(agents.folder, f"s{number:03}")
    agents.configure('agents = ["echo"]\nskills = ["skills"]')
    async with agents.stdio() as client:
        first = await client.list_prompts()
        assert (len(first.prompts), first.next_cursor) == (200, "200")
        second = await client.list_prompts(cursor=first.next_cursor)
        assert ([each.name for each in second.prompts], second.next_cursor) == (["s200"], None)
        with pytest.raises(MCPError, match="cursor"):
            await client.list_prompts(cursor="x")


async def test_without_skills_there_are_no_prompts(agents: Agents) -> None:
    """The server does not claim what it does not have."""
    async with agents.stdio() as client:
        assert client.server_capabilities.prompts is None
        assert client.server_capabilities.resources is None


def test_a_folder_without_skills_ends_the_start(agents: Agents) -> None:
    """The error names the setting and the folder."""
    agents.configure('agents = ["echo"]\nskills = ["nowhere"]')
    for words in (["mcp", "serve"], ["mcp", "serve", "--port", "0"]):
        process = agents.launch(*words, stderr=-1)
        _, told = process.communicate("", timeout=60)
        assert process.returncode != 0
        assert "skills of [plugins.mcp.serve]: there are none in nowhere" in told
        assert "nowhere: the folder cannot be read" in told
