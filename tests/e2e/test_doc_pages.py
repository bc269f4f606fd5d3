"""The tutorial and the how-to guides, tried as their readers do: every file and every command.

A server on this machine that speaks the same format replaces each paid provider.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.chat_server import chat_server
from tests.e2e.conftest import COMMAND
from tests.e2e.doc_pages import follow_page
from tests.free_ports import find_free_port

DOCS = Path(__file__).parents[2] / "docs"
EMBEDDED = ("tutorial/index", "howto/many-inputs", "howto/documents", "howto/web-app")
OFFLINE = (
    "howto/observability",
    "concepts/knowledge",
    "concepts/teams",
    "concepts/context",
    "concepts/workflows",
    "howto/several-agents",
    "howto/graphs",
    "howto/approvals",
    "howto/plugins",
    "howto/ci",
    "howto/deploy",
    "howto/openai-clients",
    "howto/a2a",
    "howto/agentos",
    "howto/ag-ui",
    "howto/mcp-server",
    "reference/http",
)
ANSWERS = {
    "Which river flows through Seoul?": "The Han River flows through Seoul.",
    "call: What is it like in Seoul?": '{"city": "Seoul"}',
    "What is it like in Seoul?": "It is 21 degrees in Seoul.",
    "Two days in Seoul": '{"city": "Seoul", "days": 2}',
    "My room is Jupiter.": "I see.",
    "Which room is mine?": "Your room is Jupiter.",
}

pytestmark = pytest.mark.usefixtures("curl_is_here")


@pytest.fixture
def provider() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Serve a provider on this machine, and return the address and the requests."""
    with chat_server(ANSWERS) as (url, asked):
        yield url, asked


def ports() -> dict[str, str]:
    """Return free ports to replace the pages' ports."""
    return {port: str(find_free_port()) for port in ("8000", "8001")}


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("page", EMBEDDED)
def test_a_page_with_the_embedded_model(page: str, tmp_path: Path) -> None:
    """Files are written and commands typed, in order; the output is the page's."""
    follow_page(DOCS / f"{page}.md", tmp_path, {}, ports())


def test_the_page_on_embedders(tmp_path: Path) -> None:
    """The program with the embedder of this process prints the page's lines."""
    subprocess.run([COMMAND, "llamacpp", "pull", "minilm"], check=True, capture_output=True, timeout=600)
    follow_page(DOCS / "howto" / "embedders.md", tmp_path, {}, {})


@pytest.mark.parametrize("page", OFFLINE)
def test_a_page_without_a_model(page: str, tmp_path: Path) -> None:
    """Pages without a model, or with a scripted one, hold as well."""
    follow_page(DOCS / f"{page}.md", tmp_path, {}, {"import httpx\n": "import httpx2 as httpx\n"})


def test_the_page_on_models(provider: tuple[str, list[tuple[str, str]]], tmp_path: Path) -> None:
    """A server at another address is asked without a key, a provider with its own key."""
    url, asked = provider
    hosts = ("http://127.0.0.1:11434", "http://192.168.1.7:11434", "https://models.office.example")
    addresses = dict.fromkeys(hosts, url)

    follow_page(DOCS / "howto" / "models.md", tmp_path, {}, addresses)

    assert asked == [("llama3.2", ""), ("llama3.2", ""), ("large", "Bearer sk-office-..."), ("llama3.2", "")]


def test_the_page_for_those_who_come_from_elsewhere(
    provider: tuple[str, list[tuple[str, str]]], tmp_path: Path
) -> None:
    """Our side of each comparison runs; the other frameworks are not installed here."""
    local = f'__import__("agno_rt_openai").OpenAIModel("gpt-5", base_url="{provider[0]}/v1")'

    follow_page(DOCS / "howto" / "migrate.md", tmp_path, {}, {'"openai:gpt-5"': local})

    assert len(provider[1]) == 5 + 2 + 1
