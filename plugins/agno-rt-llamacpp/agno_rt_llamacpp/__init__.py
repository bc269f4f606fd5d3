"""The plugin `llamacpp`: models that run in this process, and the command that fetches the default one.

Offers names only: llama.cpp, its settings and the command are imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno_rt.errors import NotFound, UsageError
from agno_rt.hookspecs import Register, hookimpl
from agno_rt.models import Model

__all__ = ["agno_rt_register_commands", "agno_rt_register_models"]


@hookimpl
def agno_rt_register_models(register: Register) -> None:
    """Offer `llamacpp:smollm2`, and `llamacpp:PATH` for any other GGUF file."""
    register("smollm2", _make_smollm2, help="SmolLM2-135M-Instruct, after `agno-rt llamacpp pull`.")
    register("*", _make_from_path, "Any model in a GGUF file.", examples=lambda _: ["PATH"], suggest=_suggest_spec)


@hookimpl
def agno_rt_register_commands(register: Register) -> None:
    """Offer `agno-rt llamacpp`."""
    register("llamacpp", _load_command, help="Fetch the default local model, or print its path.")


def _suggest_spec(spec: str) -> str:
    return f"Write llamacpp:{spec}." if spec.lower().endswith(".gguf") else ""


def _make_smollm2(rest: str, settings: Mapping[str, Any]) -> Model:
    if rest:
        raise UsageError(f"'llamacpp:smollm2:{rest}' has text after the model's name", hint="Write llamacpp:smollm2.")
    return _make_model("smollm2", settings)


def _make_from_path(name: str, settings: Mapping[str, Any]) -> Model:
    if not (name.lower().endswith(".gguf") or "/" in name or "\\" in name):
        known = "Known: smollm2. For another model, write the path of its GGUF file: llamacpp:path/to/model.gguf."
        raise NotFound("llamacpp model", name, ["smollm2"], hint=known)
    return _make_model(name, settings)


def _make_model(name: str, settings: Mapping[str, Any]) -> Model:
    from agno_rt.config import read_settings
    from agno_rt_llamacpp.client import LlamaModel
    from agno_rt_llamacpp.profile import Settings

    return LlamaModel(name, read_settings(Settings, settings, "[plugins.llamacpp]"))


def _load_command() -> Any:
    from agno_rt_llamacpp.commands import llamacpp

    return llamacpp
