"""The plugin `web`: tools for HTTP, pages, web search, feeds and public services, guarded and bounded.

`web:NAME` is a toolkit, such as `web:fetch` or `web:http:https://api.example.com/`. A runtime opens the connections of
a toolkit with its first run, and closes them at its end. The code comes with the first opened toolkit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from agno_rt.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from agno_rt.readiness import Finding
    from agno_rt.tools import Toolkit
    from agno_rt_web.settings import WebSettings

__all__ = ["TOOLKITS", "agno_rt_examine", "agno_rt_register_tools", "make_toolkit"]

TOOLKITS: Mapping[str, tuple[str, str]] = {
    "arxiv": ("arxiv", "Papers on arXiv: search_papers, get_paper_details."),
    "feeds": ("feeds", "RSS and Atom: read_feed."),
    "fetch": ("fetch", "A page as Markdown, in parts: web_fetch."),
    "hackernews": ("hackernews", "Hacker News: get_top_stories, get_story_details, search_stories."),
    "http": ("http", "Requests: http_get, http_post; only some addresses: web:http:https://api.example.com/."),
    "openweather": ("openweather", "Weather: get_current_weather, get_weather_forecast. Needs OPENWEATHER_API_KEY."),
    "pubmed": ("pubmed", "Medical articles: search_articles, get_article_details."),
    "search": ("search", "Web search by DuckDuckGo: search."),
    "tavily": ("tavily", "Tavily: tavily_search, tavily_reader. Needs TAVILY_API_KEY."),
    "websearch": ("websearch", "Web search by a provider: web_search, extract_web_content; web:websearch:brave."),
    "youtube": ("youtube", "Videos: search_youtube, get_video_info. The search needs YOUTUBE_API_KEY."),
}
"""The toolkits by name: the module in `agno_rt_web.toolkits`, and a line for `agno-rt plugins`."""


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer the toolkits."""
    for name, (_, about) in TOOLKITS.items():
        register(name, partial(_make_from_spec, name), help=about)


@hookimpl
def agno_rt_examine(settings: Mapping[str, Any]) -> Iterable[Finding]:
    """Tell of wrong settings, and of missing keys that the settings name."""
    from agno_rt_web.examine import check_settings

    return list(check_settings(settings))


def make_toolkit(spec: str, settings: WebSettings | Mapping[str, Any] | None = None) -> Toolkit:
    """Return the toolkit of a spec without `web:`, such as `"fetch"` or `"http:https://api.example.com/"`.

    `settings` are `WebSettings` or the table `[plugins.web]`. Nothing is connected until a tool is called. Raises
    `NotFound` for another name, `ConfigError` for the settings, and `UsageError` for the rest of the spec.
    """
    from agno_rt.errors import NotFound

    name, _, rest = spec.partition(":")
    if name not in TOOLKITS:
        raise NotFound("web toolkit", name, TOOLKITS)
    return _make_from_spec(name, rest, {} if settings is None else settings)


def _make_from_spec(name: str, rest: str, settings: WebSettings | Mapping[str, Any]) -> Toolkit:
    from agno_rt.tools import Toolkit
    from agno_rt_web.settings import WebSettings, check_rest, read_web_settings

    read = settings if isinstance(settings, WebSettings) else read_web_settings(settings)
    check_rest(name, rest)
    return Toolkit(name, open=partial(_open_toolkit, name, rest, read))


@asynccontextmanager
async def _open_toolkit(name: str, rest: str, settings: WebSettings) -> AsyncIterator[Any]:
    import importlib

    import trio

    # The HTTP library takes a tenth of a second to import, in which the runs of the process would wait.
    module = await trio.to_thread.run_sync(importlib.import_module, f"agno_rt_web.toolkits.{TOOLKITS[name][0]}")
    session = await trio.to_thread.run_sync(importlib.import_module, "agno_rt_web.session")
    async with session.open_session(settings) as opened:
        yield module.make_tools(opened, rest)
