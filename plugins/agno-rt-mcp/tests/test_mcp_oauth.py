"""Logins at servers over HTTP, with a strict authorization server on loopback that counts requests (P5)."""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
import trio
import trio.testing
from agno_rt_mcp import make_toolkit
from agno_rt_mcp.errors import LoginNeeded, ServerUnavailable
from agno_rt_mcp.oauth.login import log_in, log_out
from agno_rt_mcp.oauth.store import LoginStore
from agno_rt_mcp.settings import OAuthSettings, ServerSettings

from agno_rt import Agent, Runtime
from agno_rt.errors import ConfigError, PluginError, UsageError
from agno_rt.plugins import PluginHost
from agno_rt.testing import ScriptedModel
from tests.free_ports import find_free_port
from tests.servers.oauth_issuer import Issuer, serving

# The SDK leaves generators of httpx2 unfinished when it has read the answer in a stream of events.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning")


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """Serve both servers, and keep logins in a folder of the test."""
    monkeypatch.setenv("AGNO_RT_KEYS", str(tmp_path / "keys.toml"))
    with serving() as found:
        yield found


def logins(folder: Path) -> list[dict[str, Any]]:
    """Return the logins in the file."""
    path = folder / "mcp-logins.toml"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(json.loads(line.partition(" = ")[2])) for line in lines if line.startswith("LOGIN_")]


async def visit(address: str) -> None:
    """Be the browser of a person that agrees."""
    async with httpx2.AsyncClient(follow_redirects=True, timeout=60) as browser:
        await browser.get(address)


async def log_in_as_person(settings: ServerSettings, **more: Any) -> Any:
    """Log in as a person with a browser."""
    try:
        async with trio.open_nursery() as nursery:

            async def show(address: str) -> None:
                nursery.start_soon(visit, address)

            return await log_in(settings, show, **{"seconds": 60.0} | more)
    except BaseExceptionGroup as group:
        [error] = group.exceptions
        raise error from None


def server(issuer: Issuer, **more: Any) -> ServerSettings:
    """Return the settings of the server."""
    return ServerSettings("tickets", url=issuer.url, **more)


@asynccontextmanager
async def opened(settings: ServerSettings) -> AsyncIterator[dict[str, Any]]:
    """Open the toolkit, and yield the functions of the tools by name."""
    kit: Any = make_toolkit(settings)
    async with kit.open() as lists:
        yield {tool.name: tool.function for tool in await anext(aiter(lists))}


async def fail_to_open(settings: ServerSettings, error: type[PluginError] = LoginNeeded) -> PluginError:
    """Open the toolkit in vain, and return the error."""
    with pytest.RaisesGroup(error, flatten_subgroups=True) as caught:
        async with opened(settings):
            await trio.sleep_forever()
    found = caught.value.exceptions[0]
    assert isinstance(found, PluginError)
    return found


async def test_without_a_person_the_error_names_the_command(issuer: Issuer) -> None:
    """A run fails at once, and says how to log in; nothing is registered, and the server is not asked again."""
    agent = Agent(ScriptedModel(["hi"]), "a", tools=[make_toolkit(server(issuer))])
    async with Runtime() as runtime:
        with pytest.raises(PluginError, match="'tickets' answered 401: a person has to log in") as error:
            await runtime.run(agent, "go")
        assert "agno-rt mcp login tickets" in error.value.hint
        assert issuer.counts["message"] <= 2
        assert issuer.counts["register"] == 0
        await log_in_as_person(server(issuer))
        assert (await runtime.run(agent, "go")).content == "hi"


async def test_a_login_is_used_and_kept_in_a_private_file(
    issuer: Issuer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The client registers, shows its challenge and the server's name, and calls; the tokens are in no log."""
    caplog.set_level(logging.DEBUG)
    login = await log_in_as_person(server(issuer))
    async with opened(server(issuer)) as tools:
        assert await tools["read"]() == "read"

    assert login.scopes == ("read",)
    assert issuer.counts["register"] == issuer.counts["authorization_code"] == 1
    assert issuer.asked[0]["resource"] == issuer.forms[0]["resource"] == issuer.url
    path = tmp_path / "mcp-logins.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "agno-rt mcp login" in path.read_text().splitlines()[0]
    [kept] = logins(tmp_path)
    assert kept["access_token"] in issuer.tokens
    for secret in (kept["access_token"], kept["refresh_token"]):
        assert secret not in caplog.text
        assert secret not in repr(login)


async def test_a_file_open_to_others_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    """The error says how to close the file; the tokens are not used."""
    await log_in_as_person(server(issuer))
    before = issuer.counts["message"]
    (tmp_path / "mcp-logins.toml").chmod(0o644)
    error = await fail_to_open(server(issuer), ServerUnavailable)
    assert "can be read by others" in error.message
    assert "chmod 600" in error.hint
    assert issuer.counts["message"] - before <= 2
    assert issuer.counts["refresh_token"] == 0


async def test_ten_calls_at_once_renew_a_token_once(issuer: Issuer, tmp_path: Path) -> None:
    """The token ends under way: each call answers, after one refresh; and the next process has the new token."""
    await log_in_as_person(server(issuer))
    async with opened(server(issuer)) as tools:
        for rounds in (1, 2):
            issuer.end_tokens()
            answers: list[str] = []

            async def call(tools: Any = tools, answers: list[str] = answers) -> None:
                answers.append(await tools["read"]())

            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(call)
            assert answers == ["read"] * 10
            assert issuer.counts["refresh_token"] == rounds
    async with opened(server(issuer)) as tools:
        assert await tools["read"]() == "read"
    assert issuer.counts["refresh_token"] == 2
    assert issuer.counts["register"] == issuer.counts["/authorize"] == 1


async def test_a_token_near_its_end_is_renewed_before_the_call(issuer: Issuer) -> None:
    """A call with an ending token is not refused first."""
    issuer.lifetime = 10
    await log_in_as_person(server(issuer))
    issuer.lifetime = 3600
    before = issuer.counts["message"]
    async with opened(server(issuer)) as tools:
        await tools["read"]()
    assert issuer.counts["refresh_token"] == 1
    messages = issuer.counts["message"] - before
    async with opened(server(issuer)) as tools:
        await tools["read"]()
    assert issuer.counts["message"] - before == 2 * messages


@pytest.mark.parametrize("told", [-5, pytest.param(10**400, id="huge"), "inf", "nan", "1e999", "soon", [1], 1e300])
async def test_an_odd_lifetime_does_not_spoil_a_login(issuer: Issuer, tmp_path: Path, told: Any) -> None:
    """A lifetime that is not a number of seconds counts as not told: the token is used until it is refused."""
    issuer.told_lifetime = told
    await log_in_as_person(server(issuer))
    async with opened(server(issuer)) as tools:
        assert [await tools["read"]() for _ in range(2)] == ["read", "read"]
    assert issuer.counts["refresh_token"] == 0
    [login] = logins(tmp_path)
    assert told == 1e300 or login.get("expires_at") is None


async def test_two_connections_share_a_login(issuer: Issuer) -> None:
    """A second connection takes the token renewed by the first: a refresh token counts once."""
    await log_in_as_person(server(issuer))
    async with opened(server(issuer)) as one, opened(server(issuer)) as two:
        issuer.end_tokens()
        answers = []

        async def call(tools: Any) -> None:
            answers.append(await tools["read"]())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, one)
            nursery.start_soon(call, two)
    assert answers == ["read"] * 2
    assert issuer.counts["refresh_token"] == 1


async def test_a_cancelled_call_does_not_cut_a_refresh(issuer: Issuer) -> None:
    """A call may be cancelled at any step of a refresh: the new token is kept, and the next call is well."""
    await log_in_as_person(server(issuer))
    async with opened(server(issuer)) as tools:
        for steps in range(0, 60, 3):
            issuer.end_tokens()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tools["read"])
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            assert await tools["read"]() == "read"
    assert issuer.counts["/authorize"] == 1


async def test_a_login_ended_by_the_issuer_is_dropped(issuer: Issuer, tmp_path: Path) -> None:
    """`invalid_grant`: one refresh for ten calls and all later ones, a named error, and then the same client anew."""
    await log_in_as_person(server(issuer))
    async with opened(server(issuer)) as tools:
        issuer.end_tokens()
        issuer.refresh_tokens.clear()
        failures = []

        async def call() -> None:
            with pytest.raises(LoginNeeded, match="a person has to log in") as error:
                await tools["read"]()
            failures.append(error.value.hint)

        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(call)
        assert len(failures) == 20
        assert "agno-rt mcp login tickets" in failures[0]
        assert issuer.counts["refresh_token"] == 1
        assert not logins(tmp_path)[0].get("refresh_token")

        await log_in_as_person(server(issuer))
        assert await tools["read"]() == "read"  # the open connection finds the new login
    assert issuer.counts["register"] == 1
    assert issuer.counts["/authorize"] == 2


async def test_a_client_forgotten_by_the_issuer_is_registered_anew_once(issuer: Issuer) -> None:
    """`invalid_client`: the client is dropped with the tokens, and the next login registers one more."""
    await log_in_as_person(server(issuer))
    issuer.end_tokens()
    issuer.clients.clear()
    await fail_to_open(server(issuer))
    await fail_to_open(server(issuer))
    assert issuer.counts["refresh_token"] == 1
    await log_in_as_person(server(issuer))
    async with opened(server(issuer)) as tools:
        assert await tools["read"]() == "read"
    assert issuer.counts["register"] == 2


async def test_a_client_forgotten_during_a_login_is_registered_anew_once(issuer: Issuer) -> None:
    """The code is refused for the client: the login begins again by itself, and once only."""
    await log_in_as_person(server(issuer))
    issuer.refusals["authorization_code"] = (401, "invalid_client")
    with pytest.raises(ServerUnavailable, match="invalid_client"):
        await log_in_as_person(server(issuer))
    assert issuer.counts["register"] == 2
    assert issuer.counts["/authorize"] == 3


async def test_a_silent_error_page_costs_one_login(issuer: Issuer) -> None:
    """An issuer that rejects the client in the browser never answers: the login ends, and the next one registers."""
    await log_in_as_person(server(issuer))
    issuer.clients.clear()
    with pytest.raises(ServerUnavailable, match="no answer of the browser within 1 s"):
        await log_in_as_person(server(issuer), seconds=1.0)
    assert issuer.counts["register"] == 1
    await log_in_as_person(server(issuer))
    assert issuer.counts["register"] == 2


async def test_another_port_is_registered_anew(issuer: Issuer) -> None:
    """A login tries the registered port first; with another port, the issuer learns the new way back."""
    await log_in_as_person(server(issuer))
    await log_in_as_person(server(issuer))
    assert issuer.counts["register"] == 1
    port = urlsplit(issuer.asked[0]["redirect_uri"]).port
    assert port is not None
    with socket.create_server(("127.0.0.1", port)):
        await log_in_as_person(server(issuer))
        with pytest.raises(UsageError, match=f"port {port} cannot be used"):
            await log_in_as_person(server(issuer), port=port)
    assert issuer.counts["register"] == 2
    assert issuer.counts["/authorize"] == issuer.counts["authorization_code"] == 3


async def test_a_missing_scope_is_asked_for_at_the_next_login(issuer: Issuer) -> None:
    """The call names the scope, other calls go on, and the next login has the old scopes and the new one."""
    await log_in_as_person(server(issuer))
    async with opened(server(issuer)) as tools:
        with pytest.raises(LoginNeeded, match="asks for more rights: write"):
            await tools["write"]()
        assert await tools["read"]() == "read"
        login = await log_in_as_person(server(issuer))
        assert login.scopes == ("read", "write")
        assert await tools["write"]() == "write"
    assert issuer.asked[1]["scope"] == "read write"
    assert issuer.counts["refresh_token"] == 0


async def test_an_issuer_out_of_order_ends_no_login(issuer: Issuer) -> None:
    """A refresh that meets a fault of the issuer is tried again with the next call."""
    await log_in_as_person(server(issuer))
    async with opened(server(issuer)) as tools:
        issuer.end_tokens()
        issuer.refusals["refresh_token"] = (503, "")
        with pytest.raises(ServerUnavailable, match="HTTP 503"):
            await tools["read"]()
        issuer.refusals.clear()
        assert await tools["read"]() == "read"
    assert issuer.counts["/authorize"] == 1


def machine(issuer: Issuer, name: str = "") -> ServerSettings:
    """Return the settings of a machine, with the issuer's name."""
    oauth = OAuthSettings("client_credentials", "robot", "${ROBOT_SECRET}", name or issuer.base)
    return server(issuer, oauth=oauth)


async def test_a_machine_logs_in_by_itself(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Client credentials need no person: one token for ten calls, more scopes when asked for, and no file."""
    monkeypatch.setenv("ROBOT_SECRET", "s/3cret")
    async with opened(machine(issuer)) as tools:
        assert issuer.counts["client_credentials"] == 1
        issuer.end_tokens()
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(tools["read"])
        assert issuer.counts["client_credentials"] == 2
        assert await tools["write"]() == "write"
        assert issuer.forms[-1]["scope"] == "read write"
    assert logins(tmp_path) == []
    monkeypatch.setenv("ROBOT_SECRET", "wrong")
    error = await fail_to_open(machine(issuer), ServerUnavailable)
    assert "invalid_client" in error.message
    assert "wrong" not in error.message
    elsewhere = await fail_to_open(machine(issuer, "https://other.example"), ServerUnavailable)
    assert "is not by the issuer https://other.example" in elsewhere.message


@pytest.mark.parametrize(
    ("resource", "metadata", "said"),
    [
        ({}, {"code_challenge_methods_supported": None}, "PKCE"),
        ({}, {"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        ({}, {"issuer": "https://other.example"}, "finds the issuer https://other.example"),
        ({}, {"authorization_endpoint": "file:///bin/sh"}, "not an https address"),
        ({}, {"token_endpoint": "http://other.example/token"}, "not an https address"),
        ({}, {"registration_endpoint": None}, "needs a client registered"),
        ({"resource": "https://other.example/mcp"}, {}, "a token for another server"),
        ({"authorization_servers": []}, {}, "has no authorization server"),
    ],
)
async def test_unsafe_metadata_are_refused(
    issuer: Issuer, resource: dict[str, Any], metadata: dict[str, Any], said: str
) -> None:
    """Each is an error that says what is wrong; no browser is opened, and no token is asked for."""
    issuer.resource, issuer.metadata = resource, metadata
    with pytest.raises(ServerUnavailable, match=said):
        await log_in_as_person(server(issuer))
    assert issuer.counts["/authorize"] == issuer.counts["authorization_code"] == 0


@pytest.mark.parametrize(
    ("padding", "packing", "said"),
    [(2_000_000, "", "more than 1,048,576 bytes"), (0, "gzip", "packed as 'gzip', which was not asked for")],
)
async def test_answers_without_an_end_are_cut(issuer: Issuer, padding: int, packing: str, said: str) -> None:
    """A document above the bound is read no further, and a packed one is not unpacked: it may have gigabytes."""
    issuer.padding, issuer.packing = padding, packing
    with pytest.raises(ServerUnavailable, match=said):
        await log_in_as_person(server(issuer))
    assert issuer.packings_asked == {"identity"}


async def test_foreign_answers_of_the_browser_are_ignored(issuer: Issuer) -> None:
    """Answers with another state, to other pages and without HTTP do not end the login; the right one does."""

    async def show(address: str) -> None:
        nursery.start_soon(answer, address)

    async def answer(address: str) -> None:
        back = dict(parse_qsl(urlsplit(address).query))["redirect_uri"]
        port = urlsplit(back).port
        assert port is not None
        async with httpx2.AsyncClient(timeout=60) as browser:
            assert (await browser.get(f"{back}?code=stolen&state=guessed")).status_code == 400
            assert (await browser.get(f"{back}?code=stolen")).status_code == 400
            assert (await browser.get(f"http://127.0.0.1:{port}/favicon.ico")).status_code == 404
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"x" * 20_000 + b"\r\n\r\n")
        await visit(address)

    async with trio.open_nursery() as nursery:
        await log_in(server(issuer), show, seconds=60.0)
    assert issuer.counts["authorization_code"] == 1


async def test_an_answer_of_another_issuer_is_refused(issuer: Issuer) -> None:
    """The code of a mixed-up issuer is not sent to ours."""
    issuer.metadata = {"issuer": f"{issuer.base}/"}
    with pytest.raises(ServerUnavailable, match="is answered by the issuer"):
        await log_in_as_person(server(issuer))
    assert issuer.counts["authorization_code"] == 0


async def test_a_refusal_of_the_person_is_told(issuer: Issuer) -> None:
    """The issuer's word is in the error."""
    issuer.refusals["authorize"] = (302, "access_denied")
    with pytest.raises(ServerUnavailable, match="was refused: access_denied"):
        await log_in_as_person(server(issuer))


async def test_a_client_of_the_settings_is_not_registered(issuer: Issuer) -> None:
    """A client registered beforehand, and the address of a document about the client where issuers know documents."""
    document = "https://client.example/agno.json"
    for name, known in (("mine", None), (document, True), (document, None)):
        issuer.metadata = {"client_id_metadata_document_supported": known}
        port = find_free_port()
        issuer.clients[name] = {"redirect_uris": [f"http://127.0.0.1:{port}/callback"]}
        await log_in_as_person(server(issuer, oauth=OAuthSettings(client_id=name, port=port)))
    assert [each["client_id"] for each in issuer.asked] == ["mine", document, "client2"]
    assert issuer.counts["register"] == 1


async def test_a_logout_leaves_the_lock_of_another_process(
    issuer: Issuer, autojump_clock: trio.testing.MockClock
) -> None:
    """A login that is removed while it is renewed stays locked, and the lock is free for the next one afterwards."""
    first, second = LoginStore(server(issuer)), LoginStore(server(issuer))
    order: list[str] = []

    async def renew() -> None:
        async with second.holding():
            order.append("second")

    async with trio.open_nursery() as nursery:
        async with first.holding():
            second.remove()
            nursery.start_soon(renew)
            await trio.sleep(1)
            order.append("first")
        await trio.sleep(1)
        assert order == ["first", "second"]


async def test_a_lock_unlinked_meanwhile_is_taken_anew(
    issuer: Issuer, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Who waits for a lock whose file goes away waits for the file in its place, and holds that alone."""
    first, second, third = (LoginStore(server(issuer)) for _ in range(3))
    order: list[str] = []

    async def renew(store: LoginStore, name: str) -> None:
        async with store.holding():
            order.append(f"{name} begins")
            await trio.sleep(1)
            order.append(f"{name} ends")

    async with trio.open_nursery() as nursery:
        async with first.holding():
            nursery.start_soon(renew, second, "second")
            await trio.sleep(0.5)
            [name] = [each for each in os.listdir(tmp_path) if each.startswith(".LOGIN_")]
            os.unlink(tmp_path / name)
        await trio.sleep(0.1)
        nursery.start_soon(renew, third, "third")
    assert order == ["second begins", "second ends", "third begins", "third ends"]


async def test_a_logout_takes_the_tokens_back(issuer: Issuer, tmp_path: Path) -> None:
    """The issuer forgets the tokens, and so does the file."""
    await log_in_as_person(server(issuer))
    assert await log_out(server(issuer)) == (True, True)
    assert not issuer.refresh_tokens
    assert logins(tmp_path) == []
    assert await log_out(server(issuer)) == (False, False)
    assert [name for name in os.listdir(tmp_path) if name.endswith(".lock")] == [".keys.lock"]


def test_ten_calls_renew_once_under_many_schedules(issuer: Issuer, run_schedules: Callable[..., int]) -> None:
    """In any order of the tasks there is one refresh, or one dropped login."""

    async def scenario() -> None:
        await log_in_as_person(server(issuer))
        async with opened(server(issuer)) as tools:
            for is_over in (False, True):
                issuer.end_tokens()
                if is_over:
                    issuer.refresh_tokens.clear()
                before = issuer.counts["refresh_token"]
                told: list[str] = []

                async def call(tools: Any = tools, told: list[str] = told) -> None:
                    try:
                        told.append(await tools["read"]())
                    except LoginNeeded:
                        told.append("login needed")

                async with trio.open_nursery() as nursery:
                    for _ in range(10):
                        nursery.start_soon(call)
                assert told == ["login needed" if is_over else "read"] * 10
                assert issuer.counts["refresh_token"] == before + 1

    run_schedules(scenario, 4, virtual=False)
    assert issuer.counts["register"] == 1


def test_the_doctor_tells_of_a_missing_login(issuer: Issuer) -> None:
    """A client of the settings without a login is a finding; after the login there is none."""
    port = find_free_port()
    issuer.clients["mine"] = {"redirect_uris": [f"http://127.0.0.1:{port}/callback"]}
    oauth = {"client_id": "mine", "port": port}
    settings = {"servers": {"tickets": {"url": issuer.url, "oauth": oauth}}}
    [found] = PluginHost().examine("mcp", settings)
    assert (found.level, found.hint) == ("warning", "Log in: agno-rt mcp login tickets")
    trio.run(log_in_as_person, server(issuer, oauth=OAuthSettings(client_id="mine", port=port)))
    assert list(PluginHost().examine("mcp", settings)) == []


def test_settings_that_give_a_secret_away_are_refused() -> None:
    """A secret needs the issuer that may see it; a machine needs both halves of its name."""
    with pytest.raises(ConfigError, match="needs a client_id and an issuer"):
        OAuthSettings(client_id="me", client_secret="x")
    with pytest.raises(ConfigError, match="key_file needs a client_id and an issuer"):
        OAuthSettings(client_id="me", key_file="x.pem")
    with pytest.raises(ConfigError, match="needs a client_id and a client_secret or a key_file"):
        OAuthSettings("client_credentials", client_id="me")
    with pytest.raises(ConfigError, match="two ways"):
        OAuthSettings(client_id="me", client_secret="x", key_file="x.pem", issuer="https://x.example")
    assert "s3cret" not in repr(OAuthSettings(client_id="me", client_secret="s3cret", issuer="https://x.example"))


def test_the_command_logs_in_and_out(issuer: Issuer, tmp_path: Path) -> None:
    """The address is printed, the browser's answer ends the wait, and another process uses the login."""
    (tmp_path / "agno-rt.toml").write_text(f'[plugins.mcp.servers.tickets]\nurl = "{issuer.url}"\n')
    command = [sys.executable, "-m", "agno_rt.cli", "mcp"]
    environment = {**os.environ, "COLUMNS": "300"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    refused = run("check", "tickets")
    assert refused.returncode == 1
    assert "agno-rt mcp login tickets" in refused.stderr
    words = [*command, "login", "tickets", "--no-browser", "--timeout", "60"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True) as login:
        assert login.stderr is not None
        assert login.stdout is not None
        assert "Log in at tickets" in login.stderr.readline()
        trio.run(visit, login.stderr.readline().strip())
        assert "Logged in at tickets, with read." in login.stdout.read()
        assert login.wait(60) == 0
    assert run("call", "tickets", "read").stdout == "read\n"
    assert "took the tokens back" in run("logout", "tickets").stdout
    assert "no login" in run("logout", "tickets").stderr
