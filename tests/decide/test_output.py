"""Output forms: the request for a type and the reading of an answer, in each of the three modes."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

import attrs
import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt._decide.output_form import Misfit, OutputForm, output_form
from agno_rt.errors import UsageError
from agno_rt.messages import Media, Message, ToolCall
from agno_rt.models import ModelRequest, ModelResponse, OutputMode
from agno_rt.output import Output
from agno_rt.tools import ToolArgumentError, tool

MODES: tuple[OutputMode, ...] = ("schema", "tool", "prompt")
T = TypeVar("T")


@attrs.define
class Line:
    """One line of an invoice."""

    what: str
    price: float = attrs.field(validator=attrs.validators.gt(0))


@attrs.define
class Invoice:
    """A bill."""

    customer: str
    lines: list[Line]
    paid: bool = False


@dataclasses.dataclass
class Refusal:
    """A reason to refuse."""

    reason: str


class Options(TypedDict):
    """A dictionary of known keys."""

    loud: bool
    times: NotRequired[int]


class Pair(NamedTuple):
    """Two related values."""

    left: int
    right: str = "r"


class Cat(msgspec.Struct, tag="cat"):
    """A class with a tag."""

    lives: int


class Dog(msgspec.Struct, tag="dog"):
    """Another class with a tag."""

    tricks: list[str]


class Colour(enum.Enum):
    """A closed choice."""

    RED = "red"
    BLUE = "blue"


@attrs.define
class Page(Generic[T]):
    """A page of items."""

    items: list[T]
    more: bool = False


@attrs.define
class Part:
    """A class with parts of the same class."""

    name: str
    parts: list[Part] = attrs.Factory(list)


@dataclasses.dataclass
class Plus:
    """A sum of numbers or sums."""

    left: Plus | Number
    right: Plus | Number


@dataclasses.dataclass
class Number:
    """The end of a sum."""

    value: int


def form_of(type_: Any, mode: OutputMode = "schema", **said: Any) -> OutputForm:
    """Make the form of a type."""
    return output_form(Output(type_, **said), mode)


KINDS: list[tuple[Any, str, Any]] = [
    (Invoice, '{"customer": "A", "lines": [{"what": "x", "price": 2}]}', Invoice("A", [Line("x", 2.0)])),
    (Refusal, '{"reason": "none"}', Refusal("none")),
    (Options, '{"loud": true}', {"loud": True}),
    (Pair, "[1]", Pair(1)),
    (Cat, '{"type": "cat", "lives": 9}', Cat(9)),
    (Cat | Dog, '{"type": "dog", "tricks": ["sit"]}', Dog(["sit"])),
    (Invoice | Refusal, '{"reason": "none"}', Refusal("none")),
    (list[Invoice | Refusal], '[{"reason": "a"}, {"customer": "A", "lines": []}]', [Refusal("a"), Invoice("A", [])]),
    (Colour, '"blue"', Colour.BLUE),
    (Literal["yes", "no", 3], "3", 3),
    (int, "5", 5),
    (bool, "true", True),
    (float, "5", 5.0),
    (dt.datetime, '"2024-01-31T12:30:00Z"', dt.datetime(2024, 1, 31, 12, 30, tzinfo=dt.UTC)),
    (dt.date, '"2024-01-31"', dt.date(2024, 1, 31)),
    (decimal.Decimal, '"12.50"', decimal.Decimal("12.50")),
    (decimal.Decimal, "12.50", decimal.Decimal("12.50")),
    (uuid.UUID, '"9f6c2c4e-3a51-4f0e-8a67-5d1c0e7b2a90"', uuid.UUID("9f6c2c4e-3a51-4f0e-8a67-5d1c0e7b2a90")),
    (int | None, "null", None),
    (Invoice | None, "null", None),
    (list[int], "[1, 2]", [1, 2]),
    (dict[str, list[int]], '{"a": [1]}', {"a": [1]}),
    (dict[dt.date, int], '{"2024-01-31": 1}', {dt.date(2024, 1, 31): 1}),
    (tuple[int, str], '[1, "a"]', (1, "a")),
    (set[str], '["a", "a"]', {"a"}),
    (Page[int], '{"items": [1]}', Page([1])),
    (Page[Cat | Refusal], '{"items": [{"reason": "x"}]}', Page([Refusal("x")])),
    (Part, '{"name": "a", "parts": [{"name": "b"}]}', Part("a", [Part("b")])),
    (
        Plus,
        '{"left": {"value": 1}, "right": {"left": {"value": 2}, "right": {"value": 3}}}',
        Plus(Number(1), Plus(Number(2), Number(3))),
    ),
    (Annotated[int, msgspec.Meta(ge=1)], "1", 1),
    (str | int, '"x"', "x"),
    (Any, '{"a": 1}', {"a": 1}),
]


class TestTypes:
    """Types of outputs."""

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize(("type_", "text", "value"), KINDS)
    def test_each_is_asked_for_and_read(self, type_: Any, text: str, value: Any, mode: OutputMode) -> None:
        """An answer valid by the schema is read as the type, wrapped or not."""
        form = form_of(type_, mode)
        assert form.schema is not None
        assert form.schema["type"] == "object"
        jsonschema.Draft202012Validator.check_schema(form.schema)
        wrapped = set(form.schema.get("properties", ())) == {"value"}
        answer = f'{{"value": {text}}}' if wrapped else text
        jsonschema.validate(json.loads(answer), form.schema)

        assert form.read(answer)[1] == value
        assert form.read(text)[1] == value
        assert type(form.read(answer)[1]) is type(value)

    def test_text_is_free(self) -> None:
        """`str` adds nothing to the request, and accepts any text."""
        form = form_of(str)
        request = form.ask(ModelRequest((Message("user", "Hi"),)))

        assert (request.output, request.tools, len(request.messages)) == (None, (), 1)
        assert form.read("[1, not JSON") == ("[1, not JSON", "[1, not JSON")

    def test_what_json_cannot_carry(self) -> None:
        """A type unknown to JSON is a `UsageError` when the form is made."""
        with pytest.raises(UsageError, match=r"output type .*complex") as caught:
            form_of(complex)
        with pytest.raises(UsageError, match=r"output type .*text"):
            form_of(dict[bytes | None, int])

        assert type(caught.value) is UsageError

    def test_the_order_of_a_union_is_kept(self) -> None:
        """The first matching alternative is taken, even though the two unions are equal."""
        text = '"2024-01-31"'

        assert form_of(dt.date | str).read(text)[1] == dt.date(2024, 1, 31)
        assert form_of(str | dt.date).read(text)[1] == "2024-01-31"

    def test_an_alternative_that_loses_nothing_goes_first(self) -> None:
        """An alternative with all fields of the answer overrides an earlier one without."""

        @attrs.define
        class Small:
            name: str

        @attrs.define
        class Large:
            name: str
            size: int = 0

        assert form_of(Small | Large).read('{"name": "x", "size": 3}')[1] == Large("x", 3)
        assert form_of(Small | Large).read('{"name": "x"}')[1] == Small("x")


class TestOutputValue:
    """`Output`, the long form of an agent's output."""

    def test_defaults(self) -> None:
        """A bare type means default mode, attempts and no check."""
        assert Output(int) == Output(int, None, 3, None)

    @pytest.mark.parametrize(
        ("said", "complaint"),
        [({"mode": "xml"}, "no output mode 'xml'"), ({"attempts": 0}, "0 attempts"), ({"check": 5}, "check is 5")],
    )
    def test_nonsense(self, said: dict[str, Any], complaint: str) -> None:
        """An invalid option is refused with a hint."""
        with pytest.raises(UsageError, match=complaint) as caught:
            Output(int, **said)

        assert caught.value.hint


class TestBySchema:
    """Models bound to a JSON Schema."""

    def test_the_request_has_the_schema(self) -> None:
        """The request has the schema, and keeps messages and tools."""
        form = form_of(Invoice)
        request = form.ask(ModelRequest((Message("user", "Hi"),), (lookup,)))

        assert request.output is form.schema
        assert (request.tools, request.tool_choice, len(request.messages)) == ((lookup,), "auto", 1)

    def test_what_is_no_object_is_wrapped(self) -> None:
        """A schema other than an object's is wrapped, because some services accept only objects."""
        assert form_of(list[int]).schema == {
            "type": "object",
            "properties": {"value": {"type": "array", "items": {"type": "integer"}}},
            "required": ["value"],
            "additionalProperties": False,
        }
        assert form_of(Invoice | Refusal).schema == {
            "type": "object",
            "properties": {"value": {"anyOf": [{"$ref": "#/$defs/Invoice"}, {"$ref": "#/$defs/Refusal"}]}},
            "required": ["value"],
            "additionalProperties": False,
            "$defs": {
                "Invoice": {
                    "type": "object",
                    "description": "A bill.",
                    "properties": {
                        "customer": {"type": "string"},
                        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
                        "paid": {"type": "boolean", "default": False},
                    },
                    "required": ["customer", "lines"],
                },
                "Line": {
                    "type": "object",
                    "description": "One line of an invoice.",
                    "properties": {"what": {"type": "string"}, "price": {"type": "number"}},
                    "required": ["what", "price"],
                },
                "Refusal": {
                    "type": "object",
                    "description": "A reason to refuse.",
                    "properties": {"reason": {"type": "string"}},
                    "required": ["reason"],
                },
            },
        }

    def test_the_content_is_the_value_alone(self) -> None:
        """The content is the value without the wrapping."""
        assert form_of(list[int]).read(' {"value": [1,  2]} ') == ("[1,  2]", [1, 2])
        assert form_of(list[int]).read("[1, 2]") == ("[1, 2]", [1, 2])

    def test_a_response_is_left_alone(self) -> None:
        """A response with calls stays unchanged, unlike in mode `tool`."""
        response = ModelResponse(tool_calls=(ToolCall("1", "final_answer"),))

        assert form_of(int).received(response) is response


@tool
def lookup(word: str) -> str:
    """Look a word up."""
    return word


class TestByTool:
    """Models that answer by a tool call."""

    def test_the_tool_takes_the_schema(self) -> None:
        """The tool has the type's schema as parameters, and the model must call a tool."""
        form = form_of(Refusal, "tool")
        request = form.ask(ModelRequest((), (lookup,)))

        assert form.tool is not None
        assert form.tool.name == "final_answer"
        assert form.tool.parameters == form.schema
        assert (request.tool_choice, request.output) == ("required", None)

    @pytest.mark.parametrize(
        ("choice", "asked"), [("auto", "required"), ("required", "required"), ("lookup", "lookup")]
    )
    def test_a_choice_that_was_made_is_kept(self, choice: str, asked: str) -> None:
        """A choice of a specific tool is kept."""
        request = form_of(int, "tool").ask(ModelRequest((), (lookup,), choice))

        assert request.tool_choice == asked

    def test_no_tool_but_the_answer(self) -> None:
        """A model with tool choice none still gets the answer's tool."""
        form = form_of(int, "tool")
        request = form.ask(ModelRequest((), (lookup,), "none"))

        assert (request.tools, request.tool_choice) == ((form.tool,), "required")

    def test_a_name_that_is_taken(self) -> None:
        """The answer's tool avoids names of the agent's tools."""
        form = output_form(Output(int), "tool", {"final_answer", "final_answer_"})

        assert form.tool is not None
        assert form.tool.name == "final_answer__"

    def test_its_call_is_the_answer(self) -> None:
        """A call of the answer's tool becomes the content, and so do two equal calls."""
        form = form_of(list[int], "tool")
        call = ToolCall("1", "final_answer", '{"value": [1]}')
        expected = ModelResponse('{"value": [1]}', reasoning="So be it.", finish_reason="stop")

        for calls in ((call,), (call, attrs.evolve(call, id="2"))):
            response = ModelResponse("Here you are.", calls, "So be it.", finish_reason="tool_calls")
            assert form.received(response) == expected
        assert form.read(expected.content) == ("[1]", [1])

    @pytest.mark.parametrize(
        "others",
        [[ToolCall("2", "lookup")], [ToolCall("2", "final_answer", '{"value": [2]}')]],
        ids=["another tool", "another answer"],
    )
    def test_beside_other_calls_it_waits(self, others: list[ToolCall]) -> None:
        """An answer beside other calls is not taken, because their results are missing. The model is told so."""
        form = form_of(list[int], "tool")
        response = ModelResponse(tool_calls=[ToolCall("1", "final_answer", '{"value": [1]}'), *others])

        assert form.received(response) is response
        assert form.tool is not None
        assert form.tool.decode("anything") == {}
        assert "Not taken" in form.tool()

    def test_a_call_that_was_cut_off(self) -> None:
        """The finish reason of a cut call is kept."""
        response = ModelResponse(tool_calls=[ToolCall("1", "final_answer", '{"val')], finish_reason="length")

        assert form_of(int, "tool").received(response).finish_reason == "length"

    def test_text_and_other_calls_pass(self) -> None:
        """Text and calls of other tools stay unchanged, and a text answer is valid."""
        form = form_of(list[int], "tool")
        for response in (ModelResponse("[1]"), ModelResponse(tool_calls=[ToolCall("1", "lookup")])):
            assert form.received(response) is response
        assert form.read("[1]")[1] == [1]

    def test_no_arguments(self) -> None:
        """A call without arguments is an answer without fields."""
        form = form_of(Options, "tool")
        response = form.received(ModelResponse(tool_calls=[ToolCall("1", "final_answer", "")]))

        with pytest.raises(Misfit, match="missing required field `loud`"):
            form.read(response.content)


class TestByPrompt:
    """Models that get the schema in words."""

    def test_the_words_end_the_system_message(self) -> None:
        """The schema follows the instructions in the system message. The original messages stay unchanged."""
        system, user = Message("system", "Be brief."), Message("user", "Hi")
        form = form_of(Refusal, "prompt")
        request = form.ask(ModelRequest((system, user)))

        assert request.output is None
        assert request.messages[0].text.startswith("Be brief.\n\n")
        assert json.loads(request.messages[0].text.splitlines()[-1]) == form.schema
        assert request.messages[1:] == (user,)
        assert system.content == "Be brief."

    def test_without_a_system_message_there_is_one(self) -> None:
        """A conversation without instructions gets a system message."""
        request = form_of(int, "prompt").ask(ModelRequest((Message("user", "Hi"),)))

        assert [message.role for message in request.messages] == ["system", "user"]

    def test_a_system_message_of_parts(self) -> None:
        """Media in the instructions keep their place."""
        picture = Media("image", "image/png", b"x")
        request = form_of(int, "prompt").ask(ModelRequest((Message("system", ("Look:", picture)),)))

        assert request.messages[0].content[:2] == ("Look:", picture)
        assert "JSON Schema" in request.messages[0].text

    @pytest.mark.parametrize(
        "text",
        [
            '{"reason": "r"}',
            'Sure! Here it is:\n```json\n{"reason": "r"}\n```\nAnything else?',
            '```\n{"reason": "r"}\n```',
            '<answer>{"reason": "r"}</answer>',
            'As {you} asked [sic]: {"reason": "r"}',
        ],
    )
    def test_words_around_the_answer(self, text: str) -> None:
        """The only JSON value among words is the answer."""
        assert form_of(Refusal, "prompt").read(text) == ('{"reason": "r"}', Refusal("r"))

    def test_words_around_a_wrapped_answer(self) -> None:
        """A plain value among words is read, wrapped or in a code fence."""
        for text in ('It is {"value": 5}.', "It is\n```json\n5\n```"):
            assert form_of(int, "prompt").read(text) == ("5", 5)


class TestMisfit:
    """Faults of an answer, as told to the model."""

    def test_every_fault_has_its_place(self) -> None:
        """Every fault is listed with its place, so that the model can mend all at once."""
        with pytest.raises(Misfit) as caught:
            form_of(Invoice).read('{"lines": [{"what": 1, "price": "x"}, {"wat": "y", "price": 1}], "paid": 0}')

        assert str(caught.value) == (
            "Object missing required field `customer`; "
            "Expected `str`, got `int` - at `$.lines[0].what`; "
            "Expected `float`, got `str` - at `$.lines[0].price`; "
            "Object missing required field `what` (`wat` is not a field of it) - at `$.lines[1]`; "
            "Expected `bool`, got `int` - at `$.paid`"
        )

    def test_a_place_is_the_one_that_the_model_wrote(self) -> None:
        """Places begin with `value` for a wrapped answer only."""
        form = form_of(list[int])
        with pytest.raises(Misfit, match=r"got `str` - at `\$\.value\[1\]`$"):
            form.read('{"value": [1, "x"]}')
        with pytest.raises(Misfit, match=r"got `str` - at `\$\[1\]`$"):
            form.read('[1, "x"]')
        with pytest.raises(Misfit, match=r"unknown field `more`"):
            form.read('{"value": [1], "more": 1}')
        with pytest.raises(Misfit, match=r"^Expected `array`, got `object`$"):
            form.read("{}")

    def test_a_union(self) -> None:
        """Each plausible alternative of a union has a reason."""
        with pytest.raises(Misfit) as caught:
            form_of(Invoice | Refusal).read('{"value": {"custom": "A"}}')

        assert "not Invoice: " in str(caught.value)
        assert "not Refusal: Object missing required field `reason`" in str(caught.value)
        assert str(caught.value).endswith(" - at `$.value`")

    def test_a_validator_of_the_class(self) -> None:
        """A refusal by the class's validator is told with its place."""
        with pytest.raises(Misfit, match=r"'price' must be > 0: -1.*`\$\.lines\[0\]`"):
            form_of(Invoice).read('{"customer": "A", "lines": [{"what": "x", "price": -1}]}')

    def test_a_validator_within_a_union(self) -> None:
        """A refusal by a validator inside a union is told."""
        with pytest.raises(Misfit, match=r"'price' must be > 0: -1"):
            form_of(list[Line | Refusal]).read('{"value": [{"what": "x", "price": -1}]}')

    @pytest.mark.parametrize(
        "error", [ValueError("odd"), KeyError("odd"), RuntimeError("odd"), ZeroDivisionError("odd")]
    )
    def test_whatever_a_class_raises(self, error: Exception) -> None:
        """Any exception of the class's code is a misfit."""

        @attrs.define
        class Angry:
            x: int

            def __attrs_post_init__(self) -> None:
                raise error

        for type_ in (Angry, list[Angry], Angry | Refusal):
            with pytest.raises(Misfit, match="odd"):
                form_of(type_).read('[{"x": 1}]' if type_ == list[Angry] else '{"x": 1}')

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("", "no JSON"),
            ("I do not know.", "no JSON"),
            ('{"reason": "r"', "broken or cut off"),
            ('{"reason": "a"} or {"reason": "b"}', "2 JSON values"),
            ("{'reason': 'a'}", "no JSON"),
            ('{"reason": NaN}', "NaN"),
            ("\ud800", "no JSON"),
            ("[" * 100_000, "."),
        ],
        ids=["empty", "words", "cut", "two", "python", "nan", "surrogate", "deep"],
    )
    def test_no_json(self, text: str, complaint: str) -> None:
        """An unreadable answer is a misfit with the reason, and nothing is guessed."""
        with pytest.raises(Misfit, match=complaint):
            form_of(Refusal).read(text)

    @given(st.text(max_size=30) | st.sampled_from(['{"value": ', "[1, 2", '{"value": "\\ud800"}']))
    def test_any_text_fits_or_is_a_misfit(self, text: str) -> None:
        """Any answer of a model is read or raises a `Misfit`."""
        for type_ in (Refusal, int, Cat | Dog):
            with contextlib.suppress(Misfit):
                form_of(type_).read(text)


class TestCorrection:
    """Corrections sent back to the model."""

    def test_it_has_the_reason_and_the_way(self) -> None:
        """A correction has the reason unchanged, and the way to answer by mode."""
        said = {mode: form_of(int, mode).correction("Expected `int`.", cut=False).text for mode in MODES}

        assert all("Expected `int`." in text for text in said.values())
        assert said["schema"] == said["prompt"]
        assert "JSON" in said["schema"]
        assert "final_answer" in said["tool"]
        assert "JSON" not in form_of(str).correction("too long", cut=False).text

    def test_an_answer_that_was_cut_off(self) -> None:
        """The correction of a cut answer asks for a briefer one."""
        assert "briefer" in form_of(int).correction("x", cut=True).text
        assert "briefer" not in form_of(int).correction("x", cut=False).text


def test_arguments_and_answers_have_the_same_faults() -> None:
    """Arguments and answers of one type are refused alike."""

    @tool
    def take(invoice: Invoice) -> None:
        """Take the invoice."""

    with pytest.raises(ToolArgumentError, match=r"Expected `str`, got `int` - at `\$\.invoice\.customer`"):
        take.decode('{"invoice": {"customer": 1, "lines": []}}')
    with pytest.raises(Misfit, match=r"Expected `str`, got `int` - at `\$\.customer`"):
        form_of(Invoice).read('{"customer": 1, "lines": []}')
