"""Requests in the format of Converse, each checked by the validator of botocore against the service model.

Reference: Amazon Bedrock's API reference, "Converse", and the service model `bedrock-runtime` of botocore.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from typing import Any

import attrs
import botocore.loaders
import botocore.model
import botocore.serialize
import botocore.validate
import pytest
from agno_rt_bedrock.facts import Facts, known
from agno_rt_bedrock.wire import Dialect, model_path, request_bytes
from hypothesis import given
from hypothesis import strategies as st

from agno_rt import Message, ModelRequest, ModelSettings, Tool, tool
from agno_rt.errors import UsageError
from agno_rt.messages import Media, ToolCall
from agno_rt.wire.cache_marks import cache_marks

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CLAUDE = Dialect(model=MODEL, facts=known(MODEL))
PLAIN = Dialect(model="meta.llama3-1-70b-instruct-v1:0", facts=known("meta.llama3-1-70b-instruct-v1:0"))
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
SERVICE = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2"))


@tool
def weather(city: str) -> str:
    """Current weather in a city."""
    return city


@tool
def bare(city: str) -> str:
    return city


CALLED = (
    Message("user", "Weather?"),
    Message("assistant", "", (ToolCall("call_1", "weather", {"city": "Seoul"}),)),
    Message("tool", "Sun", (), "call_1", "weather"),
)


def build(request: ModelRequest, dialect: Dialect = CLAUDE, *, stream: bool = False) -> dict[str, Any]:
    """Return the body of the request, which botocore's validator has accepted."""
    body: dict[str, Any] = json.loads(request_bytes(request, dialect, stream=stream))
    operation = SERVICE.operation_model("ConverseStream" if stream else "Converse")
    report = botocore.validate.ParamValidator().validate({"modelId": dialect.model, **body}, operation.input_shape)
    assert not report.has_errors(), report.generate_report()
    # The validator checks no patterns.
    for name in re.findall(r'"toolUseId": *"([^"]*)"', json.dumps(body)):
        assert re.fullmatch(r"[a-zA-Z0-9_.:-]{1,64}", name)
    return body


def ask(text: str = "Hi.", **fields: Any) -> ModelRequest:
    """Return a request with one question."""
    return attrs.evolve(ModelRequest((Message("user", text),)), **fields)


def drop_marks(blocks: list[Any]) -> list[Any]:
    """Return the blocks without marks."""
    return [block for block in blocks if "cachePoint" not in block]


class TestPaths:
    """Paths of models."""

    @pytest.mark.parametrize(
        "model",
        [
            "amazon.nova-lite-v1:0",
            MODEL,
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
            "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
        ],
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_paths_are_botocores(self, model: str, stream: bool) -> None:
        """The id goes into the path as botocore writes it, with colons and slashes encoded."""
        serializer = botocore.serialize.create_serializer("rest-json")
        operation = SERVICE.operation_model("ConverseStream" if stream else "Converse")
        expected = serializer.serialize_to_request({"modelId": model}, operation)["url_path"]
        assert f"/{model_path(model, stream=stream)}" == expected

    @pytest.mark.parametrize("model", ["", "..", "../x", "a b", "a?b", "a" * 2049, "ä"])
    def test_other_texts_are_refused(self, model: str) -> None:
        """Only an id becomes a path."""
        with pytest.raises(UsageError, match="is not the id of a Bedrock model"):
            model_path(model, stream=False)


class TestConversations:
    """Messages and their blocks."""

    def test_a_whole_conversation(self) -> None:
        """System messages, questions, answers with calls and results have their places."""
        messages = (Message("system", "Be brief."), *CALLED, Message("assistant", "Sunny."), Message("user", "Thanks."))
        body = build(ModelRequest(messages, (weather,)), PLAIN)
        assert body["system"] == [{"text": "Be brief."}]
        assert body["messages"] == [
            {"role": "user", "content": [{"text": "Weather?"}]},
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "call_1", "name": "weather", "input": {"city": "Seoul"}}}],
            },
            {"role": "user", "content": [{"toolResult": {"toolUseId": "call_1", "content": [{"text": "Sun"}]}}]},
            {"role": "assistant", "content": [{"text": "Sunny."}]},
            {"role": "user", "content": [{"text": "Thanks."}]},
        ]
        assert list(body)[-1] == "messages"

    def test_roles_take_turns(self) -> None:
        """Messages of one role in a row are one message, and blank ones are left out."""
        messages = [Message("user", "A"), Message("user", " \n"), Message("user", "B"), Message("assistant", "C")]
        messages += [Message("assistant", ""), Message("assistant", "D"), Message("system", " "), Message("user", "E")]
        body = build(ModelRequest(messages), PLAIN)
        said = [(each["role"], [block["text"] for block in each["content"]]) for each in body["messages"]]
        assert said == [("user", ["A", "B"]), ("assistant", ["C", "D"]), ("user", ["E"])]
        assert "system" not in body

    def test_arguments_are_an_object(self) -> None:
        """Arguments that are broken, or not an object, are sent as an empty object, and whole ones byte for byte."""
        for arguments, sent in {"{half": {}, "[1]": {}, "": {}, '{"a": 1.50}': {"a": 1.5}}.items():
            calls = (ToolCall("c", "weather", arguments),)
            body = build(ModelRequest((Message("user", "Q"), Message("assistant", "", calls)), (weather,)), PLAIN)
            assert body["messages"][1]["content"][0]["toolUse"]["input"] == sent
        raw = request_bytes(ModelRequest((Message("user", "Q"), Message("assistant", "", calls))), PLAIN, stream=False)
        assert b'{"a": 1.50}' in raw

    def test_ids_of_other_services(self) -> None:
        """Ids outside the pattern become digests, the same for call and result."""
        for id_ in ("", "a b", "x" * 65, "call_ä"):
            messages = (
                Message("user", "Q"),
                Message("assistant", "", (ToolCall(id_, "weather", {}),)),
                Message("tool", "R", (), id_),
            )
            body = build(ModelRequest(messages, (weather,)), PLAIN)
            sent = body["messages"][1]["content"][0]["toolUse"]["toolUseId"]
            assert sent == body["messages"][2]["content"][0]["toolResult"]["toolUseId"]

    def test_a_result_without_content(self) -> None:
        """A blank result has words, because the service wants a block, and no blank one."""
        messages = (*CALLED[:2], Message("tool", "", (), "call_1", "weather"))
        body = build(ModelRequest(messages, (weather,)), PLAIN)
        [block] = body["messages"][2]["content"]
        assert block["toolResult"]["content"] == [{"text": "(no output)"}]

    def test_half_characters(self) -> None:
        """Half a surrogate pair is replaced, and the request goes out."""
        assert build(ask("a\ud800b"), PLAIN)["messages"][0]["content"] == [{"text": "a\ufffdb"}]


class TestMedia:
    """Images, documents, videos and sounds."""

    def test_images_and_results_with_media(self) -> None:
        """Images go as bytes between the texts, in results of tools, too."""
        image = Media("image", "image/png", PIXEL)
        encoded = {"image": {"format": "png", "source": {"bytes": base64.b64encode(PIXEL).decode()}}}
        messages = (
            Message("user", ("Before.", image, "After.")),
            *CALLED[1:2],
            Message("tool", ("See:", image), (), "call_1", "weather"),
        )
        body = build(ModelRequest(messages, (weather,)), PLAIN)
        assert body["messages"][0]["content"] == [{"text": "Before."}, encoded, {"text": "After."}]
        assert body["messages"][2]["content"][0]["toolResult"]["content"] == [{"text": "See:"}, encoded]

    def test_documents(self) -> None:
        """Names have only allowed letters and differ; a document alone has words beside it; texts are inlined."""
        pdfs = [
            Media("file", "application/pdf", b"%PDF-1", name=name) for name in ("a_b.c.pdf", "a.b c.pdf", None, "ä")
        ]
        body = build(ModelRequest((Message("user", tuple(pdfs)),)), PLAIN)
        *documents, words = body["messages"][0]["content"]
        names = [each["document"]["name"] for each in documents]
        assert names == ["a b c", "a b c (2)", "document", "document (2)"]
        assert words == {"text": "See the document."}
        notes = Media("file", "text/markdown", b"# Notes", name="notes.md")
        content = build(ModelRequest((Message("user", (pdfs[0], notes)),)), PLAIN)["messages"][0]["content"]
        assert [next(iter(block)) for block in content] == ["document", "text"]
        assert "# Notes" in content[1]["text"]

    @pytest.mark.parametrize(
        ("media_type", "kind", "format_"),
        [
            ("video/mp4", "video", "mp4"),
            ("video/3gpp", "video", "three_gp"),
            ("audio/wav", "audio", "wav"),
            ("audio/mpeg", "audio", "mp3"),
            ("image/webp", "image", "webp"),
        ],
    )
    def test_formats(self, media_type: str, kind: str, format_: str) -> None:
        """Each type has the format's name in the reference, and S3 is a source."""
        media = Media("video", media_type, None, "s3://bucket/key")
        [_, block] = build(ModelRequest((Message("user", ("Look.", media)),)), PLAIN)["messages"][0]["content"]
        assert block == {kind: {"format": format_, "source": {"s3Location": {"uri": "s3://bucket/key"}}}}

    @pytest.mark.parametrize(
        ("message", "match"),
        [
            (Message("user", (Media("image", "image/bmp", b"BM"),)), "cannot be sent as image/bmp"),
            (Message("user", (Media("image", "image/png", None, "https://x.example/a.png"),)), "from S3 alone"),
            (Message("assistant", (Media("image", "image/png", PIXEL),)), "role assistant"),
            (Message("system", (Media("image", "image/png", PIXEL),)), "role system"),
        ],
    )
    def test_media_outside_the_format(self, message: Message, match: str) -> None:
        """Other media are refused with a remedy, before anything is sent."""
        with pytest.raises(UsageError, match=match) as caught:
            request_bytes(ModelRequest((message,)), PLAIN, stream=False)
        assert caught.value.hint


class TestTools:
    """Tools, and the rules for `toolConfig`."""

    def test_no_tools(self) -> None:
        """An agent without tools sends no `toolConfig`: the service refuses an empty list."""
        assert "toolConfig" not in build(ask())

    def test_descriptions(self) -> None:
        """A tool without a docstring has no description: the service refuses a blank one."""
        assert not bare.description.strip()
        specs = [each["toolSpec"] for each in build(ask(tools=(weather, bare)), PLAIN)["toolConfig"]["tools"]]
        assert [spec.get("description") for spec in specs] == ["Current weather in a city.", None]
        assert specs[0]["inputSchema"]["json"] == weather.parameters

    def test_calls_without_tools(self) -> None:
        """A conversation with calls that goes on without tools declares them, and asks for an answer without a call."""
        for request in (ModelRequest(CALLED), ModelRequest((*CALLED, Message("user", "Sum up.")))):
            body = build(request)
            specs = [each["toolSpec"] for each in drop_marks(body["toolConfig"]["tools"])]
            assert [spec["name"] for spec in specs] == ["weather"]
            assert "toolChoice" not in body["toolConfig"]
            assert body["messages"][-1]["content"][-1] == {"text": "Answer without calling a tool."}

    def test_forced_calls(self) -> None:
        """The configuration has the choice for a model with forced calls."""
        for choice, sent in {"required": {"any": {}}, "weather": {"tool": {"name": "weather"}}}.items():
            body = build(ask(tools=(weather,), tool_choice=choice))
            assert body["toolConfig"]["toolChoice"] == sent
            assert body["messages"][0]["content"][0] == {"text": "Hi."}
        assert "toolChoice" not in build(ask(tools=(weather,)))["toolConfig"]

    @pytest.mark.parametrize("dialect", [PLAIN, attrs.evolve(CLAUDE, facts=attrs.evolve(CLAUDE.facts, thinking=2_000))])
    def test_calls_asked_for_in_words(self, dialect: Dialect) -> None:
        """A model without forced calls, and a thinking model, is asked at the end of the question."""
        for choice, words in {"required": "one of your tools", "weather": "the tool weather"}.items():
            body = build(ask(tools=(weather,), tool_choice=choice), dialect)
            assert "toolChoice" not in body["toolConfig"]
            assert words in body["messages"][-1]["content"][-1]["text"]

    def test_no_calls_wanted(self) -> None:
        """Without calls in the conversation the tools are left out; with calls they stay, and words forbid them."""
        assert "toolConfig" not in build(ask(tools=(weather,), tool_choice="none"))
        body = build(ModelRequest(CALLED, (weather,), tool_choice="none"))
        assert drop_marks(body["toolConfig"]["tools"])[0]["toolSpec"]["description"]
        assert body["messages"][-1]["content"][-1] == {"text": "Answer without calling a tool."}


class TestCaching:
    """Marks for the cache."""

    MESSAGES = (Message("system", "S"), *CALLED, Message("assistant", "Sunny."), Message("user", "And Oslo?"))

    def test_marks(self) -> None:
        """Tools, system prompt, the end of the previous request and the last message have a mark: four in all."""
        body = build(ModelRequest(self.MESSAGES, (weather,)))
        point = {"cachePoint": {"type": "default"}}
        assert body["toolConfig"]["tools"][1:] == [point]
        assert body["system"][1:] == [point]
        assert [each["content"][1:] for each in body["messages"]] == [[], [], [point], [], [point]]
        assert json.dumps(body).count("cachePoint") == 4
        assert cache_marks(self.MESSAGES) == (0, 3, 5)

    def test_marks_within_joined_messages(self) -> None:
        """A mark stands behind its own message, also where the next message is joined to it."""
        messages = (Message("user", "A"), Message("assistant", ""), Message("user", "B"))
        content = build(ModelRequest(messages))["messages"][0]["content"]
        assert [next(iter(block)) for block in content] == ["text", "cachePoint", "text", "cachePoint"]

    def test_lifetimes_and_models(self) -> None:
        """An hour is said, `off` and models without a cache have no marks, Nova has none behind tools."""
        request = ModelRequest(self.MESSAGES, (weather,))
        hour = build(request, attrs.evolve(CLAUDE, cache="1h"))
        assert hour["system"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
        for dialect in (attrs.evolve(CLAUDE, cache="off"), PLAIN):
            assert "cachePoint" not in json.dumps(build(request, dialect))
        nova = build(request, Dialect(model="amazon.nova-lite-v1:0", facts=known("amazon.nova-lite-v1:0")))
        assert "cachePoint" not in json.dumps(nova["toolConfig"])
        assert "cachePoint" in json.dumps(nova["system"])

    def test_words_about_tools_stand_behind_the_mark(self) -> None:
        """Words that the next request does not repeat are not part of a marked prefix."""
        content = build(ModelRequest(CALLED))["messages"][-1]["content"]
        assert [next(iter(block)) for block in content] == ["toolResult", "cachePoint", "text"]


class TestSettings:
    """Parameters of the answer."""

    def test_parameters(self) -> None:
        """Tokens, temperature and stops have their names; a temperature of 0 is sent; a seed is not."""
        settings = ModelSettings(temperature=0.0, max_tokens=64, seed=1, stop=("END",))
        body = build(ask(settings=settings))
        assert body["inferenceConfig"] == {"maxTokens": 64, "temperature": 0.0, "stopSequences": ["END"]}
        assert "inferenceConfig" not in build(ask())

    def test_thinking(self) -> None:
        """A budget goes to the model with room for the answer, and excludes a temperature."""
        facts = attrs.evolve(CLAUDE.facts, thinking=2_000, max_tokens=500)
        dialect = attrs.evolve(CLAUDE, facts=facts)
        body = build(ask(settings=ModelSettings(temperature=0.5)), dialect)
        assert body["inferenceConfig"] == {"maxTokens": 2_500}
        assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2_000}}
        with pytest.raises(UsageError, match="may think for 2000 tokens, and answer with 100"):
            build(ask(settings=ModelSettings(max_tokens=100)), dialect)
        for choice, type_ in ((Facts(thinking="adaptive"), "adaptive"), (Facts(thinking="off"), "disabled")):
            facts = choice.over(attrs.evolve(CLAUDE.facts, effort="low"))
            body = build(ask(), attrs.evolve(CLAUDE, facts=facts))
            assert body["additionalModelRequestFields"] == {"thinking": {"type": type_}}
            assert body["outputConfig"] == {"effort": "low"}

    def test_models_without_a_temperature(self) -> None:
        """No temperature goes to a model without one."""
        facts = known("global.anthropic.claude-opus-4-7")
        body = build(ask(settings=ModelSettings(temperature=0.0, max_tokens=9)), attrs.evolve(CLAUDE, facts=facts))
        assert body["inferenceConfig"] == {"maxTokens": 9}

    def test_output(self) -> None:
        """A schema goes along as text within the subset, and in words beyond the subset."""
        schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}
        sent = build(ask(output=schema))["outputConfig"]["textFormat"]
        assert sent["type"] == "json_schema"
        fitted = json.loads(sent["structure"]["jsonSchema"]["schema"])
        assert fitted["additionalProperties"] is False
        assert "minimum" not in fitted["properties"]["n"]
        body = build(ask(output={"type": "object", "additionalProperties": {"type": "integer"}}))
        assert "outputConfig" not in body
        assert "JSON Schema" in body["system"][0]["text"]

    def test_fields_of_the_body(self) -> None:
        """Fields of the settings and of one request are joined key by key; the nearer wins, and `None` removes."""
        dialect = attrs.evolve(
            PLAIN,
            body={
                "serviceTier": {"type": "flex"},
                "additionalModelRequestFields": {"top_k": 40},
                "inferenceConfig": {"topP": 0.5},
            },
        )
        extra = {"additionalModelRequestFields": {"top_k": 5, "a": 1}, "serviceTier": None}
        body = build(ask(settings=ModelSettings(max_tokens=9, extra=extra)), dialect)
        assert body["inferenceConfig"] == {"maxTokens": 9, "topP": 0.5}
        assert body["additionalModelRequestFields"] == {"top_k": 5, "a": 1}
        assert "serviceTier" not in body
        assert list(body)[-1] == "messages"

    def test_guardrails(self) -> None:
        """A guardrail goes along; the mode of streams stays out of whole requests, which refuse it."""
        guardrail = {"guardrailIdentifier": "gr123", "guardrailVersion": "1", "streamProcessingMode": "async"}
        dialect = attrs.evolve(PLAIN, body={"guardrailConfig": guardrail})
        assert build(ask(), dialect, stream=True)["guardrailConfig"] == guardrail
        assert "streamProcessingMode" not in build(ask(), dialect)["guardrailConfig"]
        assert "streamProcessingMode" in guardrail

    def test_values_outside_json(self) -> None:
        """An object in `extra` outside JSON is an error with the place."""
        with pytest.raises(UsageError, match="cannot be written as JSON") as caught:
            request_bytes(ask(settings=ModelSettings(extra={"a": object()})), PLAIN, stream=False)
        assert "extra" in caught.value.hint


class TestFacts:
    """Facts about models."""

    @pytest.mark.parametrize(
        "model",
        [
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            MODEL,
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0",
        ],
    )
    def test_places_do_not_count(self, model: str) -> None:
        """A model is the same in each place, and by its ARN."""
        assert known(model) == known("anthropic.claude-sonnet-4-5")

    def test_families(self) -> None:
        """The longest beginning counts; unknown models have no facts."""
        assert known("anthropic.claude-3-haiku-20240307-v1:0").caches is None
        assert known("us.anthropic.claude-3-7-sonnet-20250219-v1:0").caches
        assert known("amazon.nova-micro-v1:0").media == ()
        assert known("meta.llama3-1-70b-instruct-v1:0") == Facts()
        assert known("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc") == Facts()


TEXTS = st.sampled_from(["", " ", "Hello.", "\n", "Grüße"])
CALLS = st.lists(
    st.builds(
        ToolCall,
        st.sampled_from(["call_1", "a b", "", "x" * 70]),
        st.sampled_from(["weather", "odd name!", "bare"]),
        st.sampled_from(["{}", '{"city": "Seoul"}', "{half", "[1]"]),
    ),
    max_size=2,
).map(tuple)
MESSAGES = st.lists(
    st.one_of(
        st.builds(Message, st.sampled_from(["user", "system"]), TEXTS),
        st.builds(Message, st.just("assistant"), TEXTS, CALLS),
        st.builds(lambda text: Message("tool", text, (), "call_1", "weather"), TEXTS),
    ),
    max_size=8,
)


@given(
    before=MESSAGES,
    tools=st.sampled_from([(), (weather,), (weather, bare)]),
    choice=st.sampled_from(["auto", "none", "required", "weather"]),
    dialect=st.sampled_from([CLAUDE, PLAIN]),
)
def test_every_conversation_keeps_the_rules(
    before: list[Message], tools: tuple[Tool, ...], choice: str, dialect: Dialect
) -> None:
    """Roles take turns, no message and no text is blank, and calls never go out without a `toolConfig`."""
    body = build(ModelRequest((*before, Message("user", "Hi.")), tools, tool_choice=choice), dialect)
    roles = [message["role"] for message in body["messages"]]
    assert all(first != second for first, second in itertools.pairwise(roles))
    blocks = [block for message in body["messages"] for block in message["content"]]
    assert all(message["content"] for message in body["messages"])
    assert all(block["text"].strip() for block in (*blocks, *body.get("system", ())) if "text" in block)
    has_blocks = any("toolUse" in block for block in blocks)
    config = body.get("toolConfig")
    assert config is not None or not has_blocks
    assert config is None or all(
        spec.get("description", "-").strip() for spec in (each["toolSpec"] for each in drop_marks(config["tools"]))
    )
    assert json.dumps(body).count('"cachePoint"') <= 4


def test_a_conversation_that_begins_with_an_answer() -> None:
    """A message of the user stands before the first answer, which a bound on the history may make the first message.

    The service says: "A conversation must start with a user message" (strands-agents/harness-sdk#2085).
    """
    cut = (Message("system", "Be brief."), *CALLED[1:], Message("assistant", "Sunny."), Message("user", "Thanks."))
    body = build(ModelRequest(cut, (weather,)))
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    assert drop_marks(body["messages"][0]["content"]) == [{"text": "(Earlier messages are left out.)"}]
    assert "toolUse" in body["messages"][1]["content"][0]
