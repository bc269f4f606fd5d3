"""Access: the key, and the checks of Host, Origin and fetches, on every route alike."""

from __future__ import annotations

import http.server
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import structlog
import trio
from agno_rt_serve.http.asgi import Receive, Scope, Send
from playwright.sync_api import Browser, expect

from agno_rt import Agent
from agno_rt.testing import ScriptedModel

PATIENCE = 60.0
KEY = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {KEY}"}
Serve = Callable[..., Awaitable[Any]]

ROUTES = [
    ("GET", "/agents"),
    ("POST", "/agents/a/runs"),
    ("POST", "/agents/none/runs"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/a"),
    ("POST", "/v1/chat/completions"),
    ("GET", "/debug/profile?seconds=0"),
    ("GET", "/debug/memory?seconds=0"),
    ("GET", "/benchmarks"),
    ("GET", "/benchmarks/index.html"),
    ("GET", "/hello"),
    ("GET", "/hello/there"),
    ("GET", "/nothing"),
    ("OPTIONS", "/agents"),
]
OPEN = [("GET", "/"), ("GET", "/health")]


@pytest.fixture
async def served(serve_agents: Serve, tmp_path: Path) -> Callable[..., Awaitable[httpx2.AsyncClient]]:
    """A client of a server that has every kind of route: `await served(key=...)`."""
    for name in ("index.html", "graphs.html", "index.json"):
        (tmp_path / name).write_text("{}")

    async def start(**settings: Any) -> httpx2.AsyncClient:
        agent = Agent(ScriptedModel(["Hello."] * 9), "a")
        more = {"profile": True, "benchmarks": str(tmp_path)} | settings
        made = await serve_agents(agent, routes={"hello": lambda runtime: say_hello}, **more)
        return httpx2.AsyncClient(base_url=made.url, timeout=30, verify=False)

    return start


async def say_hello(scope: Scope, receive: Receive, send: Send) -> None:
    """The route of a plugin."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


class TestKey:
    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_is_asked_for_everywhere(self, served: Any, method: str, path: str) -> None:
        """Without the key no route answers, known or not; with the key each answers as ever."""
        async with await served(key=KEY) as http:
            answers = [
                await http.request(method, path, headers=headers)
                for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}, {"Cookie": "a=b; c"})
            ]
            let_in = await http.request(method, path, headers=BEARER)

        assert [code_of(answer)[0] for answer in answers] == [401] * 4
        assert all(answer.headers["www-authenticate"].startswith("Bearer ") for answer in answers)
        assert let_in.status_code != 401

    @pytest.mark.parametrize(("method", "path"), OPEN)
    async def test_is_not_asked_for_what_holds_nothing(self, served: Any, method: str, path: str) -> None:
        """The page and the health check need no key."""
        async with await served(key=KEY) as http:
            assert (await http.request(method, path)).status_code == 200

    @pytest.mark.parametrize(
        "given", ["x", KEY[:-1], f"{KEY}x", KEY.upper(), f"Bearer {KEY}", "é" * 16, f"{KEY}\t{KEY}"]
    )
    async def test_is_the_whole_key(self, served: Any, given: str) -> None:
        """A key that is nearly right is wrong."""
        async with await served(key=KEY) as http:
            answer = await http.get("/agents", headers={"Authorization": f"Bearer {given}".encode()})

        assert answer.status_code == 401

    async def test_official_client(self, serve_agents: Any) -> None:
        """OpenAI's client sends the key as its api_key, and raises its own exception for a wrong key."""
        served = await serve_agents(Agent(ScriptedModel(["Hello."]), "a"), key=KEY)

        def ask(key: str) -> Any:
            with openai.OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0, timeout=30) as client:
                return client.chat.completions.create(model="a", messages=[{"role": "user", "content": "Hi"}])

        assert (await trio.to_thread.run_sync(ask, KEY)).choices[0].message.content == "Hello."
        with pytest.raises(openai.AuthenticationError, match="the key is not this server's"):
            await trio.to_thread.run_sync(ask, "none")

    async def test_wrong_ones_are_logged(self, served: Any) -> None:
        """An attempt with a wrong key is logged with client and path, and without the key."""
        with structlog.testing.capture_logs() as logged:
            async with await served(key=KEY) as http:
                answer = await http.get("/agents", headers={"Authorization": "Bearer guessed-guessed"})
                await http.post("/sign-in", json={"key": "guessed-guessed"})
                await http.get("/agents")

        found = [(line["event"], line["client"], line["path"]) for line in logged]
        assert found == [("wrong key", "127.0.0.1", "/agents"), ("wrong key", "127.0.0.1", "/sign-in")]
        assert logged[0]["request"] == answer.headers["x-request-id"]
        assert "guessed" not in str(logged)

    async def test_pages_of_allowed_origins_need_it_too(self, served: Any) -> None:
        """A browser may ask before it sends the key, and an allowed page may read that the key was wrong."""
        ours = {"Origin": "https://ours.example"}
        asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        async with await served(key=KEY, cors_origins=("https://ours.example",)) as http:
            preflight = await http.options("/agents/a/runs", headers=ours | asks)
            refused = await http.get("/agents", headers=ours)
            let_in = await http.get("/agents", headers=ours | BEARER)

        assert preflight.status_code == 200
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        assert [refused.status_code, let_in.status_code] == [401, 200]
        assert refused.headers["access-control-allow-origin"] == "https://ours.example"


class TestSigningIn:
    async def test_gives_a_cookie(self, served: Any) -> None:
        """The key is exchanged for a cookie that opens all routes, hidden from scripts and other sites."""
        async with await served(key=KEY) as http:
            answer = await http.post("/sign-in", json={"key": KEY})
            cookie = answer.headers["set-cookie"]
            let_in = [(await http.request(method, path)).status_code for method, path in ROUTES]
            await http.delete("/sign-in")
            after = await http.get("/agents")

        assert answer.status_code == 204
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert KEY not in cookie
        assert 401 not in let_in
        assert after.status_code == 401

    async def test_from_a_page_with_tls(self, served: Any) -> None:
        """Behind a proxy with TLS the cookie is never sent without TLS."""
        async with await served(key=KEY) as http:
            headers = {"Host": "ours.example", "Origin": "https://ours.example"}
            answer = await http.post("/sign-in", json={"key": KEY}, headers=headers)

        assert "Secure" in answer.headers["set-cookie"].split("; ")

    @pytest.mark.parametrize(
        ("body", "status"), [({"key": "x"}, 401), ({"key": ""}, 401), ({"key": 5}, 400), ({}, 400), ([], 400)]
    )
    async def test_with_anything_else(self, served: Any, body: Any, status: int) -> None:
        """A wrong or missing key gets no cookie."""
        async with await served(key=KEY) as http:
            answer = await http.post("/sign-in", json=body)

        assert (answer.status_code, "set-cookie" in answer.headers) == (status, False)

    async def test_cookies_are_of_one_key_and_one_day(self, served: Any) -> None:
        """A cookie that is invented, changed, or of another key opens nothing."""
        async with await served(key=KEY) as http:
            cookie = (await http.post("/sign-in", json={"key": KEY})).headers["set-cookie"].partition(";")[0]
        name, _, value = cookie.partition("=")
        until, _, signature = value.partition(".")
        forged = [f"{name}=", f"{name}={until}", f"{name}=.", f"{name}={int(until) + 1}.{signature}", f"x={value}"]
        async with await served(key=KEY) as http:
            answers = [(await http.get("/agents", headers={"Cookie": each})).status_code for each in forged]
            as_it_was = await http.get("/agents", headers={"Cookie": f"a=b; {cookie}"})
        async with await served(key=KEY[::-1]) as http:
            other = await http.get("/agents", headers={"Cookie": cookie})

        assert answers == [401] * len(forged)
        assert (as_it_was.status_code, other.status_code) == (200, 401)

    async def test_without_a_key_there_is_none(self, served: Any) -> None:
        """A server without a key does not have the route to sign in."""
        async with await served() as http:
            assert (await http.post("/sign-in", json={"key": KEY})).status_code == 404


class TestPlaces:
    @pytest.mark.parametrize(("method", "path"), [*ROUTES, *OPEN])
    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({"Host": "evil.example"}, (421, "host_not_allowed")),
            ({"Origin": "https://evil.example"}, (403, "cross_site")),
            ({"Origin": "http://localhost:1"}, (403, "cross_site")),
            ({"Origin": "null"}, (403, "cross_site")),
            ({"Origin": "file://"}, (403, "cross_site")),
            ({"Origin": "http://localhost.evil.example"}, (403, "cross_site")),
            ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, (403, "cross_site")),
            ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, (403, "cross_site")),
        ],
    )
    async def test_pages_elsewhere(
        self, served: Any, method: str, path: str, headers: dict[str, str], expected: tuple[int, str]
    ) -> None:
        """On loopback, without a key, no route answers a page of another site, by any kind of request."""
        async with await served() as http:
            answer = await http.request(method, path, headers=headers)

        assert code_of(answer) == expected

    async def test_own_page_and_programs(self, served: Any) -> None:
        """The page itself, a link to it, and programs that are not browsers are served."""
        async with await served() as http:
            own = {"Origin": str(http.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
            link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
            run = await http.post("/agents/a/runs", json={"input": "x"}, headers=own)
            answers = [run, await http.get("/", headers=link), await http.get("/agents")]

        assert [answer.status_code for answer in answers] == [200] * 3

    @pytest.mark.parametrize(
        ("origin", "host", "status"),
        [
            ("https://ours.example", "ours.example", 200),
            ("https://ours.example", "ours.example:443", 200),
            ("http://ours.example:80", "ours.example", 200),
            ("http://OURS.example:8080", "ours.EXAMPLE:8080", 200),
            ("http://[::1]:7777", "[::1]:7777", 200),
            ("https://ours.example", "ours.example:80", 403),
            ("http://ours.example:8080", "ours.example", 403),
            ("ours.example", "ours.example", 403),
            ("https://", "", 403),
        ],
    )
    async def test_origins(self, make_app: Any, origin: str, host: str, status: int) -> None:
        """An origin is the server's own if scheme, host and port are equal, however they are written."""
        app = await make_app(Agent(ScriptedModel([]), "a"), allowed_hosts=("*",))
        transport: Any = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            answer = await http.get("/agents", headers={"Host": host, "Origin": origin})

        assert answer.status_code == status

    @pytest.mark.parametrize(
        ("host", "settings", "status"),
        [
            ("", {"host": "127.0.0.1"}, 421),
            ("evil.example", {"host": "0.0.0.0"}, 421),
            ("localhost:80", {"host": "0.0.0.0"}, 200),
            ("ours.example", {"host": "0.0.0.0", "allowed_hosts": ("ours.example",)}, 200),
            ("192.0.2.1:7777", {"host": "192.0.2.1"}, 200),
            ("192.0.2.2:7777", {"host": "192.0.2.1"}, 421),
            ("any.example", {"host": "0.0.0.0", "key": KEY}, 200),
            ("evil.example", {"host": "0.0.0.0", "key": KEY, "allowed_hosts": ("ours.example",)}, 421),
        ],
    )
    async def test_hosts(self, make_app: Any, host: str, settings: Any, status: int) -> None:
        """A server without a key answers to its address and its allowed names; a server with a key to any name."""
        app = await make_app(Agent(ScriptedModel([]), "a"), **settings)
        transport: Any = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            answer = await http.get("/openapi.json", headers={"Host": host})

        assert answer.status_code == status

    async def test_probes_under_any_name(self, make_app: Any) -> None:
        """Probes of a load balancer or of Kubernetes, which ask for an address, are answered under any name."""
        app = await make_app(Agent(ScriptedModel([]), "a"), host="0.0.0.0", key=KEY, allowed_hosts=("ours.example",))
        transport: Any = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://10.0.0.5:7777") as http:
            found = [(await http.get(path)).status_code for path in ("/health", "/health/live", "/health/ready")]
            foreign = await http.get("/health/ready", headers={"Origin": "https://evil.example"})

        assert (found, foreign.status_code) == ([200, 200, 200], 403)

    async def test_web_sockets(self, make_app: Any) -> None:
        """Neither a page elsewhere nor a client without the key can open a web socket."""
        app = await make_app(Agent(ScriptedModel([]), "a"), key=KEY)
        for headers in ([(b"origin", b"https://evil.example")], [(b"host", b"localhost")]):
            sent: list[Any] = []
            scope = {"type": "websocket", "path": "/hello", "headers": headers}

            async def send(message: Any, sent: list[Any] = sent) -> None:
                sent.append(message)

            await app(scope, _receive_nothing, send)
            assert sent == [{"type": "websocket.close", "code": 1008}]


async def _receive_nothing() -> Any:
    raise AssertionError("nothing is to be received")


class TestRequestIds:
    @pytest.mark.parametrize("given", ["r-1", "", "a b", "x" * 129, "\x1b[31m", "é", 'a"b'])
    async def test_each_answer_has_its_own(self, served: Any, given: str) -> None:
        """Each answer has a new id: a client's word about it does not count (tests of proxies have whose does)."""
        async with await served(key=KEY) as http:
            headers = {"X-Request-Id": given.encode()}
            answers = [await http.get(path, headers=headers) for path in ("/health", "/health", "/nothing")]
        ids = [answer.headers["x-request-id"] for answer in answers if answer.status_code != 400]

        assert len(set(ids)) == len(ids)
        assert given not in ids

    async def test_of_what_is_not_a_request(self, serve: Any) -> None:
        """An answer to bytes that are not HTTP has an id too."""
        served = await serve(say_hello)
        async with await served.dial() as wire:
            await wire.send(b"nonsense\r\n\r\n")
            answer = await wire.answer()

        assert (answer.status, bool(answer.headers["x-request-id"])) == (400, True)


AGENTS = """
import os
from agno_rt import Agent, ModelResponse

class Model:
    name = "test"

    async def respond(self, request, emit=None):
        print("asked", flush=True)
        return ModelResponse(f"key: {os.environ.get('AGNO_RT_SERVE_KEY')}")

a = Agent(Model(), "a")
"""


@pytest.fixture
def fails(launch: Any) -> Callable[..., tuple[int, str]]:
    """Start a server that cannot start. Return the exit code and the output."""

    def run(*arguments: str, **options: str) -> tuple[int, str]:
        process = launch(AGENTS, *arguments, **options)
        _, said = process.communicate(timeout=PATIENCE)
        return process.returncode, said

    return run


@pytest.fixture
def serving(launch: Any, address: Any) -> Callable[..., tuple[str, str, subprocess.Popen[str]]]:
    """Start a server. Return the URL, the suggested command, and the process."""

    def begin(*arguments: str, **options: str) -> tuple[str, str, subprocess.Popen[str]]:
        process = launch(AGENTS, *arguments, **options)
        url = address(process)
        return url, process.stdout.readline().removeprefix("Try: ").strip(), process

    return begin


def suggested(command: str, cwd: Path) -> str:
    """Return the answer to the command that the server suggests."""
    environ = os.environ | {"AGNO_RT_SERVE_KEY": KEY}
    done = subprocess.run(
        command, shell=True, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=True, env=environ
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return str(answer.get("content", answer.get("error")))


class TestStarting:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_beyond_loopback_without_a_key(self, fails: Any, host: str, workers: str) -> None:
        """A server that others could reach does not start without a key, and says how to make one."""
        code, said = fails("--host", host, "--workers", workers)

        assert code == 2
        assert all(part in said for part in ("no key", "AGNO_RT_SERVE_KEY", "--key-file", "--no-auth"))

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_with_a_key_in_the_environment(self, serving: Any, tmp_path: Path, workers: str) -> None:
        """A server with the key in the environment shows it nowhere, and passes it on to no program."""
        url, command, process = serving("--host", "0.0.0.0", "--workers", workers, key=KEY)

        assert httpx2.get(f"{url}/agents", timeout=PATIENCE).status_code == 401
        assert KEY not in command
        assert suggested(command, tmp_path) == "key: None"
        process.terminate()
        assert KEY not in "".join(process.communicate(timeout=PATIENCE))

    def test_with_a_key_file(self, serving: Any, tmp_path: Path) -> None:
        """A missing key file is made, readable only by the owner; an existing file stays."""
        url, command, _ = serving("--host", "0.0.0.0", "--key-file", "the key")
        made = tmp_path / "the key"
        key = made.read_text().strip()

        assert stat.S_IMODE(made.stat().st_mode) == 0o600
        assert len(key) >= 32
        assert suggested(command, tmp_path) == "key: None"
        assert httpx2.get(f"{url}/agents", headers={"Authorization": "Bearer x"}, timeout=PATIENCE).status_code == 401
        serving("--key-file", "the key")
        assert made.read_text().strip() == key

    def test_with_a_file_of_keys(self, serving: Any, tmp_path: Path) -> None:
        """With keys of `agno-rt serve keys` the server may be reached from elsewhere, and asks for one."""
        command = [sys.executable, "-m", "agno_rt.cli", "serve", "keys", "add", "ci"]
        added = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=True)
        url, suggestion, process = serving("--host", "0.0.0.0", "--workers", "2")
        headers = {"Authorization": f"Bearer {added.stdout.strip()}"}
        answers = [httpx2.get(f"{url}/agents", headers=each, timeout=PATIENCE) for each in ({}, headers)]

        assert [answer.status_code for answer in answers] == [401, 200]
        assert "Bearer KEY" in suggestion
        process.terminate()
        assert added.stdout.strip() not in "".join(process.communicate(timeout=PATIENCE))

    def test_with_a_key_in_the_settings(self, serving: Any, tmp_path: Path) -> None:
        """A key in agno-rt.toml is accepted only if nobody but the owner can read the file."""
        (tmp_path / "agno-rt.toml").touch(0o600)
        url, _, _ = serving(settings=f'key = "{KEY}"')

        assert httpx2.get(f"{url}/agents", headers=BEARER, timeout=PATIENCE).status_code == 200

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o606])
    @pytest.mark.parametrize("place", ["key", "agno-rt.toml"])
    def test_with_a_file_that_others_can_read(self, fails: Any, tmp_path: Path, place: str, mode: int) -> None:
        """A key file that others can read is refused."""
        (tmp_path / place).write_text(KEY)
        (tmp_path / place).chmod(mode)
        by_file = place == "key"
        settings = "" if by_file else f'key = "{KEY}"'
        code, said = fails(*(("--key-file", "key") if by_file else ()), settings=settings)

        assert code == 2
        assert "chmod 600 " in said
        assert KEY not in said

    @pytest.mark.parametrize("key", ["short", "sixteen letters and", "ключ" * 8])
    def test_with_a_weak_key(self, fails: Any, key: str) -> None:
        """A key that is short, or not fit for a header, is refused, and is not shown."""
        code, said = fails(key=key)

        assert code == 2
        assert "token_urlsafe" in said
        assert key not in said

    def test_without_one_on_purpose(self, serving: Any) -> None:
        """With --no-auth the server warns, and answers only to its allowed names."""
        url, _, process = serving("--host", "0.0.0.0", "--no-auth", "--allow-host", "ours.example")
        found = [
            httpx2.get(f"{url}/agents", headers={"Host": host}, timeout=PATIENCE).status_code
            for host in ("ours.example", "localhost:1", "evil.example")
        ]
        process.terminate()

        assert found == [200, 200, 421]
        assert "there is no key" in process.communicate(timeout=PATIENCE)[1]


def test_the_page(browser: Browser, serving: Any, tmp_path: Path) -> None:
    """The page asks for the key once, says when the key is wrong, and signs out."""
    url, _, _ = serving("--host", "0.0.0.0", key=KEY)
    context = browser.new_context(viewport={"width": 1100, "height": 760})
    page = context.new_page()
    page.goto(url)
    folder = Path(os.environ.get("AGNO_RT_SCREENSHOTS", tmp_path))
    page.get_by_label("Key").fill("wrong-wrong-wrong")
    page.get_by_label("Key").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The key is not this server's")
    page.screenshot(path=folder / "serve-sign-in.png")
    page.get_by_label("Key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Message").fill("Hi")
    page.get_by_label("Message").press("Enter")
    expect(page.locator(".said")).to_have_text("key: None")
    page.screenshot(path=folder / "serve-signed-in.png")
    page.reload()
    expect(page.locator(".said")).to_have_text("key: None")
    kept = page.evaluate("JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie")
    assert KEY not in kept

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Key")).to_be_focused()
    assert page.locator(".said").count() == 0
    context.close()


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A page on another port of this machine, to which browsers send the same cookies."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


TRIES = """async (url) => {
  const run = {method: "POST", credentials: "include", body: '{"input": "x"}'};
  const json = {...run, headers: {"Content-Type": "application/json"}};
  const form = document.createElement("form");
  Object.assign(form, {method: "POST", action: url + "/agents/a/runs", target: "_blank"});
  document.body.append(form);
  form.submit();
  return Promise.all([
    fetch(url + "/agents", {credentials: "include"}), fetch(url + "/agents/a/runs", json),
  ].map((one) => one.then(() => "read", () => "refused")).concat(
    fetch(url + "/agents/a/runs", {...run, mode: "no-cors"}).then((answer) => answer.type),
  ));
}"""


@pytest.mark.parametrize("key", ["", KEY])
def test_a_page_elsewhere(browser: Browser, serving: Any, elsewhere: str, key: str) -> None:
    """A page of another origin, in a browser that is signed in, reads nothing and runs nothing."""
    url, _, process = serving(key=key)
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    if key:
        page.get_by_label("Key").fill(key)
        page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Message")).to_be_visible()
    other = context.new_page()
    other.goto(elsewhere)

    assert other.evaluate(TRIES, url) == ["refused", "refused", "opaque"]
    context.close()
    process.terminate()
    assert "asked" not in process.communicate(timeout=PATIENCE)[0]
