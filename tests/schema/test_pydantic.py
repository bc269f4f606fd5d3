"""Pydantic models as outputs, parameters, results, states and dependencies, read by pydantic itself."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import subprocess
import sys
from collections.abc import Callable
from typing import Annotated, Any, Generic, Literal, TypeVar

import attrs
import msgspec
import pydantic
import pydantic.dataclasses
import pytest
from jsonschema import Draft202012Validator
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, RootModel, SecretStr, field_validator

from agno_rt import (
    Agent,
    Deps,
    FromUser,
    MemoryPolicy,
    Output,
    RunContext,
    Runtime,
    State,
    Template,
    ToolCall,
    tool,
)
from agno_rt.errors import OutputError, ToolDefinitionError, UsageError
from agno_rt.memory import SessionState
from agno_rt.models import ModelProfile, OutputMode
from agno_rt.output import plain_value
from agno_rt.testing import ScriptedModel
from agno_rt.tools import ToolArgumentError
from tests.helpers import told


class Country(BaseModel):
    """A country."""

    code: str = Field(min_length=2, max_length=2)


class City(BaseModel):
    """A city."""

    name: str
    people: int = Field(gt=0, alias="population", description="who live there")
    country: Country
    founded: dt.date | None = None

    @field_validator("name")
    @classmethod
    def known(cls, name: str) -> str:
        """Refuse an unknown city."""
        if name == "Atlantis":
            raise ValueError("there is no Atlantis")
        return name.title()


SEOUL = {"name": "seoul", "population": 9_400_000, "country": {"code": "KR"}}


def seoul() -> City:
    """Return the city of `SEOUL`."""
    return City(name="seoul", population=9_400_000, country=Country(code="KR"))


class Cat(BaseModel):
    """A cat."""

    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    """A dog."""

    kind: Literal["dog"]
    tricks: list[str] = []


class Node(BaseModel):
    """A tree."""

    value: int
    children: list[Node] = []


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A page of things."""

    items: list[T]


@pydantic.dataclasses.dataclass
class Point:
    """A place."""

    x: Annotated[int, Field(ge=0)]


@dataclasses.dataclass
class Stop:
    """A data class with a model as a field."""

    city: City
    nights: int = 1


@attrs.define
class Journey:
    """An attrs class with models as fields."""

    stops: list[City]
    home: City | None = None


class Colour(enum.Enum):
    """An enum."""

    RED = "red"


class Box(BaseModel):
    """A model with types unknown to JSON."""

    colour: Colour
    wrapped: bytes = b""
    size: tuple[int, int] = (1, 1)
    labels: set[str] = set()


def even(number: int) -> int:
    """Refuse an odd number."""
    if number % 2:
        raise ValueError("it is odd")
    return number


TYPES: list[tuple[Any, Any, Any]] = [
    (City, SEOUL, seoul()),
    (list[City], [SEOUL], [seoul()]),
    (dict[str, City], {"here": SEOUL}, {"here": seoul()}),
    (City | None, SEOUL, seoul()),
    (City | None, None, None),
    (City | str, "nowhere", "nowhere"),
    (list[City | None], [None, SEOUL], [None, seoul()]),
    (Cat | Dog, {"kind": "dog"}, Dog(kind="dog")),
    (Annotated[Cat | Dog, Field(discriminator="kind")], {"kind": "dog"}, Dog(kind="dog")),
    (City | Stop, {"city": SEOUL, "nights": 2}, Stop(seoul(), 2)),
    (Node, {"value": 1, "children": [{"value": 2}]}, Node(value=1, children=[Node(value=2)])),
    (Page[City], {"items": [SEOUL]}, Page[City](items=[seoul()])),
    (Point, {"x": 3}, Point(3)),
    (Stop, {"city": SEOUL}, Stop(seoul())),
    (Journey, {"stops": [SEOUL], "home": SEOUL}, Journey([seoul()], seoul())),
    (RootModel[list[int]], [1, 2], RootModel[list[int]]([1, 2])),
    (Box, {"colour": "red", "size": [2, 3], "labels": ["a"]}, Box(colour=Colour.RED, size=(2, 3), labels={"a"})),
    (HttpUrl, "http://example.org/", HttpUrl("http://example.org/")),
    (Annotated[int, Field(ge=1, description="how many")], 3, 3),
    (Annotated[int, AfterValidator(even)], 4, 4),
    (Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=2)], ["a"], ["a"]),
]


@pytest.mark.parametrize("mode", ["schema", "tool", "prompt"])
@pytest.mark.parametrize(("type_", "written", "value"), TYPES)
async def test_an_answer(type_: Any, written: Any, value: Any, mode: OutputMode) -> None:
    """In each output mode the model gets the schema, and the answer is read as the type."""
    with ScriptedModel([msgspec.json.encode(written).decode()], profile=ModelProfile(output=mode)) as model:
        async with Runtime() as rt:
            result = await rt.run(Agent(model, output=type_), "?")

    assert result.output == value
    assert type(result.output) is type(value)


def make_function(type_: Any) -> Callable[..., Any]:
    """Make a function with a parameter of the type."""

    def take(thing: Any) -> str:
        """Take a thing."""
        taken.append(thing)
        return "taken"

    taken: list[Any] = []
    take.__annotations__["thing"] = type_
    take.taken = taken  # type: ignore[attr-defined]  # where a test finds it
    return take


@pytest.mark.parametrize(("type_", "written", "value"), TYPES)
async def test_a_parameter(type_: Any, written: Any, value: Any) -> None:
    """A tool gets its argument as the type, and the tool's schema allows the argument."""
    take: Any = make_function(type_)
    call = ToolCall("1", "take", {"thing": written})

    async with Runtime() as rt:
        await rt.run(Agent(ScriptedModel([call, "done"]), tools=[take]), "?")

    assert take.taken == [value]
    assert type(take.taken[0]) is type(value)
    schema = tool(take).parameters
    Draft202012Validator.check_schema(schema)
    assert not list(Draft202012Validator(schema).iter_errors({"thing": written}))


MISFITS: list[tuple[Any, Any, list[str]]] = [
    (City, "Seoul", ["Expected `object`, got `str`"]),
    (City, {**SEOUL, "population": 0}, ["Input should be greater than 0 - at `$.thing.population`"]),
    (City, {**SEOUL, "name": "Atlantis"}, ["there is no Atlantis - at `$.thing.name`"]),
    (City, {"name": "a"}, ["missing required field `population`", "missing required field `country`"]),
    (City, {**SEOUL, "country": {"code": "KOR"}}, ["at most 2 characters - at `$.thing.country.code`"]),
    (list[City], [SEOUL, {**SEOUL, "population": -1}], ["greater than 0 - at `$.thing[1].population`"]),
    (dict[str, City], {"the place": {}}, ['missing required field `name` - at `$.thing["the place"]`']),
    (Cat | Dog, {"kind": "dog", "tricks": [1]}, ["valid string - at `$.thing.tricks[0]`"]),
    (
        Annotated[Cat | Dog, Field(discriminator="kind")],
        {"kind": "cow"},
        ["not Cat: Input should be 'cat' at `$.thing.kind`"],
    ),
    (Journey, {"stops": [{**SEOUL, "name": 5}]}, ["valid string - at `$.thing.stops[0].name`"]),
    (Stop, {"city": SEOUL, "nights": "two"}, ["Expected `int`, got `str` - at `$.thing.nights`"]),
    (
        Stop,
        {"city": {}, "nights": "two"},
        ["field `name` - at `$.thing.city`", "`int`, got `str` - at `$.thing.nights`"],
    ),
    (Node, {"value": 1, "children": [{"value": "x"}]}, ["valid integer", "at `$.thing.children[0].value`"]),
    (Annotated[int, AfterValidator(even)], 3, ["it is odd - at `$.thing`"]),
    (Annotated[int, Field(ge=1)], 0, [">= 1", "at `$.thing`"]),
    (HttpUrl, "nowhere", ["valid URL", "at `$.thing`"]),
    (Point, {"x": -1}, ["greater than or equal to 0 - at `$.thing.x`"]),
]


@pytest.mark.parametrize(("type_", "written", "faults"), MISFITS)
def test_arguments_that_do_not_fit(type_: Any, written: Any, faults: list[str]) -> None:
    """Every fault is reported in words, with its place, and without a link to pydantic's pages."""
    take = tool(make_function(type_))

    with pytest.raises(ToolArgumentError) as caught:
        take.decode(msgspec.json.encode({"thing": written}).decode())

    assert all(fault in str(caught.value) for fault in faults), str(caught.value)
    assert "pydantic" not in str(caught.value)
    assert "Value error" not in str(caught.value)


async def test_an_answer_that_does_not_fit_goes_back() -> None:
    """The model gets the faults of its answer, and answers again."""
    answers = [{**SEOUL, "population": 0}, {**SEOUL, "name": "Atlantis"}, SEOUL]
    with ScriptedModel([msgspec.json.encode(answer).decode() for answer in answers]) as model:
        async with Runtime() as rt:
            result = await rt.run(Agent(model, output=City), "?")

    corrections = [message.text for message in result.messages if message.role == "user"][1:]
    assert result.output == seoul()
    assert "greater than 0 - at `$.population`" in corrections[0]
    assert "there is no Atlantis - at `$.name`" in corrections[1]


async def test_a_validator_that_breaks_is_a_misfit() -> None:
    """Any error of a validator goes to the model, and the run fails after the last attempt."""

    def broken(value: int) -> int:
        raise RuntimeError("the validator broke")

    class Fragile(BaseModel):
        number: Annotated[int, AfterValidator(broken)]

    with ScriptedModel(['{"number": 1}'] * 2) as model:
        async with Runtime() as rt:
            with pytest.raises(OutputError, match="the validator broke"):
                await rt.run(Agent(model, output=Output(Fragile, attempts=2)), "?")


class Strict(BaseModel):
    """A strict model without other fields."""

    model_config = ConfigDict(strict=True, extra="forbid")

    number: int
    day: dt.date


def test_the_rules_are_those_of_json() -> None:
    """A strict model reads dates from text, as in JSON, but no number from text, and refuses other fields."""
    take = tool(make_function(Strict))
    day = "2024-01-31"

    given = take.decode(f'{{"thing": {{"number": 1, "day": "{day}"}}}}')
    with pytest.raises(ToolArgumentError, match=r"valid integer - at `\$.thing.number`") as caught:
        take.decode(f'{{"thing": {{"number": "1", "day": "{day}", "other": 1}}}}')

    assert given == {"thing": Strict(number=1, day=dt.date(2024, 1, 31))}
    assert "Object contains unknown field `other` - at `$.thing`" in str(caught.value)


def test_schemas_are_like_ours() -> None:
    """Schemas avoid redundant titles, `const`, `oneOf` and `discriminator`, unknown to some providers."""
    schema = tool(make_function(list[Annotated[Cat | Dog, Field(discriminator="kind")]])).parameters

    words = msgspec.json.encode(schema).decode()
    assert not [word for word in ('"title"', '"const"', '"oneOf"', '"discriminator"') if word in words]
    assert schema["$defs"]["Cat"]["description"] == "A cat."
    assert schema["$defs"]["Cat"]["properties"]["kind"]["enum"] == ["cat"]


def test_models_of_one_name_are_told_apart() -> None:
    """Two models of one name get longer names in the schema, and each reads its own values."""

    def other() -> Any:
        class City(BaseModel):
            mayor: str

        return City

    move = tool(_move_between(City, other()))

    decoded = move.decode(msgspec.json.encode({"source": SEOUL, "target": {"mayor": "Kim"}}).decode())
    assert decoded["source"] == seoul()
    assert decoded["target"].mayor == "Kim"


def _move_between(source_type: Any, target_type: Any) -> Callable[..., Any]:
    def move(source: Any, target: Any) -> None:
        """Move."""

    move.__annotations__ |= {"source": source_type, "target": target_type}
    return move


def test_a_model_and_a_class_of_one_name() -> None:
    """A model and another class may share a name; an enum may be a parameter and a model's field."""

    @attrs.define
    class Cat:
        """A cat of another kind."""

        lives: int

    move = tool(_move_between(globals()["Cat"], Cat))
    paint = tool(_move_between(Box, Colour))

    written = {"source": {"kind": "cat"}, "target": {"lives": 7}}
    assert move.decode(msgspec.json.encode(written).decode())["target"] == Cat(7)
    with pytest.raises(ToolArgumentError, match=r"'cat' - at `\$.source.kind`"):
        move.decode(msgspec.json.encode({**written, "source": {"kind": "dog"}}).decode())
    painted = paint.decode('{"source": {"colour": "red"}, "target": "red"}')
    assert painted == {"source": Box(colour=Colour.RED), "target": Colour.RED}
    Draft202012Validator(move.parameters).validate(written)
    Draft202012Validator(paint.parameters).validate({"source": {"colour": "red"}, "target": "red"})


class Invoice(BaseModel):
    """A model with types that pydantic describes in unusual words."""

    total: decimal.Decimal
    payer: Country = Field(description="who pays")
    paid: dt.date | None = None
    page: HttpUrl | None = None


def test_schemas_have_what_providers_know() -> None:
    """A reference stands alone, patterns have no lookaround, and formats are common ones."""
    schema = tool(make_function(Invoice)).parameters

    words = msgspec.json.encode(schema).decode()
    properties = schema["$defs"]["Invoice"]["properties"]
    assert properties["payer"] == {"anyOf": [{"$ref": "#/$defs/Country"}], "description": "who pays"}
    assert "(?" not in words
    assert "uri" not in words
    assert properties["paid"]["anyOf"][0] == {"type": "string", "format": "date"}


def test_a_field_as_a_default() -> None:
    """A `Field` as a parameter's default is refused, since the function would get the `Field` itself."""

    def take(count: int = Field(gt=0)) -> int:
        return count

    with pytest.raises(ToolDefinitionError, match="parameter 'count' has a Field as its default") as caught:
        tool(take)

    assert "Annotated" in caught.value.hint


def test_a_model_as_a_default() -> None:
    """A parameter with a model as its default is optional."""

    @tool
    def take(thing: Country = Country(code="KR"), other: Country | None = None) -> str:  # noqa: B008
        """Take a thing."""
        return thing.code

    assert take.decode("{}") == {}
    assert take(**take.decode('{"other": null}')) == "KR"


async def test_a_batch() -> None:
    """Each call of a batch tool is one model, with the model's own schema."""

    @tool(batch=True)
    async def locate(cities: list[City]) -> list[str]:
        """Locate cities."""
        return [city.name for city in cities]

    calls = [ToolCall("1", "locate", SEOUL), ToolCall("2", "locate", {**SEOUL, "population": 0})]
    async with Runtime() as rt:
        result = await rt.run(Agent(ScriptedModel([calls, "done"]), tools=[locate]), "?")

    assert "population" in locate.parameters["properties"]
    assert told(result)[0] == "Seoul"
    assert "greater than 0 - at `$.population`" in told(result)[1]


class Unfinished(BaseModel):
    """A model with a field of a missing type."""

    what: "Missing"  # type: ignore[name-defined]  # noqa: F821, UP037 - the point of the test


class Callback(BaseModel):
    """A model with a type outside of JSON."""

    call: Callable[[], int]


@pytest.mark.parametrize("type_", [Unfinished, Callback, list[Callback]])
async def test_models_that_cannot_be_used(type_: Any) -> None:
    """A model without a schema raises an error: for a tool at its definition, for an output in the run."""
    with pytest.raises(ToolDefinitionError, match="cannot be described") as of_tool:
        tool(make_function(type_))
    async with Runtime() as rt:
        with pytest.raises(UsageError, match=r"the output type .* cannot be described") as of_output:
            await rt.run(Agent(ScriptedModel([]), "clerk", output=type_), "?")
    with pytest.raises(UsageError, match="not a type for a session's state"):
        MemoryPolicy(state=type_)

    assert "errors.pydantic.dev" not in f"{of_tool.value}{of_output.value}"
    assert not isinstance(of_output.value, ToolDefinitionError)
    assert "agent 'clerk'" in str(of_output.value)


RESULTS: list[tuple[Any, Any]] = [
    (seoul(), {"name": "Seoul", "population": 9_400_000, "country": {"code": "KR"}, "founded": None}),
    ([Country(code="KR")], [{"code": "KR"}]),
    ({"KR": Country(code="KR")}, {"KR": {"code": "KR"}}),
    (Point(1), {"x": 1}),
    (Stop(seoul()), {"city": plain_value(seoul()), "nights": 1}),
    (RootModel[list[int]]([1]), [1]),
    (HttpUrl("http://example.org/"), "http://example.org/"),
    (SecretStr("secret"), "**********"),
    (Box(colour=Colour.RED), {"colour": "red", "wrapped": "", "size": [1, 1], "labels": []}),
]


@pytest.mark.parametrize(("returned", "shown"), RESULTS)
async def test_a_result(returned: Any, shown: Any) -> None:
    """A result goes to the model as JSON, with the schema's field names, and without secrets."""

    @tool
    async def look() -> Any:
        """Look."""
        return returned

    async with Runtime() as rt:
        result = await rt.run(Agent(ScriptedModel([ToolCall("1", "look"), "done"]), tools=[look]), "?")

    [text] = told(result)
    assert msgspec.json.decode(text) == shown if text.startswith(("{", "[", '"')) else text == shown


class Cart(BaseModel):
    """A session's state."""

    model_config = ConfigDict(extra="forbid")

    lines: list[City] = Field(default=[], alias="theLines")
    changed: dt.datetime | None = None

    @pydantic.computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def count(self) -> int:
        """Return the number of lines."""
        return len(self.lines)


@attrs.define
class Wallet:
    """A state with a model as a field."""

    cart: Cart = attrs.Factory(Cart)


@tool
async def put(cart: State[Cart] | None = None, wallet: State[Wallet] | None = None) -> int:
    """Put a city into the cart."""
    cart = wallet.cart if wallet is not None else cart
    assert cart is not None
    cart.lines.append(seoul())
    cart.changed = dt.datetime(2024, 1, 31, tzinfo=dt.UTC)
    return cart.count


@pytest.mark.parametrize("type_", [Cart, Wallet, SessionState(Cart, version=2)])
async def test_a_state(type_: Any) -> None:
    """A session's state may be a model or contain models: the next run reads the stored state."""
    steps: list[Any] = [ToolCall("1", "put"), "done"]
    agent = Agent(ScriptedModel(steps * 2), tools=[put], memory=MemoryPolicy(state=type_))
    async with Runtime() as rt:
        first = await rt.run(agent, "?", session="s")
        second = await rt.run(agent, "?", session="s")

    cart = second.state.cart if isinstance(second.state, Wallet) else second.state
    assert (told(first), told(second)) == (["1"], ["2"])
    assert cart.lines == [seoul(), seoul()]
    assert cart.changed == dt.datetime(2024, 1, 31, tzinfo=dt.UTC)


async def test_a_stored_state_that_does_not_fit() -> None:
    """A stored state that the model's validators refuse raises an error, and the session stays unchanged."""

    class Account(BaseModel):
        balance: int = 0

    class Stricter(BaseModel):
        balance: int = Field(default=1, gt=0)

    Stricter.__name__ = "Account"
    async with Runtime() as rt:
        await rt.run(Agent(ScriptedModel(["a"]), memory=MemoryPolicy(state=Account)), "?", session="s")
        with pytest.raises(UsageError, match=r"does not fit Account: Input should be greater than 0 - at `\$.balance`"):
            await rt.run(Agent(ScriptedModel(["a"]), memory=MemoryPolicy(state=Stricter)), "?", session="s")


class Settings(BaseModel):
    """A dependency of tools."""

    zone: str


async def test_a_dependency() -> None:
    """Tools, contexts and templates get dependencies by the model's class."""

    @tool
    async def zone(settings: Deps[Settings], context: RunContext[Settings]) -> str:
        """Tell the zone."""
        return f"{settings.zone} {context.deps.zone}"

    model = ScriptedModel([ToolCall("1", "zone"), "done"])
    agent = Agent(model, instructions=Template("Zone {deps.zone}, all: {deps}"), tools=[zone])
    async with Runtime() as rt:
        result = await rt.run(agent, "?", deps=Settings(zone="UTC"))

    assert told(result) == ["UTC UTC"]
    assert model.requests[0].messages[0].text == 'Zone UTC, all: {"zone":"UTC"}'


@pytest.mark.parametrize("filled_in", [SEOUL, seoul()])
async def test_what_a_user_fills_in(filled_in: Any) -> None:
    """A parameter filled in by the user may be a model: the approval has its schema, and the answer is checked."""

    @tool
    async def travel(to: FromUser[City]) -> str:
        """Travel."""
        return to.name

    agent = Agent(ScriptedModel([ToolCall("1", "travel"), "done"]), "clerk", tools=[travel])
    async with Runtime() as rt:
        paused = await rt.run(agent, "?")
        [approval] = paused.approvals
        with pytest.raises(UsageError, match="> 0, got 0"):
            await rt.answer(approval.id, {"to": {**SEOUL, "population": 0}})
        await rt.answer(approval.id, {"to": filled_in})
        result = await rt.resume(paused.run_id, agent)

    assert approval.schema is not None
    assert "City" in approval.schema["$defs"]
    assert "Seoul" in told(result)


async def test_a_run_that_is_resumed_reads_its_answer_again() -> None:
    """A resumed run reads the model's answer in the journal again."""
    agent = Agent(
        ScriptedModel([msgspec.json.encode(SEOUL).decode()]), "clerk", output=City, memory=MemoryPolicy(journal=True)
    )
    async with Runtime() as rt:
        done = await rt.run(agent, "?")
        result = await rt.resume(await rt.fork(done.run_id), agent)

    assert result.output == seoul()


async def test_progress() -> None:
    """A tool may send a model as its progress."""

    @tool
    async def work(context: RunContext) -> str:
        """Work."""
        await context.progress(Country(code="KR"))
        return "done"

    async with Runtime() as rt:
        agent = Agent(ScriptedModel([ToolCall("1", "work"), "done"]), tools=[work])
        async with rt.stream(agent, "?") as events:
            sent = [event.data async for event in events if hasattr(event, "data")]

    assert sent == [{"code": "KR"}]


UNUSED = """
import sys
import attrs
from agno_rt import Agent, MemoryPolicy, ToolCall, run
from agno_rt.testing import ScriptedModel

@attrs.define
class Trip:
    city: str = ""

def look(trip: Trip) -> Trip:
    return trip

steps = [ToolCall("1", "look", {"trip": {"city": "Seoul"}}), '{"city": "Seoul"}']
print(run(Agent(ScriptedModel(steps), tools=[look], output=Trip, memory=MemoryPolicy(state=Trip)), "?").output)
assert not [name for name in sys.modules if name.partition(".")[0] in ("pydantic", "pydantic_core")]
"""


def test_who_does_not_use_it_does_not_import_it() -> None:
    """Programs without pydantic models never import pydantic."""
    done = subprocess.run([sys.executable, "-c", UNUSED], capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.stderr) == ("Trip(city='Seoul')", "")
