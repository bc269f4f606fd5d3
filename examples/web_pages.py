"""An agent that reads the web: a page as Markdown, and an address inside your network that is refused."""

import json
from functools import partial

import trio
from agno_rt_web import make_toolkit

from agno_rt import Agent, ModelRequest, Runtime, ToolCall
from agno_rt.testing import ScriptedModel

PAGE = b"<title>Canteen</title><nav><a href=/>Home</a></nav><h1>Canteen</h1><p>It opens at <b>noon</b>.</p>"


async def serve_page(stream: trio.SocketStream) -> None:
    """Stand in for a web site."""
    await stream.receive_some(4096)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {len(PAGE)}\r\nconnection: close\r\n\r\n"
    await stream.send_all(head.encode() + PAGE)


def answer(request: ModelRequest, site: str) -> str | ToolCall:
    """Stand in for a language model: read the page, try the metadata of a cloud's machines, and tell of both."""
    results = [message.text for message in request.messages if message.role == "tool"]
    addresses = [site, "http://169.254.169.254/latest/meta-data/"]
    if len(results) < len(addresses):
        return ToolCall(str(len(results)), "web_fetch", json.dumps({"url": addresses[len(results)]}))
    return f"{json.loads(results[0])['content']}\n\nThe other page: {results[1]}"


async def main() -> None:
    """Serve a page on this machine, and let an agent read it."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve_page, listeners)
        site = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
        # Addresses of your own network are refused, unless you name them. From a file: tools = ["web:fetch"].
        web = make_toolkit("fetch", {"private": ["127.0.0.1"]})
        reader = Agent(ScriptedModel(partial(answer, site=site)), "reader", tools=[web])
        async with Runtime() as runtime:
            print((await runtime.run(reader, "When does the canteen open?")).content)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
