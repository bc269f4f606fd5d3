"""API keys: made and revoked by the command, checked by a running server, limited by rate and by cost."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
import trio
from agno_rt_serve.auth.key_store import KeyStore, Rights
from agno_rt_serve.auth.rates import Limiter, Rate, Spend, parse_rate, parse_spend
from agno_rt_serve.auth.scopes import USUAL
from agno_rt_serve.auth.shared_rates import SharedLimiter
from agno_rt_serve.keys_command import keys
from click.testing import CliRunner, Result
from websockets.sync.client import connect

from agno_rt import Agent, ModelResponse, ToolCall, Usage, tool
from agno_rt.errors import AgnoError, ConfigError, NotFound, UsageError
from agno_rt.testing import ScriptedModel

Serve = Callable[..., Awaitable[Any]]
Client = Callable[..., httpx2.AsyncClient]


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys.json")


@pytest.fixture
def add(store: KeyStore) -> Callable[..., str]:
    """Add a key: `add("ann", "agents:a:run", rate="2/m")`. Return the key's text."""

    def make(name: str, *scopes: str, user: str | None = None, **limits: Any) -> str:
        return store.add(name, Rights(scopes, **limits), now=time.time(), user=user)[0]

    return make


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code") or answer.json()["error"]["code"]


class TestStore:
    def test_has_hashes_alone(self, store: KeyStore) -> None:
        """The file has no part of a key beyond the beginning, and is private."""
        text, key = store.add("ci", Rights(("agents:a:run",), 5.0, "60/m", "5/day"), now=1.0, user="ann")
        written = store.path.read_text()

        assert re.fullmatch(r"agno_[a-z2-9]{8}_[A-Za-z0-9_-]{43}", text)
        assert text.startswith(f"{key.prefix}_")
        assert text.removeprefix(f"{key.prefix}_") not in written
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
        assert store.load() == [key]
        assert (key.name, key.user, key.scopes) == ("ci", "ann", ("agents:a:run",))
        assert (key.created, key.expires, key.rate, key.spend) == (1.0, 5.0, "60/m", "5/day")

    def test_defaults(self, store: KeyStore) -> None:
        """A key has the name as the user, and the usual scopes: keys do not share data by oversight."""
        _, key = store.add("ci", Rights(), now=1.0)

        assert (key.user, key.scopes, key.expires) == ("ci", USUAL, None)

    @pytest.mark.parametrize(
        ("name", "rights"),
        [
            ("", Rights()),
            ("a b", Rights()),
            ("a\n", Rights()),
            ("x" * 201, Rights()),
            ("used", Rights()),
            ("a", Rights(("agents:a:walk",))),
            ("a", Rights(rate="60")),
            ("a", Rights(spend="5")),
        ],
    )
    def test_wrong_keys(self, store: KeyStore, name: str, rights: Rights) -> None:
        """A wrong name, scope or limit is refused, and changes nothing."""
        store.add("used", Rights(), now=1.0)
        before = store.path.read_bytes()
        with pytest.raises(UsageError):
            store.add(name, rights, now=1.0)

        assert store.path.read_bytes() == before

    def test_revoke(self, store: KeyStore) -> None:
        """A key is revoked by name or by beginning."""
        for name in ("one", "two", "three"):
            store.add(name, Rights(), now=1.0)
        store.revoke("one")
        store.revoke(store.load()[0].prefix)

        assert [key.name for key in store.load()] == ["three"]
        with pytest.raises(NotFound, match="unknown key 'one'"):
            store.revoke("one")

    def test_changes_at_once(self, store: KeyStore) -> None:
        """Changes made at the same time are all kept."""
        started = threading.Barrier(8)

        def add(number: int) -> None:
            started.wait()
            KeyStore(store.path).add(f"k{number}", Rights(), now=1.0)

        threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(key.name for key in store.load()) == [f"k{number}" for number in range(8)]

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": [{}]}', '{"keys": 1}', "\xff"])
    def test_damaged_files(self, store: KeyStore, content: str) -> None:
        """A damaged file is an error with the file's name, and never taken for an empty file."""
        store.path.write_text(content, encoding="latin-1")
        store.path.chmod(0o600)
        with pytest.raises(ConfigError, match=re.escape(str(store.path))):
            store.load()
        with pytest.raises(ConfigError):
            store.add("a", Rights(), now=1.0)

        assert store.path.read_text(encoding="latin-1") == content

    @pytest.mark.parametrize("mode", [0o644, 0o620, 0o604])
    def test_open_files(self, store: KeyStore, mode: int) -> None:
        """A file open to other users is refused."""
        store.add("a", Rights(), now=1.0)
        store.path.chmod(mode)
        with pytest.raises(ConfigError, match="others can read"):
            store.load()


class TestLimits:
    @pytest.mark.parametrize(
        ("text", "rate"),
        [("60/m", Rate(60, 60)), ("5/10s", Rate(5, 10)), ("1/hour", Rate(1, 3600)), ("9/2d", Rate(9, 172_800))],
    )
    def test_rates(self, text: str, rate: Rate) -> None:
        """A rate is a number of requests in a time."""
        assert parse_rate(text, "here") == rate

    @pytest.mark.parametrize("text", ["60", "0/m", "-1/m", "1/0s", "1/y", "a/m", "1 / m", "1.5/m"])
    def test_wrong_rates(self, text: str) -> None:
        """Any other text is refused, with the place."""
        with pytest.raises(UsageError, match="here"):
            parse_rate(text, "here")

    def test_no_limits(self) -> None:
        """An empty text stands for no limit."""
        assert (parse_rate("", "here"), parse_spend("", "here")) == (None, None)

    @pytest.mark.parametrize("text", ["5", "0/day", "-1/day", "1/fortnight", "inf/day", "nan/day"])
    def test_wrong_amounts(self, text: str) -> None:
        """An amount is a number above 0 for a time."""
        assert parse_spend("0.50/hour", "here") == Spend(0.5, 3600)
        with pytest.raises(UsageError, match="here"):
            parse_spend(text, "here")

    def test_buckets(self) -> None:
        """A bucket gives all tokens at once, then single tokens as the bucket fills up. Names do not share."""
        limiter = Limiter(Rate(2, 10))

        assert [limiter.take("a", 0.0) for _ in range(3)] == [0, 0, 5]
        assert limiter.take("a", 4.0) == pytest.approx(1)
        assert limiter.take("b", 4.0) == 0
        assert limiter.take("a", 5.0) == 0
        assert limiter.take("a", 5.0) == pytest.approx(5)
        assert [limiter.take("a", 1000.0) for _ in range(3)] == [0, 0, 5]

    def test_buckets_are_bounded(self) -> None:
        """In a crowd, names long unused are forgotten, and not busy names."""
        limiter = Limiter(Rate(1, 3600), most=10)
        for number in range(100):
            limiter.take("busy", float(number))
            limiter.take(f"n{number}", float(number))

        assert len(limiter) == 10
        assert limiter.take("busy", 100.0) > 0

    def test_buckets_of_several_workers(self, tmp_path: Path) -> None:
        """Limiters on one file count together, by kind, rate and name; a reopened file goes on."""
        place = tmp_path / "rates"
        one, other = (SharedLimiter(Rate(3, 30), place, "key") for _ in range(2))

        assert [each.take("a", 100.0) for each in (one, other, one, other)] == [0, 0, 0, 10]
        assert SharedLimiter(Rate(3, 30), place, "key").take("a", 104.0) == pytest.approx(6)
        assert other.take("b", 104.0) == 0
        assert SharedLimiter(Rate(3, 30), place, "user").take("a", 104.0) == 0
        assert SharedLimiter(Rate(4, 30), place, "key").take("a", 104.0) == 0
        assert one.take("a", 110.0) == 0

    def test_a_crowd_on_one_file(self, tmp_path: Path) -> None:
        """Names in use stay in a table that is too small for all names."""
        limiter = SharedLimiter(Rate(1, 1e6), tmp_path / "rates", "address")
        assert limiter.take("busy", 1.0) == 0
        for number in range(1, 40_000):
            limiter.take(f"n{number}", float(number))
            if number % 1_000 == 0:
                assert limiter.take("busy", float(number)) > 0

    def test_a_worker_that_stopped_in_between(self, tmp_path: Path) -> None:
        """A row that stays locked holds nobody up: this process counts alone until the lock is gone."""
        place = tmp_path / "rates"
        limiter = SharedLimiter(Rate(1, 1000), place, "key")
        assert limiter.take("a", 100.0) == 0
        holder = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True)"
        command = [sys.executable, "-c", f"{holder}; input()", str(place)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert [limiter.take("a", 100.0) for _ in range(2)] == [0, 1000]
            process.communicate(b"\n")
        assert limiter.take("a", 100.0) == 1000

    def test_windows(self) -> None:
        """A window of spending ends at a whole multiple since the epoch."""
        day = Spend(1.0, 86_400)

        assert (day.window(86_399.0), day.window(86_400.0)) == (0, 1)
        assert day.wait(86_000.0) == 400


@pytest.fixture
async def served(serve_agents: Serve, store: KeyStore) -> Callable[..., Awaitable[httpx2.AsyncClient]]:
    """Serve the agents `a` and `b` with the file of keys. Return a client."""

    async def start(**options: Any) -> httpx2.AsyncClient:
        agents = [Agent(ScriptedModel(lambda request: "Hello."), name) for name in ("a", "b")]
        made = await serve_agents(*agents, **{"keys_file": str(store.path)} | options)
        return httpx2.AsyncClient(base_url=made.url, timeout=30)

    return start


RUN = {"input": "Hi"}


class TestServer:
    async def test_scopes(self, served: Any, add: Any) -> None:
        """A key runs the agents of the scopes; any other request is a 403 with the name of the missing scope."""
        key = bearer(add("ci", "agents:a:run"))
        async with await served() as http:
            let_in = await http.post("/agents/a/runs", json=RUN, headers=key)
            refused = [
                await http.post("/agents/b/runs", json=RUN, headers=key),
                await http.get("/sessions", headers=key),
                await http.delete("/sessions/s", headers=key),
                await http.get("/metrics", headers=key),
                await http.get("/anything", headers=key),
            ]

        assert let_in.json()["content"] == "Hello."
        assert [code_of(answer) for answer in refused] == [(403, "scope_missing")] * 5
        assert "agents:b:run" in refused[0].text

    async def test_openai_routes_check_scopes_too(self, served: Any, add: Any) -> None:
        """An agent under `/v1` needs the same scope as elsewhere."""
        key = bearer(add("ci", "agents:a:run"))
        chat = {"messages": [{"role": "user", "content": "Hi"}]}
        async with await served() as http:
            answers = [
                await http.post("/v1/chat/completions", json=chat | {"model": name}, headers=key) for name in "ab"
            ]
            shown = [await http.get(f"/v1/models/{name}", headers=key) for name in "ab"]
            listed = await http.get("/v1/models", headers=key)

        assert [answer.status_code for answer in answers] == [200, 403]
        assert [answer.status_code for answer in shown] == [200, 404]
        assert [model["id"] for model in listed.json()["data"]] == ["a"]

    async def test_changes_without_a_restart(self, served: Any, add: Any, store: KeyStore, until: Any) -> None:
        """While the server runs, a new key opens, and a revoked key is refused, cookies included."""
        first = add("first")
        async with await served() as http:
            await http.post("/sign-in", json={"key": first})
            cookie = dict(http.cookies)
            http.cookies.clear()
            second = add("second")

            async def opens(headers: dict[str, str]) -> bool:
                return bool((await http.get("/agents", headers=headers)).status_code == 200)

            async def wait(headers: dict[str, str], expected: bool) -> None:
                with trio.fail_after(30):
                    while await opens(headers) is not expected:  # noqa: ASYNC110 - the file has no event
                        await trio.sleep(0.05)

            await wait(bearer(second), True)
            by_cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookie.items())}
            assert await opens(by_cookie)
            store.revoke("first")
            await wait(bearer(first), False)
            assert not await opens(by_cookie)
            assert await opens(bearer(second))
            store.revoke("second")
            await wait(bearer(second), False)
            # Without any key left the server is closed, not open.
            assert code_of(await http.get("/agents")) == (401, "key_missing")

    async def test_a_file_damaged_meanwhile(self, served: Any, add: Any, store: KeyStore) -> None:
        """An unreadable file leaves the keys unchanged, and is logged."""
        key = add("ci")
        with structlog.testing.capture_logs() as logged:
            async with await served() as http:
                store.path.chmod(0o644)
                store.path.write_text("{")
                with trio.fail_after(30):
                    while not logged:
                        assert (await http.get("/agents", headers=bearer(key))).status_code == 200
                        await trio.sleep(0.05)

        assert logged[0]["event"] == "the keys are not read anew"

    async def test_wrong_keys(self, served: Any, add: Any) -> None:
        """A key with a wrong secret, of another id, or expired is a 401, all with the same words."""
        key, old = add("ci"), add("old", expires=time.time() - 1)
        other = f"agno_{'a' * 8}{key[13:]}"
        given = [f"{key[:-1]}{'A' if key[-1] != 'A' else 'B'}", other, key[:-1], f"{key}x", old, key[:13]]
        async with await served() as http:
            answers = [await http.get("/agents", headers=bearer(each)) for each in given]

        assert [code_of(answer) for answer in answers] == [(401, "key_wrong")] * len(given)
        assert len({answer.text for answer in answers}) == 1

    async def test_beside_the_one_key(self, served: Any, add: Any) -> None:
        """The key for all clients opens everything, beside keys of the file."""
        shared = "correct-horse-battery-staple"
        async with await served(key=shared) as http:
            answers = [await http.get("/sessions", headers=bearer(each)) for each in (shared, add("ci"))]

        assert [answer.status_code for answer in answers] == [200, 200]

    async def test_signing_in(self, served: Any, add: Any) -> None:
        """A browser with a key of the file has the key's rights, and signs out again."""
        async with await served() as http:
            answer = await http.post("/sign-in", json={"key": add("ci", "agents:a:run")})
            ran = await http.post("/agents/a/runs", json=RUN)
            refused = await http.post("/agents/b/runs", json=RUN)
            await http.delete("/sign-in")
            after = await http.post("/agents/a/runs", json=RUN)

        assert {"HttpOnly", "SameSite=Strict"} <= set(answer.headers["set-cookie"].split("; "))
        assert [ran.status_code, refused.status_code, after.status_code] == [200, 403, 401]

    async def test_cookies_end_with_their_key(self, served: Any, add: Any) -> None:
        """A cookie ends with the key."""
        async with await served() as http:
            answer = await http.post("/sign-in", json={"key": add("ci", expires=time.time() + 100)})

        age = re.search(r"Max-Age=(\d+)", answer.headers["set-cookie"])
        assert age is not None
        assert 0 < int(age[1]) <= 100

    async def test_rates(self, served: Any, add: Any) -> None:
        """Beyond the rate, requests are a 429 with the time to wait; other keys are not held up."""
        key, other = bearer(add("ci", rate="2/h")), bearer(add("other"))
        async with await served() as http:
            answers = [await http.get("/agents", headers=key) for _ in range(3)]
            others = await http.get("/agents", headers=other)

        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert code_of(answers[2])[1] == "rate_limited"
        assert 1700 < int(answers[2].headers["retry-after"]) <= 1800
        assert others.status_code == 200

    async def test_rates_of_users(self, served: Any, add: Any) -> None:
        """Two keys of a user share the user's rate."""
        headers = [bearer(add(name, user="ann")) for name in ("one", "two")] + [bearer(add("bob"))]
        async with await served(rate_user="1/h") as http:
            answers = [await http.get("/agents", headers=each) for each in headers]

        assert [answer.status_code for answer in answers] == [200, 429, 200]

    async def test_rates_of_addresses(self, served: Any, add: Any) -> None:
        """Wrong keys and sign-ins count for the address, too."""
        async with await served(rate_address="3/h") as http:
            answers = [
                await http.get("/agents", headers=bearer("guess-guess-guess")),
                await http.post("/sign-in", json={"key": "guess"}),
                await http.get("/agents"),
                await http.post("/sign-in", json={"key": add("ci")}),
            ]
            health = await http.get("/health")

        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert health.status_code == 200

    async def test_spending(self, serve_agents: Serve, store: KeyStore, add: Any) -> None:
        """With a spent amount, runs are a 429 until the next window, also after a restart; other keys go on."""

        def answer(request: Any) -> ModelResponse:
            return ModelResponse("Hello.", usage=Usage(cost=0.4))

        rich, poor = bearer(add("rich", spend="9/month")), bearer(add("poor", spend="0.5/month"))
        asks: dict[str, Any] = {"json": RUN, "headers": poor}
        stream: dict[str, Any] = {"json": RUN, "headers": {**poor, "Accept": "text/event-stream"}}
        statuses: list[int] = []
        for requests in ([asks, stream], [asks]):
            made = await serve_agents(Agent(ScriptedModel(answer), "a"), keys_file=str(store.path))
            async with httpx2.AsyncClient(base_url=made.url, timeout=30) as http:
                for request in requests:
                    last = await http.post("/agents/a/runs", **request)
                    statuses.append(last.status_code)
                others = await http.post("/agents/a/runs", json=RUN, headers=rich)

        assert statuses == [200, 200, 429]
        assert (code_of(last)[1], others.status_code) == ("spend_exceeded", 200)
        assert int(last.headers["retry-after"]) > 0

    async def test_spending_of_clients_that_hang_up(self, serve_agents: Serve, store: KeyStore, add: Any) -> None:
        """The cost of a run counts as well if the client is gone before the end."""
        called, asks = trio.Event(), [0]

        @tool
        async def hang() -> str:
            """Wait for ever."""
            called.set()
            await trio.sleep_forever()
            return ""

        def answer(request: Any) -> ModelResponse:
            asks[0] += 1
            return ModelResponse(tool_calls=[ToolCall("1", "hang", "{}")], usage=Usage(cost=1.0))

        headers = bearer(add("ci", spend="0.5/month"))
        made = await serve_agents(Agent(ScriptedModel(answer), "a", tools=[hang]), keys_file=str(store.path))
        async with httpx2.AsyncClient(base_url=made.url, timeout=30) as http:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: http.post("/agents/a/runs", json=RUN, headers=headers))
                await called.wait()
                nursery.cancel_scope.cancel()
            with trio.fail_after(30):
                while made.server.busy:  # noqa: ASYNC110 - there is no event
                    await trio.sleep(0.01)
            refused = await http.post("/agents/a/runs", json=RUN, headers=headers)

        assert (code_of(refused), asks) == ((429, "spend_exceeded"), [1])


class TestLongConnections:
    """A WebSocket stays open: each of its runs is a request of its own."""

    @pytest.fixture
    def talk(self, serve_agents: Serve, store: KeyStore) -> Callable[..., Awaitable[list[Any]]]:
        """Ask over a WebSocket with the key: `await talk(key, asks=2, between=...)`. Return the last messages."""

        async def begin(key: str, asks: int, between: Callable[[], None] = lambda: None) -> list[Any]:
            made = await serve_agents(Agent(ScriptedModel(lambda request: "Hello."), "a"), keys_file=str(store.path))

            def converse() -> list[Any]:
                ends = []
                with connect(f"ws://127.0.0.1:{made.port}/agents/a/runs", additional_headers=bearer(key)) as wire:
                    for number in range(asks):
                        wire.send(json.dumps(RUN))
                        while (last := json.loads(wire.recv(timeout=30)))["type"] not in ("run_ended", "error"):
                            pass
                        ends.append(last)
                        if not number:
                            between()
                return ends

            with trio.fail_after(60):
                return await trio.to_thread.run_sync(converse)

        return begin

    async def test_rates(self, talk: Any, add: Any) -> None:
        """The handshake and each run count. Runs beyond the rate are refused, and the connection stays open."""
        ends = await talk(add("ci", rate="3/h"), 4)

        assert [end["type"] for end in ends] == ["run_ended", "run_ended", "error", "error"]
        assert (ends[2]["status"], ends[2]["error"]["code"]) == (429, "rate_limited")

    async def test_revoked_keys(self, talk: Any, add: Any, store: KeyStore) -> None:
        """A key that is revoked meanwhile runs nothing more."""

        def revoke() -> None:
            store.revoke("ci")
            time.sleep(1.1)  # the server looks at the file once a second

        ends = await talk(add("ci"), 2, revoke)

        assert [end["type"] for end in ends] == ["run_ended", "error"]
        assert (ends[1]["status"], ends[1]["error"]["code"]) == (401, "key_wrong")


class TestAnonymous:
    async def test_declared_agents(self, served: Any, store: KeyStore) -> None:
        """Callers without a key may run the agents of the settings, and nothing else."""
        from agno_rt_serve.auth.settings import AnonymousSettings

        store.add("ci", Rights(), now=1.0)
        async with await served(anonymous=AnonymousSettings(("a",), rate="20/h")) as http:
            ran = await http.post("/agents/a/runs", json=RUN)
            refused = [
                await http.post("/agents/b/runs", json=RUN),
                await http.post("/agents/a/runs", json=RUN | {"session": "s"}),
                await http.post("/agents/a/runs", json=RUN | {"user": "ann"}),
                *[await http.get(path) for path in ("/runs", "/approvals", "/sessions", "/facts", "/debug/profile")],
                await http.post(f"/runs/{ran.json()['run_id']}/cancel", json={}),
            ]
            wrong = await http.get("/agents", headers=bearer("x"))
            listed = await http.get("/agents")

        assert ran.json()["content"] == "Hello."
        assert [answer.status_code for answer in refused] == [403] * len(refused)
        assert wrong.status_code == 401
        assert [agent["name"] for agent in listed.json()["agents"]] == ["a"]

    async def test_quotas(self, serve_agents: Serve) -> None:
        """Anonymous callers have a rate for each address, and share an amount of money."""
        from agno_rt_serve.auth.settings import AnonymousSettings

        agent = Agent(ScriptedModel(lambda request: ModelResponse("Hello.", usage=Usage(cost=1.0))), "a")
        for settings, code in (
            (AnonymousSettings(("a",), rate="1/h"), "rate_limited"),
            (AnonymousSettings(("a",), spend="0.5/month"), "spend_exceeded"),
        ):
            made = await serve_agents(agent, anonymous=settings)
            async with httpx2.AsyncClient(base_url=made.url, timeout=30) as http:
                first, second = [await http.post("/agents/a/runs", json=RUN) for _ in range(2)]
            assert first.status_code == 200
            assert code_of(second) == (429, code)


class TestAudit:
    async def test_lines(self, served: Any, add: Any, tmp_path: Path) -> None:
        """The audit log has the deeds of callers, is private, and never has a key or a text of a run."""
        key = add("ci", "agents:a:*", user="ann")
        path = tmp_path / "audit.jsonl"
        with structlog.testing.capture_logs() as logged:
            async with await served(audit_log=str(path)) as http:
                ran = await http.post("/agents/a/runs", json={"input": "MARKER"}, headers=bearer(key))
                await http.post("/agents/b/runs", json=RUN, headers=bearer(key))
                await http.get("/agents", headers=bearer("guess-guess-guess"))
        lines = [json.loads(line) for line in path.read_text().splitlines()]

        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [line["event"] for line in lines] == ["run_admitted", "run_ended", "refused", "refused"]
        assert [line.get("user") for line in lines] == ["ann", "ann", "ann", None]
        assert lines[0]["caller"] == f"key:{key[5:13]}"
        assert (lines[1]["run"], lines[1]["status"]) == (ran.json()["run_id"], "completed")
        assert [line.get("code") for line in lines[2:]] == ["scope_missing", "key_wrong"]
        for secret in (key, key[14:], "guess-guess", "MARKER"):
            assert secret not in path.read_text() + str(logged)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `agno-rt serve keys` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(keys, arguments, catch_exceptions=True)

    return invoke


class TestCommand:
    def test_add_list_revoke(self, run: Any, tmp_path: Path) -> None:
        """The key comes alone on standard output, the list has the key's beginning, and revoking removes the key."""
        added = run("add", "ci", "--user", "ann", "--scope", "agents:a:run", "--expires", "30d", "--rate", "60/m")
        key = added.stdout.strip()
        listed, as_json = run("list"), run("list", "--json")
        shown = json.loads(as_json.stdout)

        assert key.startswith("agno_")
        assert all(part in listed.stdout for part in ("ci", key[:13], "ann", "agents:a:run", "60/m"))
        assert key not in listed.stdout + as_json.stdout
        assert (shown["name"], shown["prefix"], shown["expired"]) == ("ci", key[:13], False)
        assert shown["expires"] - shown["created"] == pytest.approx(30 * 86_400)
        assert run("revoke", key[:13]).exit_code == 0
        assert "There are no keys" in run("list").output
        assert (tmp_path / "serve-keys.json").exists()

    def test_place(self, run: Any, tmp_path: Path) -> None:
        """The project's setting names the file, an option another file; the audit log notes the changes."""
        (tmp_path / "agno-rt.toml").write_text('[plugins.serve]\nkeys_file = "mine.json"\naudit_log = "audit.jsonl"\n')
        assert run("add", "one").exit_code == 0
        assert run("add", "two", "--keys-file", "other.json").exit_code == 0
        assert run("revoke", "one").exit_code == 0
        events = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]

        assert [key.name for key in KeyStore(tmp_path / "other.json").load()] == ["two"]
        assert KeyStore(tmp_path / "mine.json").load() == []
        assert [event["event"] for event in events] == ["key_added", "key_added", "key_revoked"]

    @pytest.mark.parametrize("given", [("--expires", "soon"), ("--expires", "0d"), ("--scope", "x"), ("--rate", "x")])
    def test_wrong_options(self, run: Any, given: tuple[str, str]) -> None:
        """A wrong option is an error with the value, and adds no key."""
        result = run("add", "ci", *given)

        assert isinstance(result.exception, AgnoError)
        assert given[1] in result.exception.message
        assert "There are no keys" in run("list").output
