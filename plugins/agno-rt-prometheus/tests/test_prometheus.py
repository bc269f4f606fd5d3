"""Prometheus' view of real runs, as scraped text."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import pytest
import trio
from agno_rt_prometheus import registry
from agno_rt_prometheus.counts import Counts
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from agno_rt import Agent, Limits, ModelRequest, ModelResponse, Runtime, ToolCall, Usage, tool
from agno_rt.context import RunContext
from agno_rt.errors import AgnoError, Blocked, LimitExceeded, ModelError
from agno_rt.events import TurnRestarted
from agno_rt.hooks import Hook, Verdict
from agno_rt.models import Emit
from agno_rt.testing import CancelPoint, ScriptedModel, cancel_everywhere


@tool(inline=True)
def double(number: int) -> int:
    """Double the number."""
    return 2 * number


CALL = ToolCall("1", "double", '{"number": 21}')


def counted(**more: Any) -> Runtime:
    """Make a runtime with counted runs."""
    return Runtime(observers=["prometheus"], **more)


def samples(text: str) -> Mapping[str, float]:
    """Parse a scrape: `name{label="value"}` to the value, without the buckets of histograms."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            assert (sample.name, labels) not in found
            if "le" not in sample.labels:
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def scraped(rt: Runtime) -> Mapping[str, float]:
    """Scrape the runtime's registry."""
    return samples(generate_latest(registry(rt)).decode())


def after(rt: Runtime, *but: str) -> Mapping[str, float]:
    """Return the samples other than 0, without sums of seconds, limits and names that begin with `but`."""
    left = {name: value for name, value in scraped(rt).items() if value and "_sum{" not in name}
    return {name: value for name, value in left.items() if not name.startswith(("agno_limit_", *but))}


class Answering(Hook):
    """A hook that answers in the model's place."""

    async def before_model(self, context: RunContext, request: ModelRequest) -> ModelResponse:
        """Answer."""
        return ModelResponse("from the hook")


class TestRuns:
    """Counts of runs."""

    async def test_a_hook_that_answers_is_not_a_model(self) -> None:
        """A turn that a hook answers counts no model call."""
        async with counted() as rt:
            await rt.run(Agent(ScriptedModel([]), "a", hooks=[Answering()]), "x")
            found = after(rt)

        assert not [name for name in found if name.startswith("agno_model_")]
        assert [name for name in found if name.startswith("agno_agent_run_")]

    async def test_that_go_well(self) -> None:
        """Agents, runs, model calls, tokens, money and tool calls are counted by name and status."""

        class Paid:
            name = "paid"

            async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                usage = Usage(7, 5, 3, 2, 0.5)
                return (
                    ModelResponse("42", usage=usage) if request.turn == 2 else ModelResponse("", (CALL,), usage=usage)
                )

        async with counted() as rt:
            for _ in range(2):
                await rt.run(Agent(Paid(), "ann", tools=[double]), "x")
            await rt.run(Agent(ScriptedModel(["one two"])), "x")

            assert after(rt) == {
                "agno_agent_creations_total": 2,
                "agno_agent_run_duration_seconds_count{agent=ann,status=completed}": 2,
                "agno_agent_run_duration_seconds_count{agent=unnamed,status=completed}": 1,
                "agno_model_call_duration_seconds_count{model=paid,status=completed}": 4,
                "agno_model_call_duration_seconds_count{model=scripted,status=completed}": 1,
                "agno_model_tokens_total{model=paid,type=input}": 28,
                "agno_model_tokens_total{model=paid,type=output}": 20,
                "agno_model_tokens_total{model=paid,type=reasoning}": 12,
                "agno_model_tokens_total{model=paid,type=cached}": 8,
                "agno_model_tokens_total{model=scripted,type=input}": 1,
                "agno_model_tokens_total{model=scripted,type=output}": 2,
                "agno_model_cost_total{model=paid}": 2.0,
                "agno_tool_call_duration_seconds_count{status=completed,tool=double}": 2,
            }

    async def test_that_do_not(self) -> None:
        """A failed tool, a failed model, a limit and a guardrail each have their status."""

        class Closed:
            name = "closed"

            async def check(self, context: RunContext, text: str) -> Verdict | None:
                return Verdict("closed")

        async with counted(limits=Limits(turns=1)) as rt:
            with pytest.raises(LimitExceeded):
                await rt.run(Agent(ScriptedModel([ToolCall("1", "nope")]), "a"), "x")
            with pytest.raises(ModelError):
                await rt.run(Agent(ScriptedModel([ModelError("down")]), "a"), "x")
            with pytest.raises(Blocked):
                await rt.run(Agent(ScriptedModel([]), "a", hooks=[Closed()]), "x")

            assert after(rt, "agno_model_tokens") == {
                "agno_agent_creations_total": 1,
                "agno_agent_run_duration_seconds_count{agent=a,status=limited}": 1,
                "agno_agent_run_duration_seconds_count{agent=a,status=failed}": 2,
                "agno_model_call_duration_seconds_count{model=scripted,status=completed}": 1,
                "agno_model_call_duration_seconds_count{model=scripted,status=failed}": 1,
                "agno_tool_call_duration_seconds_count{status=failed,tool=nope}": 1,
                "agno_guard_trips_total{action=blocked,guard=closed}": 1,
            }

    async def test_that_are_under_way(self) -> None:
        """A run is in progress until its end, and uses a place of the limit."""

        @tool
        async def look() -> str:
            """Look at the metrics."""
            seen.append(scraped(rt))
            return "x"

        seen: list[Mapping[str, float]] = []
        async with counted(limits=Limits(runs=3)) as rt:
            await rt.run(Agent(ScriptedModel([ToolCall("1", "look"), "x"]), "ann", tools=[look]), "x")
            seen.append(scraped(rt))

        assert [each["agno_agent_runs_in_progress{agent=ann}"] for each in seen] == [1, 0]
        assert [each["agno_limit_in_use{limit=runs}"] for each in seen] == [1, 0]
        assert [each["agno_limit_size{limit=runs}"] for each in seen] == [3, 3]
        assert [each["agno_limit_waiting{limit=runs}"] for each in seen] == [0, 0]

    async def test_that_begin_a_turn_anew(self) -> None:
        """A turn restarted after a streamed part is counted."""

        class Restarting:
            name = "restarting"

            async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                if emit is not None:
                    await emit(TurnRestarted("the line was cut"))
                return ModelResponse("x")

        async with counted() as rt:
            await rt.run(Agent(Restarting(), "ann"), "x")
            assert scraped(rt)["agno_agent_turns_restarted_total{agent=ann}"] == 1

    async def test_that_pause_and_are_resumed(self) -> None:
        """Each part of a paused run counts as a run; the approval is counted, and the model's call only once."""

        @tool(approve=True)
        async def pay() -> str:
            """Pay."""
            return "paid"

        agent = Agent(ScriptedModel([ToolCall("1", "pay"), "done"]), "ann", tools=[pay])
        async with counted() as rt:
            paused = await rt.run(agent, "x")
            await rt.approve(paused.approvals[0].id)
            await rt.resume(paused.run_id, agent)
            seen = scraped(rt)

        assert seen["agno_agent_run_duration_seconds_count{agent=ann,status=paused}"] == 1
        assert seen["agno_agent_run_duration_seconds_count{agent=ann,status=completed}"] == 1
        assert seen["agno_agent_runs_resumed_total{agent=ann}"] == 1
        assert seen["agno_approvals_asked_total{kind=approval}"] == 1
        assert seen["agno_model_call_duration_seconds_count{model=scripted,status=completed}"] == 2
        assert seen["agno_tool_call_duration_seconds_count{status=completed,tool=pay}"] == 1

    def test_are_counted_once_wherever_they_are_cancelled(self) -> None:
        """With a cancellation at every step, no run stays in progress, and each started run has ended."""

        async def story(point: CancelPoint) -> None:
            async with counted() as rt:
                with point:
                    calls = (CALL, ToolCall("2", "double", '{"number": 1}'))
                    model = ScriptedModel([ModelResponse("", calls), "x"])
                    await rt.run(Agent(model, "ann", tools=[double]), "x")
                seen = scraped(rt)
            if "agno_agent_runs_in_progress{agent=ann}" in seen:
                assert seen["agno_agent_runs_in_progress{agent=ann}"] == 0
                ends = [
                    value for name, value in seen.items() if name.startswith("agno_agent_run_duration_seconds_count")
                ]
                assert sum(ends) == 1

        assert cancel_everywhere(story) > 2


async def test_durations_are_in_buckets(autojump_clock: trio.testing.MockClock) -> None:
    """Each duration is counted in every bucket with a bound at or above the duration, and in the sum."""

    async def slow(request: ModelRequest) -> str:
        await trio.sleep(float(request.messages[-1].text))
        return "x"

    counts = Counts((1.0, 5.0), 10, clock=trio.current_time)
    async with Runtime(observers=[counts.observe]) as rt:
        for seconds in ("0.5", "1", "3", "60"):
            await rt.run(Agent(ScriptedModel([slow]), "ann"), seconds)

    (model,) = counts.models
    assert model.ended["completed"].counts == [2, 1, 1]
    assert model.ended["completed"].sum == pytest.approx(64.5)
    assert counts.agents[0].ended["completed"].counts == [2, 1, 1]


async def test_buckets_are_those_of_the_settings() -> None:
    """Prometheus gets cumulative buckets, the last without a bound."""
    async with counted(settings={"prometheus": {"buckets": [100, 200.5], "namespace": "shop"}}) as rt:
        await rt.run(Agent(ScriptedModel(["x"]), "ann"), "x")
        lines = generate_latest(registry(rt)).decode().splitlines()

    assert [line for line in lines if line.startswith("shop_agent_run_duration_seconds_bucket")] == [
        'shop_agent_run_duration_seconds_bucket{agent="ann",le="100.0",status="completed"} 1.0',
        'shop_agent_run_duration_seconds_bucket{agent="ann",le="200.5",status="completed"} 1.0',
        'shop_agent_run_duration_seconds_bucket{agent="ann",le="+Inf",status="completed"} 1.0',
    ]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"bucket": [1]}, "'buckets'"),
        ({"buckets": []}, "buckets are"),
        ({"buckets": [2, 1]}, "buckets are"),
        ({"namespace": "my shop"}, "namespace 'my shop'"),
        ({"names": 0}, "names is 0"),
        ({"registry": "mine"}, "registry"),
    ],
)
async def test_wrong_settings_are_named(settings: Mapping[str, Any], problem: str) -> None:
    """The error comes before any count, with the name of the table."""
    with pytest.raises(AgnoError, match=problem) as caught:
        async with counted(settings={"prometheus": settings}):
            raise AssertionError
    assert "plugins.prometheus" in caught.value.full_text


async def test_names_beyond_so_many_are_one() -> None:
    """With many agents and invented tools, the number of labels is bounded."""
    async with counted(settings={"prometheus": {"names": 3}}) as rt:
        for at in range(10):
            calls = tuple(ToolCall(f"{at} {number}", f"made up {at} {number}") for number in range(5))
            await rt.run(Agent(ScriptedModel([ModelResponse("", calls), "x"]), f"agent {at}"), "x")
        seen = scraped(rt)

    agents = [value for name, value in seen.items() if name.startswith("agno_agent_run_duration_seconds_count")]
    tools = [value for name, value in seen.items() if name.startswith("agno_tool_call_duration_seconds_count")]
    assert agents == [1, 1, 1, 7]
    assert tools == [1, 1, 1, 47]
    assert seen["agno_agent_run_duration_seconds_count{agent=other,status=completed}"] == 7
    assert seen["agno_agent_creations_total"] == 4


async def test_a_name_that_is_no_text_harms_nothing() -> None:
    """A tool's name with half a character, or of the length of a novel, does not break the metrics."""
    names = ("\ud800", "\udc00", "x" * 100_000, "x" * 100_001, 'a"b\n', "", "unnamed", "other")
    calls = tuple(ToolCall(str(at), name) for at, name in enumerate(names))
    async with counted() as rt:
        await rt.run(Agent(ScriptedModel([ModelResponse("", calls), "x"]), "ann"), "x")
        seen = [name for name in scraped(rt) if name.startswith("agno_tool_call_duration_seconds_count")]

    assert len(seen) == 5
    assert max(map(len, seen)) < 200


class TestRegistries:
    """Registries of metrics."""

    async def test_each_runtime_has_its_own(self) -> None:
        """A runtime's counts are neither in another runtime's registry nor in the client library's."""
        async with counted() as one, counted() as other:
            await one.run(Agent(ScriptedModel(["x"]), "ann"), "x")
            assert scraped(one)["agno_agent_creations_total"] == 1
            assert scraped(other)["agno_agent_creations_total"] == 0
        assert "agno_agent_creations_total" not in generate_latest(REGISTRY).decode()

    async def test_a_runtime_that_is_opened_again_counts_on(self) -> None:
        """Counters never go back while the process lives."""
        rt = counted()
        for _ in range(2):
            async with rt:
                await rt.run(Agent(ScriptedModel(["x"]), "ann"), "x")
        assert scraped(rt)["agno_agent_run_duration_seconds_count{agent=ann,status=completed}"] == 2

    async def test_the_default_one_counts_all_as_one(self) -> None:
        """With `registry = "default"`, metrics stand beside the application's own."""
        settings = {"prometheus": {"registry": "default", "namespace": "agno_test"}}
        one, other = (counted(settings=settings, limits=Limits(runs=runs)) for runs in (2, 3))
        async with one, other:
            for rt in (one, other):
                await rt.run(Agent(ScriptedModel(["x"]), "ann"), "x")
            assert registry(one) is REGISTRY
            seen = samples(generate_latest(REGISTRY).decode())

        assert seen["agno_test_agent_run_duration_seconds_count{agent=ann,status=completed}"] == 2
        assert seen["agno_test_limit_size{limit=runs}"] == 5
        differing = {"prometheus": settings["prometheus"] | {"buckets": [1.0]}}
        with pytest.raises(AgnoError, match="share the default registry"):
            async with counted(settings=differing):
                raise AssertionError


async def get(rt: Runtime, headers: Sequence[tuple[bytes, bytes]] = ()) -> tuple[int, Mapping[bytes, bytes], bytes]:
    """Return the answer to `GET /metrics`, from the plugin's route under trio."""
    offer = rt.plugins.shared("routes", "metrics")
    assert offer is not None
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/metrics", "query_string": b"", "headers": list(headers)}
    await offer.factory(rt)(scope, receive, send)
    start, body = sent
    return start["status"], {key.lower(): value for key, value in start["headers"]}, body["body"]


class TestThePage:
    """The route /metrics."""

    async def test_has_the_metrics_as_text(self) -> None:
        """The page has the format and encoding preferred by the client."""
        async with counted() as rt:
            await rt.run(Agent(ScriptedModel(["x"]), "ann"), "x")
            status, headers, body = await get(rt)
            assert (status, headers[b"content-type"].startswith(b"text/plain; version=")) == (200, True)
            assert samples(body.decode())["agno_agent_creations_total"] == 1

            _, headers, body = await get(rt, [(b"accept", b"application/openmetrics-text; version=1.0.0")])
            assert headers[b"content-type"].startswith(b"application/openmetrics-text")
            assert body.endswith(b"# EOF\n")

            _, headers, body = await get(rt, [(b"accept-encoding", b"gzip")])
            assert headers[b"content-encoding"] == b"gzip"
            assert b"agno_agent_creations_total" in gzip.decompress(body)

    async def test_is_not_there_where_nothing_is_counted(self) -> None:
        """Without the observer, the answer has the remedy instead of zeros."""
        async with Runtime() as rt:
            status, headers, body = await get(rt)
        assert (status, headers[b"content-type"]) == (404, b"application/json")
        assert 'observers = ["prometheus"]' in json.loads(body)["error"]["hint"]


def test_the_plugin_imports_nothing_that_takes_time() -> None:
    """The client library is imported on the first use of the observer or the page."""
    program = "import sys, agno_rt_prometheus; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
