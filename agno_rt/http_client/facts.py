"""The facts about models that every plugin over HTTP knows: media, output, price and sizes. A plugin adds its own."""

from __future__ import annotations

from typing import Any, Self, TypeVar

import attrs

from agno_rt.models import ModelProfile, OutputMode, Price

__all__ = ["ModelFacts"]

FactsT = TypeVar("FactsT", bound="ModelFacts")


@attrs.frozen(kw_only=True)
class ModelFacts:
    """Known facts about a model; `None` leaves a fact to a more general source.

    media       accepted media types, as in `("image/*", "application/pdf")`; `None` lets the server refuse
    output      the way to ask for an output type: `schema`, `tool` or `prompt`
    price       US dollars for a million tokens
    context     the most tokens of input, or of input and output together
    max_output  the most tokens of an answer
    """

    media: tuple[str, ...] | None = None
    output: OutputMode | None = None
    price: Price | None = None
    context: int | None = None
    max_output: int | None = None

    def over(self, others: Any) -> Self:
        """Return these facts, with gaps filled from `others`, which has at least the same fields."""
        gaps = {name: getattr(others, name) for name in _list_names(type(self)) if getattr(self, name) is None}
        return attrs.evolve(self, **gaps)

    def model_profile(self) -> ModelProfile:
        """Return the facts that a run needs."""
        return ModelProfile(
            self.output or "schema", self.media, self.price, context=self.context, max_output=self.max_output
        )


def _list_names(kind: type[ModelFacts]) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(kind))
