"""Descriptions of parameters are read from docstrings of common styles, and left out of the tool's description."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt._schema.docstrings import parameter_docs
from agno_rt.context import RunContext
from agno_rt.tools import tool

GOOGLE = """Find a place.

Args:
    city (str): The city, in English
        or in its own language.
    days (int, optional): How many: at most ten.

Returns:
    What it is like.
"""
OWN = """Find a place.

Args:
    city: The city, in English
        or in its own language.
    days: How many: at most ten.

Returns:
    What it is like.
"""
NUMPY = """Find a place.

Parameters
----------
city : str
    The city, in English
    or in its own language.
days : int, optional
    How many: at most ten.

Returns
-------
str
    What it is like.
"""
SPHINX = """Find a place.

:param city: The city, in English
    or in its own language.
:type city: str
:param int days: How many: at most ten.
:returns: What it is like.
"""


@pytest.mark.parametrize("doc", [GOOGLE, OWN, NUMPY, SPHINX], ids=["google", "own", "numpy", "sphinx"])
def test_styles(doc: str) -> None:
    """Each style gives the same descriptions; the rest of the docstring stays."""
    text, said = parameter_docs(doc, ["city", "days"])

    assert said == {
        "city": "The city, in English or in its own language.",
        "days": "How many: at most ten.",
    }
    assert text.startswith("Find a place.\n\n")
    assert "What it is like." in text
    assert not any(word in text for word in ("city", "days", "Args", "Parameters", "param", "type", "ten"))


@pytest.mark.parametrize(
    ("doc", "text", "said"),
    [
        (None, "", {}),
        ("", "", {}),
        ("Just this.", "Just this.", {}),
        ("Do.\n\nArgs:\n    a: The a.", "Do.", {"a": "The a."}),
        ("Do.\n\nArgs:\n\n    a: The a.\n\n    b: The b.\n", "Do.", {"a": "The a.", "b": "The b."}),
        ("Do.\n\nAttributes:\n    a: the a", "Do.", {"a": "the a"}),
        ("Do.\n\nArgs:\n    a:\n        The a.", "Do.", {"a": "The a."}),
        ("Do.\n\nArgs:\n    a, b: Both.", "Do.", {"a": "Both.", "b": "Both."}),
        (
            "Do.\n\nArgs:\n    a: One.\n\n        - and a list\n    b: Two.",
            "Do.",
            {"a": "One. - and a list", "b": "Two."},
        ),
        ("Do.\n\nParameters\n----------\na, b : int\n    Both.", "Do.", {"a": "Both.", "b": "Both."}),
        ("Do.\n\nParameters\n----------\na\n    One.\n\nb\n    Two.\n", "Do.", {"a": "One.", "b": "Two."}),
        (
            "Do.\n\nParameters\n----------\na : int\n    One.\n\nAnd more prose.",
            "Do.\n\nAnd more prose.",
            {"a": "One."},
        ),
        ("Args:\n    a: One.", "", {"a": "One."}),
        ("Args:\na: One,\n    or two.\nb: Two.", "", {"a": "One, or two.", "b": "Two."}),
        (":param a: One.", "", {"a": "One."}),
        ("Do.\n\n:arg a: One.\n:keyword b: Two.", "Do.", {"a": "One.", "b": "Two."}),
    ],
)
def test_shapes(doc: str | None, text: str, said: dict[str, str]) -> None:
    """Empty lines, blocks, and several names with one text are read."""
    assert parameter_docs(doc, ["a", "b"]) == (text, said)


@pytest.mark.parametrize(
    "doc",
    [
        "Args: they are many.",
        "Args:",
        "Args:\nnot indented: a",
        "Args:\n    c: Of something else.",
        ":param c: Of something else.",
        "Note: a: this.",
        "Parameters\n\nare many.",
        "Do.\n    Args:\n        a: within something else",
        "See https://example.com: a.",
    ],
)
def test_what_is_no_parameter_stays(doc: str) -> None:
    """Text of an unknown form, or about an unknown name, stays unchanged."""
    assert parameter_docs(doc, ["a", "b"]) == (doc, {})


def test_a_section_of_which_a_part_is_known() -> None:
    """The rest of a partly known section keeps its heading."""
    text, said = parameter_docs("Do.\n\nArgs:\n    a: One.\n    c: Three.", ["a", "b"])

    assert text == "Do.\n\nArgs:\n    c: Three."
    assert said == {"a": "One."}


@given(st.text(st.sampled_from("ab: \n-Args():param\t"), max_size=60))
def test_any_text_is_read_or_left(doc: str) -> None:
    """Any docstring is read without an error, and descriptions are text."""
    text, said = parameter_docs(doc, ["a", "b"])

    assert said.keys() <= {"a", "b"}
    assert all(said.values())
    assert text == text.strip()


class TestTools:
    """Descriptions in a tool's schema."""

    def test_a_parameter_is_described(self) -> None:
        """The schema has the docstring's text on a parameter, and the tool's description does not."""

        @tool
        def weather(city: str, days: int = 1) -> str:
            """Tell the weather.

            Args:
                city: where
                days: how many
            """
            return city

        properties = weather.parameters["properties"]
        assert weather.description == "Tell the weather."
        assert properties["city"] == {"type": "string", "description": "where"}
        assert (properties["days"]["description"], properties["days"]["default"]) == ("how many", 1)

    def test_an_annotation_wins(self) -> None:
        """A description in `Annotated` wins over the docstring's, and the docstring's is dropped."""

        @tool
        def weather(city: Annotated[str, msgspec.Meta(description="by itself")]) -> str:
            """Tell the weather.

            Args:
                city: where
            """
            return city

        assert weather.parameters["properties"]["city"]["description"] == "by itself"
        assert weather.description == "Tell the weather."

    def test_what_is_hidden_is_not_told_of(self) -> None:
        """A hidden parameter is neither in the schema nor in the description."""

        @tool
        def weather(context: RunContext, city: str) -> str:
            """Tell the weather.

            Args:
                context: the run
                city: where
            """
            return city

        assert weather.description == "Tell the weather."
        assert set(weather.parameters["properties"]) == {"city"}

    def test_a_description_that_is_given(self) -> None:
        """A given description replaces the docstring's text; the docstring's parameters are still used."""

        @tool(description="Weather!")
        def weather(city: str) -> str:
            """Tell the weather.

            Args:
                city: where
            """
            return city

        assert weather.description == "Weather!"
        assert weather.parameters["properties"]["city"]["description"] == "where"

    def test_a_callable_object(self) -> None:
        """The class's docstring is the description, and the docstring of `__call__` describes the parameters."""

        class Lookup:
            """Look a word up."""

            def __call__(self, word: str) -> Any:
                """Look.

                Args:
                    word: in lower case
                """

        lookup = tool(name="lookup")(Lookup())

        assert lookup.description == "Look a word up."
        assert lookup.parameters["properties"]["word"]["description"] == "in lower case"
