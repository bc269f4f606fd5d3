"""Requests: limits of bytes and time, redirects, attempts, credentials, and connections that end."""

from __future__ import annotations

import gzip
import ipaddress
import shutil
import ssl
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
import trio
from agno_rt_web import make_toolkit
from agno_rt_web.addresses import Guard
from agno_rt_web.client import Request, WebClient, load_certificates
from agno_rt_web.settings import WebSettings

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.errors import UsageError
from agno_rt.testing import CancelPoint, ScriptedModel, cancel_everywhere

PLAIN = {"content-type": "text/plain"}


async def test_get_and_post(site: Any, use: Any, answer: Any) -> None:
    """Both return status, headers and body; a status without success is a result, and a redirect is followed."""
    site.answers |= {
        "/a": answer({"a": 1}, headers={"x-number": "7", "set-cookie": "secret=1"}),
        "/gone": answer("gone", 410, PLAIN),
        "/moved": answer(status=303, headers={"location": "/a"}),
        "/picture": answer(b"\x89PNG\0", headers={"content-type": "image/png"}),
    }
    settings = site.settings(approve="none")
    got, gone, posted, moved, picture = await use(
        "http",
        settings,
        ("http_get", {"url": f"{site.url}/a"}),
        ("http_get", {"url": f"{site.url}/gone"}),
        ("http_post", {"url": f"{site.url}/a", "body": '{"b": "ü"}'}),
        ("http_post", {"url": f"{site.url}/moved", "body": "{}"}),
        ("http_get", {"url": f"{site.url}/picture"}),
    )
    headers = {"content-length": "7", "content-type": "application/json", "x-number": "7"}
    assert got == {"status_code": 200, "url": f"{site.url}/a", "headers": headers, "body": '{"a":1}'}
    assert (gone["status_code"], gone["body"]) == (410, "gone")
    assert posted["body"] == moved["body"] == '{"a":1}'
    assert picture["body"] == ""
    assert picture["note"] == "The body is not a text: image/png, 5 bytes."
    post = site.asked[2]
    assert (post.method, post.body, post.headers["content-type"]) == ("POST", '{"b": "ü"}'.encode(), "application/json")
    assert [each.method for each in site.asked[3:5]] == ["POST", "GET"]
    assert site.connections == 1  # one connection is used again


async def test_a_post_waits_for_a_person_by_default(site: Any, answer: Any) -> None:
    """Nothing is sent before the approval; tools that read do not wait."""
    toolkit = make_toolkit("http", site.settings())
    site.answers["/"] = answer("ok", headers=PLAIN)
    call = ToolCall("1", "http_post", f'{{"url": "{site.url}/", "body": "{{}}"}}')
    async with Runtime() as rt:
        result = await rt.run(Agent(ScriptedModel([call]), tools=[toolkit]), "?")
        assert result.status == "paused"
        (approval,) = result.approvals
        assert approval.call.name == "http_post"
    assert site.asked == []


async def test_methods_of_the_settings_are_the_tools(site: Any) -> None:
    """Without POST there is no tool for it. Each tool says whether it changes something."""
    async with Runtime() as rt:
        for methods, names in ((["GET"], ["http_get"]), (["GET", "POST"], ["http_get", "http_post"])):
            agent = Agent(ScriptedModel([]), tools=[make_toolkit("http", {"methods": methods})])
            tools = (await rt.open_tools(agent)) or rt.tools(agent)
            assert sorted(tools) == names
            assert [tools[name].read_only for name in names] == [True, False][: len(names)]


async def test_answers_are_cut_at_the_limit(site: Any, use: Any, answer: Any) -> None:
    """An endless body, a packed bomb and a long text are cut, with a note, and take no more memory."""
    sent = 0

    async def speak_without_end(stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 65_536)
            sent += 65_536

    bomb = gzip.compress(b"y" * 50_000_000)
    bombs = gzip.compress(b"") * 5_000
    raw = zlib.compressobj(wbits=-15)
    packed = {"content-type": "text/plain", "content-encoding": "gzip"}
    site.answers |= {
        "/endless": answer(speak=speak_without_end),
        "/bomb": answer(bomb, headers=packed),
        "/bombs": answer(bombs + gzip.compress(b"end"), headers=packed),
        "/two": answer(gzip.compress(b"one ") + gzip.compress(b"two") + b"\0\0", headers=packed),
        "/raw": answer(raw.compress(b"raw") + raw.flush(), headers={**packed, "content-encoding": "deflate"}),
        "/zlib": answer(zlib.compress(b"zlib"), headers={**packed, "content-encoding": "deflate"}),
        "/long": answer("z" * 60_000, headers=PLAIN),
        "/damaged": answer(b"\x1f\x8bno", headers=packed),
        "/brotli": answer(b"x", headers={**packed, "content-encoding": "br"}),
    }
    paths = list(site.answers)
    calls = [("http_get", {"url": site.url + path}) for path in paths]
    results = dict(
        zip(paths, await use("http", site.settings(max_bytes=100_000, characters=50_000), *calls), strict=True)
    )
    for path, sign in (("/endless", "x"), ("/bomb", "y"), ("/long", "z")):
        assert results[path]["body"] == sign * 50_000
        assert results[path]["note"] == "The body is cut after 50,000 characters."
    assert sent < 5_000_000
    assert results["/bombs"]["note"] == "The body is cut after 0 characters."
    assert [results[path]["body"] for path in ("/two", "/raw", "/zlib")] == ["one two", "raw", "zlib"]
    assert "damaged" in results["/damaged"]
    assert "compressed as 'br'" in results["/brotli"]


async def test_slow_answers_end(site: Any, use: Any, answer: Any) -> None:
    """Named limits end a server without a first byte, a dripping server, and a broken answer."""

    async def wait(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)

    async def drip(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\n")
        while True:
            await stream.send_all(b"x")
            with trio.move_on_after(0.05):
                await stream.receive_some(1)

    async def break_off(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx")

    async def chat(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 mail.example ESMTP\r\n")

    site.answers |= {"/wait": answer(speak=wait), "/drip": answer(speak=drip), "/off": answer(speak=break_off)}
    site.answers["/mail"] = answer(speak=chat)

    async def get(path: str, **limits: float) -> str:
        [told] = await use("http", site.settings(retries=0, **limits), ("http_get", {"url": site.url + path}))
        return str(told)

    # Each call has the one limit that ends it: on a busy machine, two short limits are over in any order.
    waited, dripped = await get("/wait", stall=0.3), await get("/drip", timeout=2)
    off, mail = await get("/off"), await get("/mail")
    assert waited.startswith("127.0.0.1 sent nothing for 0.3 s. ")
    assert "did not answer in full within 2 s" in dripped
    assert off.startswith("127.0.0.1 broke off")
    assert mail.startswith("127.0.0.1 broke off, or does not speak HTTP")
    with trio.fail_after(60):
        while site.open:
            await trio.lowlevel.checkpoint()


async def test_failures_that_pass_are_tried_again(site: Any, use: Any, answer: Any) -> None:
    """Statuses and broken connections are tried again, a bounded number of times; a POST is not."""

    async def break_off(stream: trio.SocketStream) -> None:
        await trio.lowlevel.checkpoint()

    now = {"retry-after": "0"}
    site.answers |= {
        "/busy": [answer(status=503, headers=now), answer(status=429, headers=now), answer("ok", headers=PLAIN)],
        "/down": answer("down", 500, {**PLAIN, **now}),
        "/later": answer("later", 429, {"retry-after": "3600"}),
        "/off": [answer(speak=break_off), answer("ok", headers=PLAIN)],
        "/post": answer("busy", 503, {**PLAIN, **now}),
        "/lost": answer(speak=break_off),
    }
    settings = site.settings(approve="none", retries=2)
    calls = [("http_get", {"url": site.url + path}) for path in ("/busy", "/down", "/later", "/off")]
    posts = [("http_post", {"url": site.url + path}) for path in ("/post", "/lost")]
    busy, down, later, off, post, lost = await use("http", settings, *calls, *posts)
    assert busy["body"] == off["body"] == "ok"
    assert (down["status_code"], later["status_code"], post["status_code"]) == (500, 429, 503)
    assert later["headers"]["retry-after"] == "3600"
    assert "broke off" in lost
    asked = [each.target for each in site.asked]
    assert {path: asked.count(path) for path in site.answers} == {
        "/busy": 3,
        "/down": 3,
        "/later": 1,
        "/off": 2,
        "/post": 1,
        "/lost": 1,
    }


async def test_a_wait_does_not_outlive_the_time_of_the_call(site: Any, use: Any, answer: Any) -> None:
    """A wait beyond the time of the call is not granted to a server."""
    site.answers["/"] = answer("busy", 429, {"retry-after": "90", **PLAIN})
    with trio.fail_after(30):
        [result] = await use("http", site.settings(timeout=60), ("http_get", {"url": site.url}))
    assert result["status_code"] == 429


async def test_redirects_are_counted(site: Any, use: Any, answer: Any) -> None:
    """A circle of redirects ends."""
    site.answers["/loop"] = answer(status=302, headers={"location": "/loop"})
    [text] = await use("http", site.settings(redirects=3), ("http_get", {"url": f"{site.url}/loop"}))
    assert "leads to more than 3 other addresses" in text
    assert len(site.asked) == 4


async def test_a_post_is_not_repeated_at_another_server(site: Any, use: Any, answer: Any) -> None:
    """307 keeps method and body at the same server only."""
    site.answers["/here"] = answer(status=307, headers={"location": "/there"})
    site.answers["/there"] = answer("ok", headers=PLAIN)
    site.answers["/away"] = answer(status=308, headers={"location": f"http://localhost:{site.port}/there"})
    settings = site.settings(approve="none", private=["127.0.0.1", "localhost"])
    here, away = await use(
        "http", settings, *(("http_post", {"url": site.url + path, "body": "[1]"}) for path in ("/here", "/away"))
    )
    assert here["body"] == "ok"
    assert "leads a POST to http://localhost" in away
    assert [each.body for each in site.asked if each.target == "/there"] == [b"[1]"]


async def test_credentials_are_sent_where_they_belong(
    site: Any, use: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header with a key goes to its addresses alone, also after redirects, and the model never sees the key."""
    monkeypatch.setenv("SHOP_KEY", "sk-123456789")
    site.answers |= {
        "/shop/a": answer({"authorization": "Bearer sk-123456789"}, headers={"x-echo": "sk-123456789"}),
        "/shop/moved": answer(status=302, headers={"location": f"http://localhost:{site.port}/shop/a"}),
        "/other": answer("ok", headers=PLAIN),
    }
    headers = {f"{site.url}/shop/": {"Authorization": "Bearer ${SHOP_KEY}"}}
    settings = site.settings(private=["127.0.0.1", "localhost"], headers=headers)
    paths = ("/shop/a", "/other", "/shop/moved", "/shop/../other")
    results = await use("http", settings, *(("http_get", {"url": site.url + path}) for path in paths))
    assert results[0]["body"] == '{"authorization":"Bearer ***"}'
    assert results[0]["headers"]["x-echo"] == "***"
    assert "sk-123456789" not in str(results)
    sent = [(each.target, each.headers["host"], each.headers.get("authorization", "")) for each in site.asked]
    assert sent == [
        ("/shop/a", f"127.0.0.1:{site.port}", "Bearer sk-123456789"),
        ("/other", f"127.0.0.1:{site.port}", ""),
        ("/shop/moved", f"127.0.0.1:{site.port}", "Bearer sk-123456789"),
        ("/shop/a", f"localhost:{site.port}", ""),
        ("/other", f"127.0.0.1:{site.port}", ""),
    ]


async def test_a_cancelled_run_closes_its_connection(site: Any, answer: Any) -> None:
    """A run cancelled before the answer or within the answer leaves no connection; the next run works."""
    asked, within = trio.Event(), trio.Event()

    async def wait(stream: trio.SocketStream) -> None:
        asked.set()
        await stream.receive_some(1)

    async def begin(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\nx")
        within.set()
        await stream.receive_some(1)

    site.answers |= {"/wait": answer(speak=wait), "/begin": answer(speak=begin), "/ok": answer("ok", headers=PLAIN)}
    toolkit = make_toolkit("http", site.settings(connections=1))

    def make_agent(path: str) -> Agent:
        return Agent(
            ScriptedModel([ToolCall("1", "http_get", f'{{"url": "{site.url}{path}"}}'), "done"]), tools=[toolkit]
        )

    async with Runtime() as rt:
        for path, event in (("/wait", asked), ("/begin", within)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(rt.run, make_agent(path), "?")
                await event.wait()
                nursery.cancel_scope.cancel()
            with trio.fail_after(60):
                while site.open:
                    await trio.lowlevel.checkpoint()
        result = await rt.run(make_agent("/ok"), "?")
        assert '"body":"ok"' in result.messages[-2].text
        assert site.open == 1  # kept for the next request
    with trio.fail_after(60):
        while site.open:
            await trio.lowlevel.checkpoint()


def test_a_request_cancelled_anywhere_leaves_nothing() -> None:
    """Wherever a request is cancelled, at a redirect, a wait or within a packed body, no connection stays."""
    body = gzip.compress(b"text " * 1_000)
    head = "HTTP/1.1 {}\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n{}\r\n"
    answers = [
        head.format("302 Found", 0, "location: /next\r\n").encode(),
        head.format("503 Busy", 0, "retry-after: 0\r\n").encode(),
        head.format("200 OK", len(body), "").encode(),
    ]

    open_connections = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal open_connections
        open_connections += 1
        try:
            await speak(stream)
        except trio.BrokenResourceError:
            pass
        finally:
            open_connections -= 1

    async def speak(stream: trio.SocketStream) -> None:
        left = list(answers)
        while await stream.receive_some(65_536):
            await stream.send_all(left.pop(0))
            if not left:
                for place in range(0, len(body), 20):
                    await stream.send_all(body[place : place + 20])

    async def ask(point: CancelPoint) -> None:
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, serve, listeners)
            port = listeners[0].socket.getsockname()[1]
            client = WebClient(WebSettings(), Guard(["127.0.0.1"]), certificates=load_certificates(""))
            reply = None
            with point:
                reply = await client.send(Request("GET", f"http://127.0.0.1:{port}/"))
            await client.aclose()
            with trio.fail_after(60):
                while open_connections:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert point.cancelled or reply is not None
        if reply is not None:
            assert (reply.url, reply.text) == (f"http://127.0.0.1:{port}/next", "text " * 1_000)

    cancel_everywhere(ask, at_least=10)


async def test_an_answer_that_is_refused_gives_its_connection_back(site: Any, use: Any, answer: Any) -> None:
    """Answers that are refused by their head, and cut ones, do not use up the connections of a toolkit."""
    site.answers |= {
        "/brotli": answer(b"x" * 100_000, headers={**PLAIN, "content-encoding": "br"}),
        "/long": answer(b"x" * 100_000, headers=PLAIN),
        "/ok": answer("ok", headers=PLAIN),
    }
    paths = ["/brotli", "/long"] * 5 + ["/ok"]
    calls = [("http_get", {"url": site.url + path}) for path in paths]
    results = await use("http", site.settings(connections=1, max_bytes=1_000, timeout=60), *calls)
    assert results[-1]["body"] == "ok"


async def test_a_name_server_that_does_not_answer_is_not_waited_for(use: Any) -> None:
    """The look-up of a name has the limit of a connection."""

    class Silent(Hosts):
        async def getaddrinfo(self, host: bytes | None, port: Any, *_: Any, **__: Any) -> Any:
            """Never answer."""
            await trio.sleep_forever()

    trio.socket.set_custom_hostname_resolver(Silent())
    [text] = await use("http", {"stall": 0.2, "retries": 0}, ("http_get", {"url": "http://shop.test/"}))
    assert text == "shop.test cannot be reached. Check the address, or try again later."


async def test_only_secrets_are_hidden(
    site: Any, use: Any, answer: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A literal key is hidden as well, and a literal type is not; a missing key is told by its name."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("SHOP_KEY", raising=False)
    site.answers["/"] = answer("application/vnd.shop+json sk-123456789 Basic", headers=PLAIN)
    headers = {site.url: {"Accept": "application/vnd.shop+json", "X-Api-Key": "sk-123456789"}}
    [result] = await use("http", site.settings(headers=headers), ("http_get", {"url": site.url}))
    assert result["body"] == "application/vnd.shop+json *** Basic"
    assert site.asked[0].headers["accept"] == "application/vnd.shop+json"
    missing = {site.url: {"authorization": "Basic ${SHOP_KEY}"}}
    [text] = await use("http", site.settings(headers=missing), ("http_get", {"url": site.url}))
    assert "requests to 127.0.0.1 need SHOP_KEY, which is not set" in text
    assert len(site.asked) == 1


async def test_a_missing_file_of_certificates_is_told_at_the_opening(use: Any, tmp_path: Path) -> None:
    """The run fails before the model is asked, with the setting's name."""
    with pytest.raises(UsageError, match="ca_file"):
        await use("http", {"ca_file": str(tmp_path / "none.pem")}, ("http_get", {"url": "https://shop.test/"}))


async def test_many_runs_share_the_connections_of_a_toolkit(site: Any, answer: Any) -> None:
    """Runs at once wait for one another at the limit, and all are answered."""
    site.answers["/"] = answer("ok", headers=PLAIN)
    toolkit = make_toolkit("http", site.settings(connections=3))
    texts: list[str] = []

    async def run(rt: Runtime) -> None:
        call = ToolCall("1", "http_get", f'{{"url": "{site.url}/"}}')
        result = await rt.run(Agent(ScriptedModel([call, "done"]), tools=[toolkit]), "?")
        texts.append(result.messages[-2].text)

    async with Runtime() as rt, trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(run, rt)
    assert len(texts) == 30
    assert all('"body":"ok"' in text for text in texts)
    assert site.connections <= 3


async def test_hosts_are_asked_at_a_pace(site: Any, use: Any, answer: Any) -> None:
    """The interval keeps requests to a host apart."""
    site.answers["/"] = answer("ok", headers=PLAIN)
    start = trio.current_time()
    await use("http", site.settings(interval=0.1), *(("http_get", {"url": site.url}) for _ in range(4)))
    assert trio.current_time() - start >= 0.3


def make_certificate(folder: Path, name: str) -> Path:
    """Write a certificate for a host, with its key in the same file's folder."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not here")
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}")
    named = ("-addext", f"subjectAltName=DNS:{name}", "-keyout", "key.pem", "-out", "cert.pem")
    subprocess.run(["openssl", *made, *named], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"


class Hosts(trio.abc.HostnameResolver):
    """A name server for which every host is this machine."""

    async def getaddrinfo(self, host: bytes | None, port: Any, *_: Any, **__: Any) -> Any:
        """Answer."""
        return [(2, 1, 6, "", (str(ipaddress.ip_address("127.0.0.1")), int(port)))]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        """Refuse: nobody asks."""
        raise NotImplementedError


async def test_certificates_are_for_the_name_of_the_host(
    use: Any, answer: Any, tmp_path: Path, nursery: trio.Nursery
) -> None:
    """TLS checks the name in the address, though the connection goes to the checked address; each host by itself."""
    certificate = make_certificate(tmp_path, "shop.test")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
    names: list[bytes] = []

    async def handle(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            while data := await stream.receive_some(65_536):
                names.append(bytes(next(line for line in data.split(b"\r\n") if line.lower().startswith(b"host:"))))
                await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok")
        except trio.BrokenResourceError:
            pass

    nursery.start_soon(trio.serve_listeners, handle, listeners)
    inner: Any = listeners[0].transport_listener
    port = inner.socket.getsockname()[1]
    trio.socket.set_custom_hostname_resolver(Hosts())
    settings = {"private": ["127.0.0.1"], "ca_file": str(certificate), "retries": 0}
    good, wrong, by_number = await use(
        "http",
        settings,
        *(("http_get", {"url": f"https://{host}:{port}/"}) for host in ("shop.test", "evil.test", "127.0.0.1")),
    )
    assert good["body"] == "ok"
    assert "evil.test has no valid certificate" in wrong
    assert "127.0.0.1 has no valid certificate" in by_number
    assert names == [f"host: shop.test:{port}".encode()]
    [untrusted] = await use("http", settings | {"ca_file": ""}, ("http_get", {"url": f"https://shop.test:{port}/"}))
    assert "shop.test has no valid certificate: self" in untrusted
