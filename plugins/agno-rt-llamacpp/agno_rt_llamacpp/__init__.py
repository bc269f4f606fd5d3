"""The plugin `llamacpp`: models and embedders that run in this process, and the command that fetches the default ones.

Offers names only: llama.cpp, its settings and the command are imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno_rt.errors import NotFound, UsageError
from agno_rt.hookspecs import Register, hookimpl
from agno_rt.knowledge.embedders import Embedder
from agno_rt.models import Model

__all__ = ["agno_rt_register_commands", "agno_rt_register_embedders", "agno_rt_register_models"]


@hookimpl
def agno_rt_register_models(register: Register) -> None:
    """Offer `llamacpp:smollm2`, and `llamacpp:PATH` for any other GGUF file."""
    register("smollm2", _make_smollm2, help="SmolLM2-135M-Instruct, after `agno-rt llamacpp pull`.")
    register("*", _make_from_path, "Any model in a GGUF file.", examples=lambda _: ["PATH"], suggest=_suggest_spec)


@hookimpl
def agno_rt_register_embedders(register: Register) -> None:
    """Offer `llamacpp:minilm`, and `llamacpp:PATH` for any other GGUF file with an embedding model."""
    register("minilm", _make_minilm, help="Vectors by all-MiniLM-L6-v2, after `agno-rt llamacpp pull minilm`.")
    register("*", _make_embedder, "Any embedding model in a GGUF file.", examples=lambda _: ["PATH"])


@hookimpl
def agno_rt_register_commands(register: Register) -> None:
    """Offer `agno-rt llamacpp`."""
    register("llamacpp", _load_command, help="Fetch the local models, or print their paths.")


def _suggest_spec(spec: str) -> str:
    return f"Write llamacpp:{spec}." if spec.lower().endswith(".gguf") else ""


def _make_smollm2(rest: str, settings: Mapping[str, Any]) -> Model:
    if rest:
        raise UsageError(f"'llamacpp:smollm2:{rest}' has text after the model's name", hint="Write llamacpp:smollm2.")
    return _make_model("smollm2", settings)


def _make_from_path(name: str, settings: Mapping[str, Any]) -> Model:
    if not _is_path(name):
        known = "Known: smollm2. For another model, write the path of its GGUF file: llamacpp:path/to/model.gguf."
        raise NotFound("llamacpp model", name, ["smollm2"], hint=known)
    return _make_model(name, settings)


def _make_model(name: str, settings: Mapping[str, Any]) -> Model:
    from agno_rt.config import read_settings
    from agno_rt_llamacpp.client import LlamaModel
    from agno_rt_llamacpp.profile import Settings

    return LlamaModel(name, read_settings(Settings, settings, "[plugins.llamacpp]"))


def _make_minilm(rest: str, settings: Mapping[str, Any]) -> Embedder:
    if rest:
        raise UsageError(f"'llamacpp:minilm:{rest}' has text after the embedder's name", hint="Write llamacpp:minilm.")
    return _make_embedder("minilm", settings)


def _make_embedder(name: str, settings: Mapping[str, Any]) -> Embedder:
    from agno_rt.config import read_settings
    from agno_rt_llamacpp.embedder import LlamaEmbedder
    from agno_rt_llamacpp.profile import Settings

    if name != "minilm" and not _is_path(name):
        known = "Known: minilm. For another embedder, write the path of its GGUF file: llamacpp:path/to/model.gguf."
        raise NotFound("llamacpp embedder", name, ["minilm"], hint=known)
    return LlamaEmbedder(name, read_settings(Settings, settings, "[plugins.llamacpp]"))


def _is_path(name: str) -> bool:
    return name.lower().endswith(".gguf") or "/" in name or "\\" in name


def _load_command() -> Any:
    from agno_rt_llamacpp.commands import llamacpp

    return llamacpp
