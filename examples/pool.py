"""Two browsers for ten runs: a pool lends them, since opening one is slow, and clears each before the next run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from agno_rt import Agent, Deps, ModelRequest, Runtime, ToolCall, tool
from agno_rt.pool import Pool
from agno_rt.testing import ScriptedModel


@attrs.define(eq=False)
class Browser:
    """A stand-in for a real browser."""

    number: int
    history: list[str] = attrs.Factory(list)

    async def clear(self) -> None:
        """Forget the pages."""
        self.history.clear()


opened: list[Browser] = []


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Open a browser; code after `yield` would close it."""
    await trio.sleep(0.01)
    opened.append(Browser(len(opened)))
    yield opened[-1]


@tool
async def visit(url: str, browser: Deps[Browser]) -> str:
    """Open a page."""
    browser.history.append(url)
    return f"page {len(browser.history)} of browser {browser.number}: {url}"


def answer(request: ModelRequest) -> str | ToolCall:
    """Stand in for a language model: visit a page, then repeat the page."""
    last = request.messages[-1]
    return last.text if last.role == "tool" else ToolCall("1", "visit", f'{{"url": "{last.text}"}}')


reader = Agent(ScriptedModel(answer), "reader", tools=[visit])


async def main() -> None:
    """Read ten pages with two browsers."""
    async with Runtime() as runtime, Pool(2, open_browser, reset=Browser.clear, name="browsers") as pool:

        async def read(url: str) -> None:
            async with pool.take() as browser:
                print((await runtime.run(reader, url, deps=browser)).content)

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(read, f"example.org/{number}")
        print(f"{pool.made} browsers were opened;", pool.statistics())


if __name__ == "__main__":
    trio.run(main)
