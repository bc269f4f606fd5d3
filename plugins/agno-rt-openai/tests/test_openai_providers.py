"""Known providers: addresses, keys and quirks as data, and what goes over the wire because of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import attrs
import pytest
from agno_rt_openai import OpenAIModel, Server
from agno_rt_openai.keys import key_headers
from agno_rt_openai.profile import choose
from agno_rt_openai.providers import AS_OF, PROVIDERS

from agno_rt import Agent, Message, ModelRequest, ModelSettings, Runtime, ToolCall, tool
from agno_rt.errors import ConfigError, ModelError
from agno_rt.http_client.server import Key
from agno_rt.testing import WireReply, open_wire_server

KEY = "sk-0123456789abcdef"
FIXED = sorted(name for name, row in PROVIDERS.items() if "base_url" in row)


def completion(**message: Any) -> WireReply:
    """Make a reply with a completion."""
    reason = "tool_calls" if "tool_calls" in message else "stop"
    return WireReply((json.dumps({"choices": [{"message": message, "finish_reason": reason}]}).encode(),))


def chunks(**delta: Any) -> WireReply:
    """Make a reply with a stream of one delta and the end."""
    reason = "tool_calls" if "tool_calls" in delta else "stop"
    choices = ({"index": 0, "delta": delta}, {"index": 0, "delta": {}, "finish_reason": reason})
    events = [b"data: %b\n\n" % json.dumps({"choices": [choice]}).encode() for choice in choices]
    return WireReply((*events, b"data: [DONE]\n\n"), content_type="text/event-stream")


async def ask(runtime: Runtime, agent: Agent, said: str, *, stream: bool) -> None:
    """Run the agent in the session `s`, with a stream or without."""
    if not stream:
        await runtime.run(agent, said, session="s")
        return
    async with runtime.stream(agent, said, session="s") as events:
        async for _ in events:
            pass


class TestTable:
    """The table of providers."""

    @pytest.mark.parametrize("name", FIXED)
    def test_each_is_a_server_without_settings(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """`NAME:MODEL` asks the provider's address with the provider's key; the title names the provider."""
        row = PROVIDERS[name]
        monkeypatch.setenv(row.get("api_key_env", "UNUSED"), KEY)
        model, found, server = choose(f"{name}:org/m:free", {})
        assert (model, found, server.base_url) == ("org/m:free", name, row["base_url"])
        assert row["title"]
        assert server.is_loopback == ("api_key_env" not in row)
        assert server.key().text == (KEY if "api_key_env" in row else "")
        assert OpenAIModel(model, server, server_name=found).provider == name

    def test_the_readme_has_the_table(self) -> None:
        """The README lists each provider with its title and key, and nothing else."""
        readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
        section = readme.partition("## Known providers")[2].partition("\n## ")[0]
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        keys = {name: f"`{row['api_key_env']}`" if "api_key_env" in row else "" for name, row in PROVIDERS.items()}
        assert rows == [f"| `{name}` | {PROVIDERS[name]['title']} | {key} |" for name, key in keys.items()]

    def test_keys_go_over_tls_alone(self) -> None:
        """An address with a key is https; the facts have a date."""
        for row in PROVIDERS.values():
            assert row.get("base_url", row.get("example")).startswith("https://" if "api_key_env" in row else "http://")
        assert len(AS_OF.split("-")) == 3

    def test_azure_needs_the_address_of_the_resource(self) -> None:
        """The error for a missing address shows the form; the table keeps the header and the names of OpenAI."""
        with pytest.raises(ConfigError, match="base_url is missing") as caught:
            choose("azure:gpt-5", {})
        assert "RESOURCE.openai.azure.com" in caught.value.hint
        url = "https://mine.openai.azure.com/openai/v1"
        _, _, server = choose("azure:gpt-5", {"servers": {"azure": {"base_url": url}}})
        assert (server.key_header, server.api_key_env, server.max_tokens_field) == (
            "api-key",
            "AZURE_OPENAI_API_KEY",
            "max_completion_tokens",
        )

    def test_a_table_changes_single_keys(self) -> None:
        """A table without an address keeps the provider's other keys."""
        table = {"servers": {"groq": {"read_timeout": 5, "api_key_env": "MY_KEY"}}}
        _, _, server = choose("groq:m", table)
        assert (server.host, server.read_timeout, server.api_key_env) == ("api.groq.com", 5.0, "MY_KEY")

    def test_a_table_with_an_address_is_the_users_own(self) -> None:
        """Another address does not get the provider's key."""
        _, _, server = choose("groq:m", {"servers": {"groq": {"base_url": "http://host/v1"}}})
        assert (server.host, server.api_key_env, server.max_tokens_field) == ("host", None, None)

    def test_on_the_users_own_server_a_name_is_a_model(self) -> None:
        """With another address for the plugin itself, `mistral:7b` is a model of that server."""
        model, name, server = choose("mistral:7b", {"base_url": "http://127.0.0.1:11434/v1"})
        assert (model, name, server.host) == ("mistral:7b", "", "127.0.0.1:11434")

    async def test_a_missing_key_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error names the provider's variable."""
        monkeypatch.delenv("GROQ_API_KEY", raising=False)
        model, name, server = choose("groq:m", {})
        with pytest.raises(ConfigError, match="GROQ_API_KEY is not set"):
            OpenAIModel(model, server, server_name=name).check_ready()


class TestKeys:
    """Headers with a key."""

    @pytest.mark.parametrize(
        ("settings", "headers"),
        [
            ({}, {"authorization": f"Bearer {KEY}"}),
            ({"key_header": "X-Portkey-Api-Key"}, {"x-portkey-api-key": KEY}),
        ],
    )
    async def test_the_header(self, settings: dict[str, Any], headers: dict[str, str]) -> None:
        """The key goes into the header of the settings, after Bearer only in `authorization`."""
        async with open_wire_server(completion(content="Hi.")) as server:
            model = OpenAIModel("m", Server(base_url=server.url, api_key=KEY, **settings))
            await model.respond(ModelRequest((Message("user", "Hi."),)))
            await model.aclose()
        got = server.requests[0].headers
        assert {name: value for name, value in got.items() if KEY in value} == headers

    def test_a_signed_key(self) -> None:
        """Zhipu's key signs a token, which stays the same for a while and is valid at its time."""
        server = Server(base_url="http://host", key_format="zhipu")
        token = key_headers(server, Key("id1.secret1", "code"), 1_800_000_123.0)["authorization"].removeprefix(
            "Bearer "
        )
        header, claims, signature = token.split(".")
        assert decode(header) == {"alg": "HS256", "sign_type": "SIGN"}
        read = decode(claims)
        assert read["api_key"] == "id1"
        assert read["timestamp"] <= 1_800_000_123_000 < read["exp"] - 15 * 60 * 1000
        wanted = hmac.new(b"secret1", f"{header}.{claims}".encode(), hashlib.sha256).digest()
        assert base64.urlsafe_b64decode(signature + "=") == wanted
        assert "secret1" not in token
        assert key_headers(server, Key("id1.secret1", "code"), 1_800_000_124.0)["authorization"].endswith(token)

    def test_a_key_that_cannot_sign(self) -> None:
        """A key of another form is refused without repeating the key."""
        server = Server(base_url="http://host", key_format="zhipu")
        with pytest.raises(ConfigError) as caught:
            key_headers(server, Key(KEY, "code"), 0.0)
        assert KEY not in caught.value.full_text


def decode(part: str) -> dict[str, Any]:
    """Decode a part of a token."""
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return value


@tool(inline=True)
def weather(city: str) -> str:
    """The weather."""
    return f"Sun in {city}."


@tool(inline=True)
def other() -> str:
    """Another tool."""
    return ""


class TestQuirks:
    """Requests in the dialect of a provider."""

    async def test_reasoning_goes_back_to_a_server_that_wants_it(self) -> None:
        """DeepSeek and GLM get the reasoning of earlier calls in every later request, even if empty; others do not.

        References: DeepSeek's guide "Thinking Mode", section on tool calls; GLM's, section "Interleaved thinking".
        """
        calls = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}]
        again = [{**calls[0], "id": "c2"}]
        replies = (
            completion(content="", reasoning_content="Look.", tool_calls=calls),
            completion(content="", tool_calls=again),
            completion(content="Sunny.", reasoning_content="Clear."),
            completion(content="Bye."),
        )
        for name in ("deepseek", "zai", "groq"):
            async with open_wire_server(*replies) as server:
                row = {key: value for key, value in PROVIDERS[name].items() if key not in ("title", "api_key_env")}
                settings = {"openai": {"servers": {"s": {**row, "base_url": server.url}}}}
                async with Runtime(settings=settings) as runtime:
                    agent = Agent("openai:s:m", tools=(weather,))
                    await runtime.run(agent, "Weather?", session="s")
                    await runtime.run(agent, "Thanks.", session="s")
                sent = [each for each in server.requests[-1].json()["messages"] if each["role"] == "assistant"]
            reasoning = [message.get("reasoning_content") for message in sent]
            assert reasoning == (["Look.", "", "Clear."] if name != "groq" else [None, None, None])

    async def test_names_of_fields(self) -> None:
        """The most tokens and a chosen tool are sent as the provider expects them."""
        settings = ModelSettings(max_tokens=9, seed=4)
        asked = ModelRequest((Message("user", "Hi."),), (weather,), "weather", settings=settings)
        bodies = {}
        for name in ("groq", "huggingface", "mistral"):
            _, _, known = choose(f"{name}:m", {})
            async with open_wire_server(completion(content="Hi.")) as server:
                model = OpenAIModel("m", attrs.evolve(known, base_url=server.url, api_key=KEY))
                await model.respond(asked)
                await model.aclose()
            bodies[name] = server.requests[0].json()
        assert (bodies["groq"]["max_completion_tokens"], bodies["huggingface"]["max_tokens"]) == (9, 9)
        assert (bodies["groq"]["seed"], bodies["mistral"]["random_seed"], bodies["mistral"].get("seed")) == (4, 4, None)
        assert bodies["groq"]["tool_choice"]["function"]["name"] == "weather"
        assert bodies["huggingface"]["tool_choice"] == "required"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_signature_of_a_call_goes_back(self, stream: bool) -> None:
        """Gemini gets the signature of its call in every later request, also of a call without arguments.

        Without it Gemini's newer models refuse the request: langgenius/dify-official-plugins#2088.
        """
        signed = {"google": {"thought_signature": "c2lnbmF0dXJl"}}
        call = {"index": 0, "id": "f1", "function": {"name": "other", "arguments": ""}, "extra_content": signed}
        row = {key: value for key, value in PROVIDERS["gemini"].items() if key not in ("title", "api_key_env")}
        for choice in ("name", "required"):
            make = chunks if stream else completion
            replies = (
                make(content="", tool_calls=[call]),
                make(content="Done."),
                make(content="Bye."),
                completion(content="Hi."),
            )
            async with open_wire_server(*replies) as server:
                settings = {"openai": {"servers": {"s": {**row, "base_url": server.url, "tool_choice": choice}}}}
                async with Runtime(settings=settings) as runtime:
                    agent = Agent("openai:s:m", tools=(other,))
                    for said in ("Do it.", "Thanks."):
                        await ask(runtime, agent, said, stream=stream)
                    await runtime.run(Agent("openai:s:another", tools=(other,)), "Hi.", session="s")
                bodies = [request.json()["messages"] for request in server.requests]
            calls = [message["tool_calls"][0] for body in bodies for message in body if "tool_calls" in message]
            assert [call.get("extra_content") for call in calls] == [signed, signed, None]

    @pytest.mark.parametrize("name", ["dashscope", "deepseek", "moonshot", "zai", "zhipu"])
    async def test_a_choice_in_words(self, name: str) -> None:
        """A provider that refuses to force a model that thinks gets the choice in words, and no other choice.

        Seen in deepseek-ai/DeepSeek-V3#1376, cloudwego/eino#994, AstrBotDevs/AstrBot#7805, vectorize-io/hindsight#4246.
        """
        _, _, known = choose(f"{name}:m", {})
        asked = {
            "required": "Call one of your tools now.",
            "weather": "Call the tool weather now.",
            "none": "Answer without calling a tool.",
        }
        async with open_wire_server(*[completion(content="Hi.")] * 4) as server:
            model = OpenAIModel("m", attrs.evolve(known, base_url=server.url, api_key="id1.secret0123456789"))
            for choice in (*asked, "auto"):
                await model.respond(ModelRequest((Message("user", "Hi."),), (weather, other), choice))
            await model.aclose()
        bodies = [request.json() for request in server.requests]
        assert {body["tool_choice"] for body in bodies} == {"auto"}
        assert [body["messages"][-1]["content"] for body in bodies] == [
            *(f"Hi.\n\n{words}" for words in asked.values()),
            "Hi.",
        ]
        assert [len(body["tools"]) for body in bodies] == [2, 1, 2, 2]

    async def test_an_output_type_without_a_choice(self) -> None:
        """DeepSeek gives a value of a type: the answer's tool is asked for in words, at the end of the conversation."""
        calls = [{"id": "c1", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}]
        answer = [{"id": "c2", "function": {"name": "final_answer", "arguments": '{"value": ["Oslo"]}'}}]
        row = {key: value for key, value in PROVIDERS["deepseek"].items() if key not in ("title", "api_key_env")}
        replies = (completion(content="", tool_calls=calls), completion(content="", tool_calls=answer))
        async with open_wire_server(*replies) as server:
            settings = {"openai": {"servers": {"s": {**row, "base_url": server.url}}}}
            async with Runtime(settings=settings) as runtime:
                got = await runtime.run(Agent("openai:s:m", tools=(weather,), output=list[str]), "Where is sun?")
        assert got.output == ["Oslo"]
        assert [request.json()["tool_choice"] for request in server.requests] == ["auto", "auto"]
        assert server.requests[-1].json()["messages"][-1] == {"role": "user", "content": "Call one of your tools now."}

    async def test_a_message_after_results(self) -> None:
        """Mistral refuses a message of the user behind results of tools, and gets an answer between the two.

        Seen in pipecat-ai/pipecat-flows#178 and datapizza-labs/datapizza-ai#98.
        """
        call = ToolCall("aB3dE6gH9", "weather", '{"city": "Oslo"}')
        result = Message("tool", "Sun.", (), call.id, "weather")
        conversation = (Message("user", "Hi."), Message("assistant", "", (call,)), result)
        roles = {}
        for name in ("mistral", "groq"):
            _, _, known = choose(f"{name}:m", {})
            async with open_wire_server(completion(content="Hi."), completion(content="Hi.")) as server:
                model = OpenAIModel("m", attrs.evolve(known, base_url=server.url, api_key=KEY))
                await model.respond(ModelRequest((*conversation, Message("user", "Wait.")), (weather,)))
                await model.respond(ModelRequest((*conversation, Message("assistant", "Sunny.")), (weather,)))
                await model.aclose()
            roles[name] = [[each["role"] for each in request.json()["messages"]] for request in server.requests]
        plain = ["user", "assistant", "tool", "assistant"]
        assert roles["mistral"] == [[*plain, "user"], plain]
        assert roles["groq"] == [[*plain[:3], "user"], plain]

    async def test_ids_of_calls(self) -> None:
        """Ids that a service refuses are replaced, alike in calls, results and later requests; others stay.

        Mistral: anomalyco/opencode#1680. OpenAI: "string too long", camel-ai/camel#2215.
        """
        own, foreign, long = "aB3dE6gH9", "toolu_01A09q90qw90lq917835lq9", "call_" + "x" * 60
        calls = tuple(ToolCall(id_, "weather", '{"city": "Oslo"}') for id_ in (own, foreign, long))
        results = [Message("tool", "Sun.", (), call.id, "weather") for call in calls]
        asked = ModelRequest((Message("user", "Hi."), Message("assistant", "", calls), *results), (weather,))
        sent = {}
        for name in ("mistral", "azure", "openrouter"):
            settings = {"servers": {"azure": {"base_url": "http://127.0.0.1/v1"}}}
            _, _, known = choose(f"{name}:m", settings)
            async with open_wire_server(completion(content="Hi."), completion(content="Hi.")) as server:
                model = OpenAIModel("m", attrs.evolve(known, base_url=server.url, api_key=KEY))
                await model.respond(asked)
                await model.respond(asked)
                await model.aclose()
            first, second = (request.json()["messages"] for request in server.requests)
            assert first == second
            sent[name] = [call["id"] for call in first[1]["tool_calls"]]
            assert [message["tool_call_id"] for message in first[2:]] == sent[name]
        assert sent["openrouter"] == [own, foreign, long]
        assert sent["azure"][:2] == [own, foreign]
        assert len(sent["azure"][2]) <= 40
        assert sent["mistral"][0] == own
        assert len(set(sent["mistral"])) == 3
        assert all(re.fullmatch("[a-zA-Z0-9]{9}", id_) for id_ in sent["mistral"])

    async def test_a_strict_server_names_the_refusal(self) -> None:
        """The error of a server that misses the reasoning reaches the caller in the server's words."""
        said = "The `reasoning_content` in the thinking mode must be passed back to the API."
        refusal = WireReply((json.dumps({"error": {"message": said, "code": "invalid_request_error"}}).encode(),), 400)
        history = (
            Message("user", "Hi."),
            Message("assistant", "", (ToolCall("c1", "x"),)),
            Message("tool", "", (), "c1", "x"),
        )
        async with open_wire_server(refusal) as server:
            model = OpenAIModel("m", base_url=server.url)
            with pytest.raises(ModelError, match="must be passed back") as caught:
                await model.respond(ModelRequest(history))
            await model.aclose()
        assert (caught.value.status, caught.value.retryable) == (400, False)
