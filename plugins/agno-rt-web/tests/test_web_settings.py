"""Specs, settings, notes of tools, and what `agno-rt doctor` tells."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agno_rt_web import TOOLKITS, make_toolkit
from agno_rt_web.settings import SERVICES, WebSettings

from agno_rt import Agent, Runtime
from agno_rt.errors import AgnoError, ConfigError, NotFound, UsageError
from agno_rt.plugins import PluginHost
from agno_rt.readiness import check_ready
from agno_rt.testing import ScriptedModel

NAMES = {
    "arxiv": ["get_paper_details", "search_papers"],
    "feeds": ["read_feed"],
    "fetch": ["web_fetch"],
    "hackernews": ["get_story_details", "get_top_stories", "search_stories"],
    "http": ["http_get", "http_post"],
    "openweather": ["get_current_weather", "get_weather_forecast"],
    "pubmed": ["get_article_details", "search_articles"],
    "search": ["search"],
    "tavily": ["tavily_reader", "tavily_search"],
    "websearch": ["extract_web_content", "web_search"],
    "youtube": ["get_video_info", "search_youtube"],
}


async def test_every_toolkit_opens_by_its_spec() -> None:
    """Each spec gives tools with a description, and notes; all but `http_post` only read."""
    assert NAMES.keys() == TOOLKITS.keys()
    async with Runtime() as rt:
        for name, tools in NAMES.items():
            found = await rt.open_tools(Agent(ScriptedModel([]), tools=[f"web:{name}"]))
            assert sorted(found) == tools
            for tool in found.values():
                assert tool.description
                assert (tool.read_only, tool.destructive) == (tool.name != "http_post", tool.name == "http_post")
                assert all(each.get("type") for each in tool.parameters["properties"].values())
        every = await rt.open_tools(Agent(ScriptedModel([]), tools=[f"web:{name}" for name in NAMES]))
        assert len(every) == sum(map(len, NAMES.values()))


async def test_settings_of_the_file_reach_the_tools() -> None:
    """`[plugins.web]` is read when the toolkit is made: `approve` and `methods` change the tools."""
    async with Runtime(settings={"web": {"approve": "all", "methods": ["GET"]}}) as rt:
        found = await rt.open_tools(Agent(ScriptedModel([]), tools=["web:http:https://api.test/ https://b.test/v1"]))
        assert [(name, tool.approve) for name, tool in found.items()] == [("http_get", True)]


@pytest.mark.parametrize(
    ("spec", "kind", "problem"),
    [
        ("web:nothing", NotFound, "web:nothing"),
        ("web:fetch:x", UsageError, "takes nothing more"),
        ("web:websearch:altavista", UsageError, "altavista is not known"),
        ("web:http:ftp://a.test/", UsageError, "ftp://a.test/"),
        ("web:http:https://a:b@c.test/", UsageError, "c.test"),
        ("hackernews", NotFound, "Write web:hackernews"),
    ],
)
def test_wrong_specs_are_refused(spec: str, kind: type[AgnoError], problem: str) -> None:
    """The error says what is wrong, before anything is asked."""
    with pytest.raises(kind) as caught:
        PluginHost().tool(spec, {})
    assert problem in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    "settings",
    [
        *({"timeout": 0}, {"max_bytes": -1}, {"stall": float("inf")}, {"redirects": -1}, {"provider": "altavista"}),
        *({"approve": "maybe"}, {"methods": ["PUT"]}, {"private": ["10.0.0.0/99"]}, {"allow": ["a.test"]}),
        *(
            {"user_agent": "a\r\nb: c"},
            {"nothing": 1},
            {"services": {"bing": {}}},
            {"services": {"brave": {"url": "x"}}},
        ),
        *({"services": {"brave": {"base_url": "file:///x"}}}, {"services": {"brave": 1}}),
        *(
            {"headers": {"a.test": {}}},
            {"headers": {"https://a.test/": {"x": 1}}},
            {"headers": {"https://a.test/": "x"}},
        ),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    """A wrong value, key, service or prefix is an error when the toolkit is made."""
    with pytest.raises((ConfigError, NotFound)):
        make_toolkit("fetch", settings)


def test_services_can_be_changed_in_part() -> None:
    """A table changes its own keys; other keys stay."""
    settings = WebSettings(services={"tavily": {"api_key_env": "MY_KEY"}})
    assert settings.find_service("tavily").api_key_env == "MY_KEY"
    assert settings.find_service("tavily").base_url == SERVICES["tavily"].base_url
    assert settings.find_service("brave") == SERVICES["brave"]


async def test_missing_keys_are_told_before_the_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools without their key say so; other tools do not."""
    for name in ("TAVILY_API_KEY", "YOUTUBE_API_KEY", "OPENWEATHER_API_KEY", "BRAVE_API_KEY", "SHOP_KEY"):
        monkeypatch.delenv(name, raising=False)
    settings = {"web": {"provider": "brave", "headers": {"https://shop.test/": {"authorization": "${SHOP_KEY}"}}}}
    async with Runtime(settings=settings) as rt:
        agent = Agent(ScriptedModel([]), name="a", tools=[f"web:{name}" for name in NAMES])
        found = await check_ready(rt, agent, memory=False, toolkits=True)
    named = sorted(each.message for each in found if "memory:" not in each.message)
    assert named == [
        "brave needs an API key, and BRAVE_API_KEY is not set",
        "openweather needs an API key, and OPENWEATHER_API_KEY is not set",
        "requests to shop.test need SHOP_KEY, which is not set",
        "tavily needs an API key, and TAVILY_API_KEY is not set",
        "youtube needs an API key, and YOUTUBE_API_KEY is not set",
    ]


def test_doctor_tells_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong settings are errors, and missing keys of the settings are warnings."""
    monkeypatch.delenv("BRAVE_API_KEY", raising=False)
    monkeypatch.delenv("SHOP_KEY", raising=False)
    host = PluginHost()
    assert host.examine("web", {}) == []
    [error] = host.examine("web", {"timeout": -1})
    assert (error.level, error.message) == ("error", "[plugins.web]: timeout is -1") or "timeout is -1" in error.message
    settings = {
        "provider": "brave",
        "services": {"searxng": {}},
        "headers": {"https://shop.test/": {"x": "${SHOP_KEY}"}},
    }
    found = host.examine("web", settings)
    assert [each.level for each in found] == ["warning"] * 3
    words = "BRAVE_API_KEY", "searxng has no address", "SHOP_KEY"
    assert all(any(word in each.message for each in found) for word in words)


def test_loading_the_plugin_imports_nothing_slow(tmp_path: Path) -> None:
    """A toolkit is made without the HTTP library."""
    code = (
        "import sys, agno_rt_web; agno_rt_web.make_toolkit('fetch');"
        "print([name for name in ('httpx2', 'httpcore2', 'ssl', 'xml') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert result.stdout == "[]\n"
