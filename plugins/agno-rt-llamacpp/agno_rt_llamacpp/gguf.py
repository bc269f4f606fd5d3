"""The header of a GGUF file: architecture, context length, chat template. Knows nothing of llama.cpp.

A header is a magic, a version, two counts, and the metadata as key, type and value. Tensors stay on disk. Reference:
the GGUF specification (docs/gguf.md) of the ggml project.
"""

from __future__ import annotations

import re
import struct
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from agno_rt.errors import UsageError

__all__ = ["ModelFacts", "read_facts"]

_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_LONGEST = 64 * 1024 * 1024
"""Bytes in one value; a larger claim comes from a damaged file."""
_TOKENS, _TOKEN_TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_CONTROL = (2, 3)
"""The token types `unknown` and `control`."""
_MENTIONS_TOOLS = re.compile(r"\btools\b")


@attrs.frozen
class ModelFacts:
    """Facts in a model file.

    `tools` is true if the chat template can describe tools to the model; `control_tokens` are texts with a meaning of
    their own for the model, such as the end of a turn.
    """

    architecture: str
    context_length: int
    template: str
    tools: bool
    control_tokens: tuple[str, ...] = ()


def read_facts(path: Path, template: str | None = None) -> ModelFacts:
    """Read the facts of a model file; `template` replaces the file's. Raises `UsageError` for other files than GGUF."""
    metadata = _read_metadata(path)
    architecture = str(metadata.get("general.architecture", ""))
    if template is None:
        template = str(metadata.get("tokenizer.chat_template", ""))
    length = metadata.get(f"{architecture}.context_length", 0)
    return ModelFacts(
        architecture,
        length if isinstance(length, int) else 0,
        template,
        bool(_MENTIONS_TOOLS.search(template)),
        _list_control_tokens(metadata.get(_TOKENS) or [], metadata.get(_TOKEN_TYPES) or ()),
    )


def _list_control_tokens(tokens: Sequence[str], kinds: Sequence[int]) -> tuple[str, ...]:
    """Return the tokens that llama.cpp finds in the text of a chat template and reads as control tokens."""
    return tuple(token for token, kind in zip(tokens, kinds, strict=False) if kind in _CONTROL and len(token) > 1)


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return _Reader(file).metadata()
    except OSError as exc:
        hint = "Write llamacpp:PATH with the path of a GGUF file that can be read."
        raise UsageError(f"the model file {str(path)!r} cannot be read: {exc.strerror}", hint=hint) from exc
    except (struct.error, UnicodeDecodeError, ValueError) as exc:
        hint = "Fetch the file again, or name another: llama.cpp reads models in the GGUF format."
        raise UsageError(f"{str(path)!r} is not a GGUF model file, or is damaged: {exc}", hint=hint) from exc


@attrs.frozen
class _Reader:
    file: BinaryIO

    def metadata(self) -> dict[str, Any]:
        if self.take(4) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        version = self.number("<I")
        # Version 1 has 32-bit counts.
        if version not in (2, 3):
            raise ValueError(f"its GGUF version is {version}")
        self.number("<Q")
        count = self.number("<Q")
        found: dict[str, Any] = {}
        for _ in range(count):
            key = self.text()
            found[key] = self.value(self.number("<I"), keep=key in (_TOKENS, _TOKEN_TYPES))
        return found

    def value(self, kind: int, *, keep: bool = False) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self.array(keep)
        if kind not in _NUMBERS:
            raise ValueError(f"it has a value of unknown type {kind}")
        return self.number(_NUMBERS[kind])

    def array(self, keep: bool) -> list[Any] | None:
        """Return the values of an array if `keep`; otherwise skip the values."""
        kind, count = self.number("<I"), self.number("<Q")
        if kind in _NUMBERS:
            form = _NUMBERS[kind]
            taken = self.take(struct.calcsize(form) * count)
            return [number for (number,) in struct.iter_unpack(form, taken)] if keep else None
        values = (self.value(kind) for _ in range(count))
        if keep:
            return list(values)
        deque(values, maxlen=0)
        return None

    def text(self) -> str:
        return self.take(self.number("<Q")).decode()

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def take(self, count: int) -> bytes:
        if count > _LONGEST:
            raise ValueError(f"it claims a value of {count} bytes")
        taken = self.file.read(count)
        if len(taken) < count:
            raise ValueError("it ends too early")
        return taken
