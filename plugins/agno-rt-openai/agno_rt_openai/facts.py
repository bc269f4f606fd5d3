"""The facts about models: what media one takes, how it is told of an output type, how it writes what it thinks.

Of OpenAI's own models the families are known; of any other server's, what the settings say. No prices are kept here:
they change without notice, and a budget that counts with an old one is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from agno_rt.models import ModelProfile, OutputMode, Price
from agno_rt.wire.chat_completions import ThinkTags

__all__ = ["OFFICIAL", "OTHER", "Facts", "SystemPlace", "known"]


SystemPlace = Literal["first", "anywhere"]


@attrs.frozen(kw_only=True)
class Facts:
    """What is known of a model; `None` leaves it to what is known otherwise.

    media            the media types that it takes, as in `("image/*", "application/pdf")`; unless told, the server is
                     left to refuse
    output           how it is told of an output type: `schema`, `tool` or `prompt`
    price            what a million of its tokens cost, in US dollars: `input`, `output` and, perhaps, `cached_input`
    think_tags       whether its text has reasoning in `<think>` tags: `off`, `start` (the text may begin with one) or
                     `opened` (the chat template opens it already)
    reasoning_field  the field in which the server wants back what the model thought in earlier turns; empty for none
    system           where system messages may stand: `first`, all go as one before everything else; or `anywhere`
    """

    media: tuple[str, ...] | None = None
    output: OutputMode | None = None
    price: Price | None = None
    think_tags: ThinkTags | None = None
    reasoning_field: str | None = None
    system: SystemPlace | None = None

    def over(self, others: Facts) -> Facts:
        """These facts, and the others where these are silent."""
        named = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        return attrs.evolve(Facts(**{name: getattr(others, name) for name in _NAMES}), **named)

    def profile(self) -> ModelProfile:
        """What a run needs to know of them."""
        return ModelProfile(self.output or "schema", self.media, self.price)


_NAMES = tuple(field.name for field in attrs.fields(Facts))

OFFICIAL = Facts(output="schema", think_tags="off", reasoning_field="", system="anywhere")
"""What holds for OpenAI's own models, unless more is known of one. They show nothing of what they think."""

OTHER = Facts(output="schema", think_tags="start", reasoning_field="", system="first")
"""What holds for the models of other servers: many write what they think into the text, and many chat templates refuse
a system message that is not the first."""

_IMAGES = ("image/png", "image/jpeg", "image/webp", "image/gif")
_SEES = Facts(media=(*_IMAGES, "application/pdf"))
_HEARS = Facts(media=("audio/wav", "audio/mpeg"))
_READS = Facts(media=())

_FAMILIES: Mapping[str, Facts] = {
    "gpt-3.5*": Facts(media=(), output="tool"),
    "gpt-4": Facts(media=(), output="tool"),
    "gpt-4-*": Facts(media=(), output="tool"),
    "gpt-4-turbo*": Facts(media=_IMAGES, output="tool"),
    "gpt-4.1*": _SEES,
    "gpt-4o*": _SEES,
    "gpt-4o-audio*": _HEARS,
    "gpt-4o-mini-audio*": _HEARS,
    "gpt-5*": _SEES,
    "gpt-audio*": _HEARS,
    "o1": _SEES,
    "o1-2*": _SEES,
    "o1-mini*": Facts(media=(), output="prompt"),
    "o1-preview*": Facts(media=(), output="prompt"),
    "o3": _SEES,
    "o3-2*": _SEES,
    "o3-mini*": _READS,
    "o4-mini*": _SEES,
}
"""OpenAI's models by their names, `*` for any end. Reference: OpenAI's documentation, "Models", `Modalities`."""


def known(model: str, families: Mapping[str, Facts] = _FAMILIES) -> Facts:
    """What the table says of the model: by its name, else by the longest beginning of it that is written with a `*`."""
    exact = families.get(model)
    if exact is not None:
        return exact
    beginnings = [name for name in families if name.endswith("*") and model.startswith(name[:-1])]
    return families[max(beginnings, key=len)] if beginnings else Facts()
