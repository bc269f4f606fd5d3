"""The run's state machine, without an event loop."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt._decide.output_form import OutputForm, output_form
from agno_rt._decide.turns import TRANSITIONS, Turns
from agno_rt.errors import LimitExceeded, OutputError
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.models import ModelResponse
from agno_rt.output import Output

CALL = ToolCall("c1", "clock")
HI = Message("user", "hi")
ATTEMPTS = Output(int).attempts


def form(output: Any) -> OutputForm | None:
    """Make the form of an output type, by schema; `None` for free text."""
    if output is None:
        return None
    return output_form(output if isinstance(output, Output) else Output(output), "schema")


def begun(max_turns: int = 16, output: Any = None, before: list[Message] | None = None) -> Turns:
    """Make turns with an input."""
    turns = Turns(max_turns, form(output))
    turns.begin([] if before is None else before, [HI])
    return turns


def result(call: ToolCall) -> Message:
    """Make a tool's message for the call."""
    return Message("tool", "noon", (), call.id, call.name)


CHECKED = Output(int, check=lambda value: None)


def _answer_unchecked(turns: Turns) -> None:
    turns.form = form(CHECKED)
    turns.answered(ModelResponse("1"))


STEPS: dict[str, Any] = {
    "calls": lambda turns: turns.answered(ModelResponse(tool_calls=[CALL])),
    "answer": lambda turns: turns.answered(ModelResponse("1")),
    "unchecked": _answer_unchecked,
    "unfit": lambda turns: turns.answered(ModelResponse("no")),
    "results": lambda turns: turns.called([result(CALL)]),
    "passed": lambda turns: turns.checked(None),
    "refused": lambda turns: turns.checked("too small"),
}
STATES: dict[str, Any] = {
    "asking": lambda: begun(output=int),
    "calling": lambda: _turns_after("calls"),
    "checking": lambda: _turns_after("unchecked"),
    "completed": lambda: _turns_after("answer"),
}


def _turns_after(step: str) -> Turns:
    turns = begun(output=int)
    STEPS[step](turns)
    return turns


@pytest.mark.parametrize(("state", "step"), list(itertools.product(STATES, STEPS)))
def test_the_table_is_the_law(state: str, step: str) -> None:
    """A step listed in the table leads to the listed state; any other is a `KeyError`."""
    turns = STATES[state]()
    assert turns.state == state

    if (state, step) in TRANSITIONS:
        STEPS[step](turns)
        assert turns.state == TRANSITIONS[state, step]  # type: ignore[index]  # `state` is a plain str
    else:
        with pytest.raises(KeyError):
            STEPS[step](turns)


def test_an_answer_completes_the_run() -> None:
    """A text is the answer. The run's own messages are input and answer."""
    turns = begun(before=[Message("system", "be brief")])
    turns.ask()
    turns.answered(ModelResponse("hello", usage=Usage(3, 1)))

    assert (turns.state, turns.content, turns.usage, turns.turn) == ("completed", "hello", Usage(3, 1), 1)
    assert turns.own_messages() == (HI, Message("assistant", "hello"))
    assert turns.messages[0].role == "system"


def test_calls_are_carried_out_and_the_model_is_asked_again() -> None:
    """Text beside calls is kept as a message, but is not the answer."""
    turns = begun()
    turns.ask()
    turns.answered(ModelResponse("let me see", [CALL], usage=Usage(1, 1)))
    assert (turns.state, list(turns.calls), turns.content) == ("calling", [CALL], "")

    turns.called([result(CALL)])
    turns.ask()
    turns.answered(ModelResponse("noon", usage=Usage(2, 2)))

    assert turns.usage == Usage(3, 3)
    assert list(turns.calls) == []
    assert turns.own_messages() == (
        HI,
        Message("assistant", "let me see", (CALL,)),
        result(CALL),
        Message("assistant", "noon"),
    )


def test_calls_without_results_are_left_out() -> None:
    """A run stopped while calling leaves a valid history."""
    turns = begun()
    turns.answered(ModelResponse(tool_calls=[CALL]))

    assert turns.own_messages() == (HI,)


def test_nothing_yet() -> None:
    """A run stopped before the input has no messages."""
    assert Turns(1).own_messages() == ()


def test_the_turns_are_limited() -> None:
    """A turn beyond the limit is an error with the limit's name."""
    turns = begun(max_turns=2)
    for _ in range(2):
        turns.ask()
        turns.answered(ModelResponse(tool_calls=[CALL]))
        turns.called([result(CALL)])

    with pytest.raises(LimitExceeded, match="all of its 2 turns") as caught:
        turns.ask()
    assert caught.value.limit == "turns"
    assert turns.turn == 2


class TestIds:
    """Ids of calls."""

    def test_ids_of_their_own_are_kept(self) -> None:
        """Unique ids of a model are kept."""
        calls = [ToolCall("a", "x"), ToolCall("b", "x")]
        turns = begun()
        turns.answered(ModelResponse(tool_calls=calls))

        assert list(turns.calls) == calls

    @pytest.mark.parametrize("ids", [("", ""), ("a", "a"), ("a", "")])
    def test_missing_and_repeated_ids_are_made(self, ids: tuple[str, str]) -> None:
        """Missing or repeated ids are replaced, in the conversation and for the driver."""
        turns = begun()
        turns.ask()
        turns.answered(ModelResponse(tool_calls=[ToolCall(id_, "x") for id_ in ids]))

        made = [call.id for call in turns.calls]
        assert len(set(made)) == 2
        assert all(made)
        assert [call.id for call in turns.messages[-1].tool_calls] == made

    def test_made_ids_differ_from_turn_to_turn(self) -> None:
        """Two turns of calls without ids have four different ids."""
        turns = begun()
        ids: set[str] = set()
        for _ in range(2):
            turns.ask()
            turns.answered(ModelResponse(tool_calls=[ToolCall("", "x"), ToolCall("", "x")]))
            ids.update(call.id for call in turns.calls)
            turns.called([result(call) for call in turns.calls])

        assert len(ids) == 4

    def test_the_models_own_calls_are_not_changed(self) -> None:
        """The model's own call objects stay unchanged."""
        call = ToolCall("", "x")
        begun().answered(ModelResponse(tool_calls=[call]))

        assert call.id == ""


@attrs.define
class Angry:
    """A type that refuses every value with an error other than `ValueError`."""

    x: int

    def __attrs_post_init__(self) -> None:
        raise KeyError("never")


class TestOutput:
    """Answers of an output type."""

    def test_fit(self) -> None:
        """A valid answer gives the content as text and the output as a value."""
        turns = begun(output=list[int])
        turns.answered(ModelResponse("[1, 2]"))

        assert (turns.state, turns.content, turns.output) == ("completed", "[1, 2]", [1, 2])

    def test_unfit_is_told_and_asked_again(self) -> None:
        """The fault of an invalid answer goes to the model in a user's message."""
        turns = begun(output=int)
        turns.answered(ModelResponse('"one"'))

        assert turns.state == "asking"
        assert turns.messages[-2] == Message("assistant", '"one"')
        assert turns.messages[-1].role == "user"
        assert "Expected `int`, got `str`" in turns.messages[-1].content

    def test_unfit_too_often(self) -> None:
        """The run ends after the last attempt, with every attempt among its messages."""
        turns = begun(output=int)
        for _ in range(ATTEMPTS - 1):
            turns.answered(ModelResponse("x"))
        with pytest.raises(OutputError, match="does not fit the output type") as caught:
            turns.answered(ModelResponse("x"))

        assert "3 attempts" in caught.value.hint
        assert "max_tokens" not in caught.value.hint
        assert sum(message.role == "assistant" for message in turns.own_messages()) == ATTEMPTS

    def test_cut_off(self) -> None:
        """The hint names max_tokens after a last attempt cut off."""
        turns = begun(output=int)
        with pytest.raises(OutputError) as caught:  # noqa: PT012 - the whole block is what raises
            for _ in range(ATTEMPTS):
                turns.answered(ModelResponse("[1", finish_reason="length"))

        assert "max_tokens" in caught.value.hint

    def test_a_check_may_refuse_what_fits(self) -> None:
        """The model gets the check's reason, and the accepted answer counts."""
        turns = begun(output=CHECKED)
        turns.answered(ModelResponse("1"))
        assert (turns.state, turns.output) == ("checking", 1)
        turns.checked("it must be 2")
        assert turns.state == "asking"
        assert "it must be 2" in turns.messages[-1].text
        turns.answered(ModelResponse("2"))
        turns.checked(None)

        assert (turns.state, turns.content, turns.output) == ("completed", "2", 2)

    def test_refused_too_often(self) -> None:
        """A check that refuses every attempt ends the run, like a type."""
        turns = begun(output=CHECKED)
        for _ in range(ATTEMPTS - 1):
            turns.answered(ModelResponse("1"))
            turns.checked("never")
        turns.answered(ModelResponse("1"))
        with pytest.raises(OutputError, match="never"):
            turns.checked("never")

    @pytest.mark.parametrize(
        ("type_", "content"),
        [(int, ""), (int, "\ud800"), (Any, "[" * 100_000), (Angry, '{"x": 1}'), (int, "1 2"), (int, "nan")],
        ids=["empty", "surrogate", "deep", "angry type", "two values", "nan"],
    )
    def test_whatever_is_wrong_with_it_it_does_not_fit(self, type_: Any, content: str) -> None:
        """Text that is not JSON and a refusing type give only an `OutputError`."""
        turns = begun(output=type_)
        for _ in range(ATTEMPTS - 1):
            turns.answered(ModelResponse(content))
            assert turns.state == "asking"
        with pytest.raises(OutputError):
            turns.answered(ModelResponse(content))


responses = st.sampled_from(
    [
        ModelResponse("1"),
        ModelResponse("no"),
        ModelResponse(tool_calls=[CALL]),
        ModelResponse("hm", [ToolCall("", "x"), ToolCall("", "x"), ToolCall("a", "y")]),
    ]
)


@given(st.lists(responses, max_size=12), st.integers(1, 6), st.sampled_from([None, int]), st.integers(0, 40))
def test_any_run_keeps_the_history_valid(script: list[ModelResponse], limit: int, output: Any, stop: int) -> None:
    """Every call in the messages has a result, for any answers and any stop."""
    turns, steps = begun(max_turns=limit, output=output), 0
    answers = iter(script)
    try:
        while turns.state != "completed" and steps < stop:
            steps += 1
            if turns.state == "calling":
                turns.called([result(call) for call in turns.calls])
                continue
            turns.ask()
            if (response := next(answers, None)) is None:
                break
            turns.answered(response)
    except (LimitExceeded, OutputError):
        pass

    calls = [call.id for message in turns.own_messages() for call in message.tool_calls]
    results = [message.tool_call_id for message in turns.own_messages() if message.role == "tool"]
    assert calls == results
    assert turns.turn <= limit
    assert turns.messages[0] == HI
