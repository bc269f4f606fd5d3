"""The formats of vectors and rankings for the wire contracts, as each provider's reference has them.

References: OpenAI's API reference, "The embedding object" and "Create embeddings"; Jina's, "Reranker API"; Ollama's,
"Generate Embeddings"; Cohere's, "Embed" and "Rerank" (v2); Google's, "models.batchEmbedContents", and Vertex AI's,
"Text embeddings API"; the user guide of Bedrock, "Amazon Titan Embeddings G1 and V2" and "Cohere Embed".
"""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Sequence
from typing import Any

from agno_rt.testing import VectorFormat

__all__ = ["BedrockVectors", "CohereVectors", "GeminiVectors", "OllamaVectors", "OpenAIVectors", "VertexVectors"]


class OpenAIVectors(VectorFormat):
    """Vectors beside their index, as numbers or as base64; rankings as Jina's."""

    has_index = True

    def __init__(self, *, packed: bool = False) -> None:
        self.packed = packed

    def render_vectors(self, vectors: Sequence[Any], indices: Sequence[int], tokens: int) -> bytes:
        """Return the list object."""
        data = [
            {"object": "embedding", "index": index, "embedding": self._pack(list(vector))}
            for vector, index in zip(vectors, indices, strict=True)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return json.dumps({"object": "list", "data": data, "model": "m", "usage": usage}).encode()

    def render_ranking(self, ranked: Sequence[tuple[int, float]]) -> bytes:
        """Return Jina's answer."""
        results = [{"index": index, "relevance_score": score} for index, score in ranked]
        return json.dumps({"model": "m", "usage": {"total_tokens": 9}, "results": results}).encode()

    def render_error(self, status: int, message: str) -> bytes:
        """Return the error object."""
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        return json.dumps({"error": error}).encode()

    def _pack(self, vector: list[Any]) -> Any:
        if not self.packed or not all(isinstance(each, int | float) for each in vector):
            return vector
        return base64.b64encode(array("f", vector).tobytes()).decode()


class OllamaVectors(VectorFormat):
    """Vectors in the order of the texts."""

    id_header = ""

    def render_vectors(self, vectors: Sequence[Any], indices: Sequence[int], tokens: int) -> bytes:
        """Return the answer of /api/embed."""
        counts = {"total_duration": 14_143_917, "load_duration": 1_019_500, "prompt_eval_count": tokens}
        return json.dumps({"model": "m", "embeddings": [list(each) for each in vectors], **counts}).encode()

    def render_error(self, status: int, message: str) -> bytes:
        """Return the error, which is a bare text."""
        return json.dumps({"error": message}).encode()


class CohereVectors(VectorFormat):
    """Vectors by their type, in the order of the texts; rankings with an id and billed units."""

    id_header = "x-debug-trace-id"

    def render_vectors(self, vectors: Sequence[Any], indices: Sequence[int], tokens: int) -> bytes:
        """Return the answer of v2/embed."""
        meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}}
        found = {"float": [list(each) for each in vectors]}
        return json.dumps({"id": "e1", "embeddings": found, "texts": ["a"] * len(vectors), "meta": meta}).encode()

    def render_ranking(self, ranked: Sequence[tuple[int, float]]) -> bytes:
        """Return the answer of v2/rerank."""
        results = [{"index": index, "relevance_score": score} for index, score in ranked]
        meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
        return json.dumps({"id": "r1", "results": results, "meta": meta}).encode()

    def render_error(self, status: int, message: str) -> bytes:
        """Return the error, which is a message."""
        return json.dumps({"id": "x", "message": message}).encode()


class BedrockVectors(VectorFormat):
    """Vectors of Cohere's models, as InvokeModel returns them."""

    id_header = "x-amzn-requestid"
    counts = False

    def render_vectors(self, vectors: Sequence[Any], indices: Sequence[int], tokens: int) -> bytes:
        """Return the answer of the model."""
        found = [list(each) for each in vectors]
        return json.dumps({"embeddings": found, "id": "b1", "response_type": "embeddings_floats"}).encode()

    def render_error(self, status: int, message: str) -> bytes:
        """Return the error, which is a message."""
        return json.dumps({"message": message}).encode()


class GeminiVectors(VectorFormat):
    """Vectors as `values`, in the order of the requests."""

    id_header = "x-goog-request-id"
    counts = False

    def render_vectors(self, vectors: Sequence[Any], indices: Sequence[int], tokens: int) -> bytes:
        """Return the answer of batchEmbedContents."""
        return json.dumps({"embeddings": [{"values": list(each)} for each in vectors]}).encode()

    def render_error(self, status: int, message: str) -> bytes:
        """Return the error object of Google's services."""
        return json.dumps({"error": {"code": status, "message": message, "status": "UNKNOWN"}}).encode()


class VertexVectors(GeminiVectors):
    """Vectors within predictions, with the tokens of each."""

    counts = True

    def render_vectors(self, vectors: Sequence[Any], indices: Sequence[int], tokens: int) -> bytes:
        """Return the answer of predict."""
        share = [tokens // max(1, len(vectors))] * len(vectors)
        predictions = [
            {"embeddings": {"values": list(each), "statistics": {"truncated": False, "token_count": count}}}
            for each, count in zip(vectors, share, strict=True)
        ]
        return json.dumps({"predictions": predictions, "metadata": {"billableCharacterCount": 40}}).encode()
