"""Failures of services as a model meets them: refusals, waits, broken answers, slow answers; settings and approvals.

The error bodies are those of the documentation: Jira's `errorMessages` and `errors`, Google's and Bitbucket's `error`,
Airflow's `detail`, Confluence's `errors` with titles.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from agno_rt_services import Definition, Service, ServiceError, ServiceSettings, agno_rt_examine, make_toolkit
from agno_rt_services.catalog import NAMES, find_definition
from agno_rt_services.service import KeyAccess

from agno_rt import Agent, MemoryPolicy, Runtime, Tool, ToolCall
from agno_rt.errors import ConfigError, NotFound, UsageError
from agno_rt.readiness import check_ready
from agno_rt.testing import CancelPoint, ScriptedModel, WireReply, WireServer, cancel_everywhere, open_wire_server
from agno_rt.testing.clocks import JumpingClock
from tests.servers.service_formats import KEY, call_tool, render

ISSUES = render({"issues": []})


@pytest.fixture
def clock() -> JumpingClock:
    """Return the clock of the test's trio run: pytest-trio takes a fixture that is a clock."""
    return JumpingClock()


def make_service(server: WireServer, **changes: Any) -> Service:
    """Make a service of the test's server."""
    settings = ServiceSettings(base_url=server.url, **{"api_key": KEY, **changes})
    return Service(Definition("desk", "DESK_TOKEN", lambda service: []), settings)


async def search(server: WireServer, **table: Any) -> Any:
    """Search issues at the test's server: a call that changes nothing."""
    table = {"base_url": server.url, "api_key": KEY, **table}
    return await call_tool("jira", "jira_search_issues", {"jql": "x"}, **table)


async def comment(server: WireServer, **table: Any) -> Any:
    """Add a comment at the test's server: a call that must not be made twice."""
    table = {"base_url": server.url, "api_key": KEY, **table}
    return await call_tool("jira", "jira_add_comment", {"issue_id": "A-1", "comment": "Hi."}, **table)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, {"errorMessages": ["Bad JQL."], "errors": {}}, ["400 Bad Request: Bad JQL.", "Correct the arguments."]),
        (400, {"errorMessages": [], "errors": {"started": "No date."}}, ["started: No date."]),
        (401, {"message": "Client must be authenticated"}, ["The key from", "Another call does not help"]),
        (403, {"errors": [{"status": 403, "title": "No way", "detail": None}]}, ["No way", "may not do this"]),
        (404, {"type": "error", "error": {"message": "No such issue"}}, ["No such issue", "Look for the right name"]),
        (409, {"detail": "DAGRun already exists"}, ["already exists", "Read the state"]),
        (422, {"detail": [{"loc": ["body"], "msg": "Field required"}]}, ["Field required"]),
        (500, {"error": {"code": 500, "message": "Backend", "status": "INTERNAL"}}, ["Backend", "in trouble"]),
        (302, {}, ["302"]),
    ],
)
async def test_refusals_say_what_to_do(status: int, body: Any, words: list[str]) -> None:
    """The model reads the service's words and the next step; the run goes on."""
    async with open_wire_server(render(body, status)) as server:
        told = await search(server, retries=0)
    for each in words:
        assert each in told, told
    assert KEY not in told


async def test_a_wait_is_kept() -> None:
    """A call that is refused for the moment is made again, even a change: nothing was done."""
    busy = render({"errorMessages": ["Rate limit exceeded."]}, 429, {"retry-after": "0.01"})
    async with open_wire_server(busy, busy, render({"id": "1"}, 201)) as server:
        assert (await comment(server))["status"] == "added"
        assert len(server.requests) == 3


async def test_a_long_wait_is_told() -> None:
    """A wait beyond the limit is told to the model at once."""
    busy = render({"errorMessages": ["Rate limit exceeded."]}, 429, {"retry-after": "90"})
    async with open_wire_server(busy) as server:
        told = await search(server)
        assert len(server.requests) == 1
    assert "Wait 90 s before the next call." in told


async def test_repetitions_end() -> None:
    """A service that stays busy is asked as often as the settings say."""
    busy = render({}, 503, {"retry-after": "0"})
    async with open_wire_server(busy) as server:
        told = await search(server, retries=3)
        assert len(server.requests) == 4
    assert "503" in told


@pytest.mark.parametrize("reply", [render({}, 503, {"retry-after": "0"}), WireReply(ending="cut"), render({}, 504)])
async def test_a_change_is_not_repeated(reply: WireReply) -> None:
    """A change that may have been made is made once, and the model is told that the outcome is not known."""
    async with open_wire_server(reply, render({"id": "1"}, 201)) as server:
        told = await comment(server)
        assert len(server.requests) == 1
    assert "not known whether the change was made" in told


async def test_a_broken_connection_is_tried_again() -> None:
    """A search whose connection breaks is sent again."""
    async with open_wire_server(WireReply(ending="reset"), ISSUES) as server:
        assert (await search(server, retries=1))["count"] == 0


async def test_a_server_that_is_not_there() -> None:
    """Where nothing listens, nothing was changed, and the model is told the address."""
    async with open_wire_server() as server:
        url = server.url
    table = {"base_url": url, "api_key": KEY, "retries": 0}
    told = await call_tool("jira", "jira_add_comment", {"issue_id": "A-1", "comment": "Hi."}, **table)
    assert f"jira cannot be reached at {url}" in told
    assert "not known" not in told


async def test_a_slow_answer_ends_by_its_limit(clock: JumpingClock) -> None:
    """A server without a first byte, and one that stops in the middle, are left after the limits."""

    async def end(server: WireServer) -> None:
        await server.wait_stalled()
        while True:  # the client may begin to wait for the answer a moment later
            clock.jump(60)
            await trio.sleep(0.01)

    async with open_wire_server(WireReply(ending="silent")) as server, trio.open_nursery() as nursery:
        nursery.start_soon(end, server)
        told = await search(server, read_timeout=60, timeout=60_000, retries=0)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await server.wait_idle()
    assert "stalled: nothing came for 60 s before it answered" in told
    async with open_wire_server(WireReply((b"{",), ending="stall")) as server, trio.open_nursery() as nursery:
        nursery.start_soon(end, server)
        told = await comment(server, read_timeout=60_000, timeout=60)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await server.wait_idle()
    assert "jira took longer than 60 s" in told
    assert "not known whether the change was made" in told


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (WireReply((b'{"issues": [',)), "answered with text, not with a JSON object"),
        (WireReply((b"<html><title>Login</title>",), content_type="text/html"), "answered with a web page"),
        (WireReply((b"17",)), "JSON of another form"),
        (WireReply((b'"' + b"x" * 3_000 + b'"',)), "more than 2,000 bytes"),
        (render({"issues": None, "nextPageToken": None}), ""),
        (render({"issues": [None, {"key": 5, "fields": []}]}), ""),
    ],
)
async def test_answers_that_cannot_be_read(reply: WireReply, words: str) -> None:
    """Broken and odd answers are told in words, or shown as far as they go."""
    async with open_wire_server(reply) as server:
        told = await search(server, most_bytes=2_000, retries=0)
    assert words in told if words else "issues" in told


async def test_an_accepted_change_with_a_broken_answer() -> None:
    """The change was made, so the model is told not to repeat the call."""
    async with open_wire_server(WireReply((b"ok",), 201, "text/plain")) as server:
        told = await comment(server)
    assert "do not repeat the call" in told
    assert "not known" not in told


async def test_no_secret_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    """A server that quotes the key and the header gets neither into the result nor into the logs."""
    caplog.set_level(logging.DEBUG)
    async with open_wire_server() as server:
        service = make_service(server, user="ann@example.com")
        _, headers = await service.access.find()
        quoted = [KEY, headers["authorization"], headers["authorization"].split()[1]]
        server.play(render({"message": f"Refused: {' '.join(quoted)}"}, 401, {"x-echo": KEY}))
        with pytest.raises(ServiceError, match="Refused") as caught:
            await service.get("me")
        await service.aclose()
    shown = f"{caught.value.full_text} {service.settings!r} {caplog.text}"
    assert not [secret for secret in quoted if secret in shown]


async def test_a_secret_query_is_not_shown() -> None:
    """A query of the address goes along with each request, and into no result."""
    issue = {"key": "A-1", "fields": {}}
    async with open_wire_server(render({"issues": [issue]})) as server:
        told = await search(server, base_url=f"{server.url}/x?token=secret-0123456789")
        assert server.requests[0].path == "/x/rest/api/3/search/jql?token=secret-0123456789"
        assert told["issues"][0]["url"] == f"{server.url}/x/browse/A-1"


async def test_a_cancelled_call_closes_its_connection() -> None:
    """A run that is cancelled in a call leaves no connection behind."""
    async with open_wire_server(WireReply(ending="silent")) as server:
        with ScriptedModel([ToolCall("1", "jira_search_issues", '{"jql": "x"}')]) as model:
            settings = {"services": {"jira": {"base_url": server.url, "api_key": KEY}}}
            async with Runtime(settings=settings) as rt, trio.open_nursery() as nursery:
                nursery.start_soon(rt.run, Agent(model, tools=["services:jira"]), "Go.")
                await server.wait_stalled()
                nursery.cancel_scope.cancel()
        await server.wait_idle()
        assert server.open_connections == 0


def test_a_cancellation_anywhere_leaves_nothing() -> None:
    """Cancelled at any step of login and call, a service has no connection in use, and answers the next call."""
    definition = find_definition("airflow")

    async def run(point: CancelPoint) -> None:
        async with open_wire_server(render({"access_token": "eyJ-one", "dags": []})) as server:
            settings = definition.settings(base_url=server.url, user="admin", api_key=KEY)
            service = Service(definition, settings)
            with point:
                await service.get("api/v2/dags")
            assert [each.in_use for each in service.statistics()] == [0]
            assert (await service.get("api/v2/dags"))["dags"] == []
            await service.aclose()
            await server.wait_idle()

    cancel_everywhere(run, at_least=10)


async def test_an_access_that_hangs_at_closing_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """A server of tokens that does not say goodbye holds up the end of a cancelled program for seconds only."""

    class Hanging(KeyAccess):
        async def aclose(self) -> None:
            await trio.sleep_forever()

    definition = attrs.evolve(find_definition("jira"), access=Hanging)
    kit = make_toolkit(definition, {"base_url": "https://jira.example", "api_key": KEY})
    with trio.move_on_after(1):
        assert kit.open is not None
        async with kit.open():
            await trio.sleep_forever()
    assert trio.current_time() == pytest.approx(6)


async def test_many_calls_share_few_connections() -> None:
    """Fifty calls at once open no more connections than the settings allow, and all get their answer."""
    async with open_wire_server(render({"ok": True})) as server:
        service = make_service(server, max_connections=3)
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(service.get, "me")
        assert len(server.requests) == 50
        assert server.most_connections <= 3
        await service.aclose()


async def test_a_change_waits_for_a_person() -> None:
    """By default, a run pauses before a change, and nothing is sent until a person approves."""
    change = ToolCall("1", "jira_add_comment", '{"issue_id": "A-1", "comment": "Hi."}')
    async with open_wire_server(render({"id": "1"}, 201)) as server:
        with ScriptedModel([change, "Done."]) as model:
            settings = {"services": {"jira": {"base_url": server.url, "api_key": KEY}}}
            async with Runtime(settings=settings) as rt:
                agent = Agent(model, tools=["services:jira"], memory=MemoryPolicy(journal=True))
                paused = await rt.run(agent, "Go.")
                assert paused.status == "paused"
                assert server.requests == []
                [approval] = paused.approvals
                await rt.approve(approval.id)
                result = await rt.resume(paused.run_id, agent)
        assert (result.content, len(server.requests)) == ("Done.", 1)


@pytest.mark.parametrize("name", NAMES)
def test_each_tool_says_what_it_does_to_the_world(name: str) -> None:
    """Every tool has notes for approvals; a tool that reads may be repeated; changes wait for a person by default."""
    definition = find_definition(name)
    settings = definition.settings(base_url="https://example.com")
    tools = definition.make_tools(Service(definition, settings))
    for each in tools:
        assert each.read_only is not None
        assert each.destructive is not None
        assert each.approve is (not each.read_only)
        assert each.idempotent or not each.read_only
        assert each.description


def test_settings_choose_tools() -> None:
    """`only` and `read_only` leave tools out, and an unknown name is told before the first run."""
    definition = find_definition("jira")

    def list_tools(**changes: Any) -> list[str]:
        from agno_rt_services.toolkit import choose_tools

        settings = definition.settings(base_url="https://example.com", **changes)
        return [each.name for each in choose_tools(Service(definition, settings), definition)]

    assert list_tools(read_only=True) == ["jira_search_issues", "jira_get_issue"]
    assert list_tools(only=["jira_add_worklog"]) == ["jira_add_worklog"]
    with pytest.raises(NotFound, match="jira_add_work"):
        make_toolkit(definition, {"base_url": "https://example.com", "only": ["jira_add_work"]})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "base_url is missing"),
        ({"base_url": "example.com"}, "base_url"),
        ({"base_url": "https://example.com", "token": "x"}, "unknown key 'token'"),
        ({"base_url": "https://example.com", "timeout": 0}, "timeout"),
        ({"base_url": "https://example.com", "retries": -1}, "retries"),
        ({"base_url": "https://example.com", "approve": "some"}, "approve"),
        ({"base_url": "https://example.com", "user": "a:b"}, "user"),
    ],
)
def test_wrong_settings_are_named(table: dict[str, Any], words: str) -> None:
    """Each mistake is an error with its table, before any request."""
    with pytest.raises(ConfigError, match=words) as caught:
        make_toolkit(find_definition("jira"), table)
    assert "plugins.services.jira" in caught.value.message


async def test_a_spec_has_one_name() -> None:
    """A third part of a spec is refused with the place of the settings."""
    async with Runtime() as rt:
        with pytest.raises(UsageError, match="a part too many"):
            await rt.run(Agent(ScriptedModel([]), tools=["services:jira:work"]), "Go.")


async def test_checks_find_missing_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The checks at start and of `agno-rt doctor` name the variable of a missing key."""
    monkeypatch.setenv("AGNO_RT_KEYS", str(tmp_path / "keys.toml"))
    monkeypatch.delenv("JIRA_API_TOKEN", raising=False)
    table = {"jira": {"base_url": "https://example.com"}}
    async with Runtime(settings={"services": table}) as rt:
        agent = Agent(ScriptedModel([]), tools=["services:jira"])
        found = await check_ready(rt, agent, toolkits=True)
        assert len([each for each in found if "JIRA_API_TOKEN" in each.message]) == 1
    examined = list(agno_rt_examine({**table, "gira": {}}))
    assert ["JIRA_API_TOKEN" in each.message for each in examined] == [True, False]
    assert "jira" in examined[1].hint
    monkeypatch.setenv("JIRA_API_TOKEN", KEY)
    assert list(agno_rt_examine(table)) == []


async def test_a_missing_key_is_told_to_the_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a key no request is made, and the model is told the variable."""
    monkeypatch.setenv("AGNO_RT_KEYS", str(tmp_path / "keys.toml"))
    monkeypatch.delenv("JIRA_API_TOKEN", raising=False)
    async with open_wire_server(ISSUES) as server:
        assert "JIRA_API_TOKEN is not set" in await search(server, api_key=None)
        assert server.requests == []


async def test_a_service_of_ones_own() -> None:
    """A program defines a service with a handful of lines, as the README shows."""

    def make_tools(service: Service) -> list[Tool]:
        @service.reading()
        async def get_ticket(number: int) -> dict[str, Any]:
            """Read a ticket."""
            return await service.get(f"tickets/{number}", full="yes", empty="")

        return [get_ticket]

    desk = Definition("desk", "DESK_TOKEN", make_tools)
    async with open_wire_server(render({"title": "Help"})) as server:
        toolkit = make_toolkit(desk, ServiceSettings(base_url=server.url, api_key=KEY))
        with ScriptedModel([ToolCall("1", "get_ticket", '{"number": 5}'), "Done."]) as model:
            async with Runtime() as rt:
                await rt.run(Agent(model, tools=[toolkit]), "Go.")
        assert json.loads(str(model.requests[-1].messages[-1].content)) == {"title": "Help"}
        assert server.requests[0].path == "/tickets/5?full=yes"
