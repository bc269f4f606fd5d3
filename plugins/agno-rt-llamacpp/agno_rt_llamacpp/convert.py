"""Converts all-MiniLM-L6-v2 from safetensors to a GGUF file for llama.cpp, with the standard library alone.

References: the safetensors format (a length, a JSON header, the tensors), the GGUF specification (docs/gguf.md of the
ggml project), and the names that llama.cpp gives the tensors of the architecture `bert`. Matrices become 16-bit floats,
as in llama.cpp's own conversion; norms, biases and the small tables stay as they are. A WordPiece vocabulary marks the
continuation of a word with `##`; llama.cpp marks the beginning of a word with U+2581.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import attrs

__all__ = ["convert_minilm"]

LAYERS, WIDTH, INNER, HEADS, POSITIONS, EPSILON = 6, 384, 1536, 12, 512, 1e-12
"""The sizes of the model, as in its config.json."""

LONGEST = 256
"""The tokens that the model was trained to read, as in its sentence_bert_config.json."""

_ALIGNMENT = 32
_BLOCK = 1 << 18
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_F32, _F16 = 0, 1
_MEAN = 1
_NORMAL, _CONTROL = 1, 3
_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_FIXED = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
_IN_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_KEEP = ("position_embd.weight", "token_types.weight")
"""Matrices that stay as they are: llama.cpp adds them up, and adding takes 32-bit floats."""


@attrs.frozen
class _Tensor:
    """A tensor in the source file: its name in GGUF, its shape, and the place of its 32-bit floats."""

    name: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def kind(self) -> int:
        return _F16 if len(self.shape) == 2 and self.name not in _KEEP else _F32

    @property
    def size(self) -> int:
        return (self.end - self.begin) // (2 if self.kind == _F16 else 1)


def convert_minilm(source: Path, vocabulary: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Write the model of a safetensors file and a vocabulary as GGUF. Raises `ValueError` for another model.

    The same files give the same bytes. `progress` is called with the bytes done and all bytes.
    """
    with source.open("rb") as file, target.open("xb") as out:
        tensors = list(_find_tensors(file))
        out.write(_render_header(_describe(vocabulary.read_text(encoding="utf-8").split("\n")), tensors))
        done, total = 0, sum(tensor.size for tensor in tensors)
        for tensor in tensors:
            _pad(out)
            file.seek(tensor.begin)
            for at in range(tensor.begin, tensor.end, _BLOCK):
                block = file.read(min(_BLOCK, tensor.end - at))
                out.write(_halve(block) if tensor.kind == _F16 else block)
                progress(done + (at - tensor.begin) // (2 if tensor.kind == _F16 else 1), total)
            done += tensor.size
        _pad(out)


def _find_tensors(file: BinaryIO) -> Iterator[_Tensor]:
    """Yield the tensors that llama.cpp needs, in the order of the file. Raises `ValueError` for a missing tensor."""
    try:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    except (struct.error, ValueError) as exc:
        raise ValueError(f"the weights are not the model: {exc}") from exc
    wanted = dict(_FIXED)
    for layer in range(LAYERS):
        for name, short in _IN_LAYER.items():
            for part in ("weight", "bias"):
                wanted[f"encoder.layer.{layer}.{name}.{part}"] = f"blk.{layer}.{short}.{part}"
    if missing := sorted(wanted.keys() - header.keys()):
        raise ValueError(f"the weights lack {missing[0]}")
    for name in sorted(wanted, key=lambda name: header[name]["data_offsets"][0]):
        if header[name]["dtype"] != "F32":
            raise ValueError(f"{name} is of {header[name]['dtype']}, not of F32")
        begin, end = header[name]["data_offsets"]
        yield _Tensor(wanted[name], tuple(header[name]["shape"]), 8 + length + begin, 8 + length + end)


def _describe(vocabulary: Sequence[str]) -> Mapping[str, Any]:
    """Return the metadata. Numbers are written as UINT32, texts as STRING."""
    tokens = [token for token in vocabulary if token]
    places = {name: tokens.index(name) for name in _SPECIALS}
    kinds = [_CONTROL if _is_special(token) else _NORMAL for token in tokens]
    return {
        "general.architecture": "bert",
        "general.name": "all-MiniLM-L6-v2",
        "general.license": "apache-2.0",
        "general.alignment": _ALIGNMENT,
        "general.file_type": _F16,
        "bert.block_count": LAYERS,
        "bert.context_length": POSITIONS,
        "bert.embedding_length": WIDTH,
        "bert.feed_forward_length": INNER,
        "bert.attention.head_count": HEADS,
        "bert.attention.layer_norm_epsilon": EPSILON,
        "bert.attention.causal": False,
        "bert.pooling_type": _MEAN,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.tokens": [_mark_word(token) for token in tokens],
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.padding_token_id": places["[PAD]"],
        "tokenizer.ggml.unknown_token_id": places["[UNK]"],
        "tokenizer.ggml.bos_token_id": places["[CLS]"],
        "tokenizer.ggml.cls_token_id": places["[CLS]"],
        "tokenizer.ggml.eos_token_id": places["[SEP]"],
        "tokenizer.ggml.seperator_token_id": places["[SEP]"],  # spelt so in the specification
        "tokenizer.ggml.mask_token_id": places["[MASK]"],
    }


def _is_special(token: str) -> bool:
    return token in _SPECIALS or token.startswith("[unused")


def _mark_word(token: str) -> str:
    if _is_special(token):
        return token
    return token[2:] if token.startswith("##") else f"\u2581{token}"


def _render_header(metadata: Mapping[str, Any], tensors: Sequence[_Tensor]) -> bytes:
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for name, value in metadata.items():
        parts += [_render_text(name), _render_value(value)]
    offset = 0
    for tensor in tensors:
        # GGUF has the fastest dimension first, safetensors last.
        shape = tensor.shape[::-1]
        parts += [_render_text(tensor.name), struct.pack(f"<I{len(shape)}Q", len(shape), *shape)]
        parts.append(struct.pack("<IQ", tensor.kind, offset))
        offset += tensor.size + -tensor.size % _ALIGNMENT
    return b"".join(parts)


def _render_value(value: Any) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", _BOOL, value)
        case int():
            return struct.pack("<II", _UINT32, value)
        case float():
            return struct.pack("<If", _FLOAT32, value)
        case str():
            return struct.pack("<I", _STRING) + _render_text(value)
        case [str(), *_]:
            head = struct.pack("<IIQ", _ARRAY, _STRING, len(value))
            return head + b"".join(map(_render_text, value))
        case _:
            return struct.pack(f"<IIQ{len(value)}i", _ARRAY, _INT32, len(value), *value)


def _render_text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _pad(out: BinaryIO) -> None:
    out.write(bytes(-out.tell() % _ALIGNMENT))


def _halve(block: bytes) -> bytes:
    """Return 32-bit floats as 16-bit floats, rounded to the nearest."""
    count = len(block) // 4
    return struct.pack(f"<{count}e", *struct.unpack(f"<{count}f", block))
