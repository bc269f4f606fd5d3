"""Embedders of Amazon Bedrock: Titan, which takes one text a request, and Cohere.

References: Bedrock's API reference, "InvokeModel"; its user guide, "Amazon Titan Embeddings G1 - Text and V2", and
"Cohere Embed and Cohere Embed v4".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

import attrs

from agno_rt.errors import ConfigError, UsageError
from agno_rt.http_client.model import build_headers, change_server
from agno_rt.http_client.retrieval import HttpEmbedder, split_dimensions
from agno_rt.http_client.server import Key
from agno_rt.knowledge.embedders import EmbedderProfile, Purpose, Vector
from agno_rt.messages import Usage
from agno_rt.wire.lenient_json import write_json
from agno_rt.wire.vectors import count_tokens, read_vectors
from agno_rt_bedrock import answers, wire
from agno_rt_bedrock.profile import Server
from agno_rt_bedrock.signing import Credentials, sign

__all__ = ["BedrockEmbedder"]

T = TypeVar("T")

_SERVICE = "bedrock"
_PURPOSES = {"document": "search_document", "query": "search_query"}
_TITAN = EmbedderProfile(batch_texts=1, languages=("*",), note="One text a request.")
_COHERE = EmbedderProfile(batch_texts=96)
_DIMENSIONS = {"amazon.titan-embed-text-v2:0": 1024, "amazon.titan-embed-text-v1": 1536}


class BedrockEmbedder(HttpEmbedder):
    """An embedding model of Bedrock: `BedrockEmbedder("amazon.titan-embed-text-v2:0")`, or one of Cohere.

    `...@256` asks for vectors of 256 numbers. `server` has the settings; `base_url` and `api_key` override its fields.
    Raises `UsageError` for a model of another family, and for unusable settings.
    """

    server: Server
    read_error = staticmethod(answers.read_error)

    def __init__(
        self,
        model: str,
        server: Server | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        server_name: str = "",
    ) -> None:
        server = change_server(server or Server(), base_url=base_url, api_key=api_key)
        name = f"bedrock:{server_name}:{model}" if server_name else f"bedrock:{model}"
        model, self._asked = split_dimensions(model)
        wire.model_path(model, stream=False)  # refuses anything but an id or an ARN
        self.region = server.find_region(model)
        provider = server_name or ("bedrock" if server.is_official else server.host)
        super().__init__(name, model, server.in_region(self.region), provider, "agno-rt-bedrock")
        self._is_titan = "titan-embed" in model
        if not self._is_titan and "cohere.embed" not in model:
            hint = "Embedders of Bedrock here: amazon.titan-embed-text-v2:0, and the models cohere.embed-..."
            raise UsageError(f"{model!r} is not an embedding model that is known here", hint=hint)
        self.profile = _TITAN if self._is_titan else _COHERE
        self.dimensions = self._asked or _DIMENSIONS.get(model)

    def check_ready(self) -> None:
        """Raise `ConfigError` if credentials or the region are missing. Does not ask the service."""
        self._find_access()

    async def request(self, texts: Sequence[str], purpose: Purpose) -> tuple[list[Vector], Usage]:
        """Send the texts, and return their vectors. Titan has no words for queries, and takes one text."""
        if not self._is_titan:
            body = build_cohere(texts, purpose, self._asked)
            return await self._invoke(body, lambda value: (read_cohere(value, len(texts)), Usage()))
        vectors: list[Vector] = []
        usage = Usage()
        for text in texts:
            vector, read = await self._invoke(build_titan(text, self._asked), read_titan)
            vectors.append(vector)
            usage += read
        return vectors, usage

    async def _invoke(self, body: Mapping[str, Any], read: Callable[[Any], T]) -> T:
        access = self._find_access()
        url = self.server.url(f"model/{quote(self.model, safe='')}/invoke")
        data = write_json(body, self.model)
        headers = build_headers(self.server, {}, stream=False)
        if isinstance(access, Key):
            headers["authorization"] = f"Bearer {access.text}"
            peer = self.make_peer(access, url)
        else:
            headers |= sign(url, data, headers, access, (self.region, _SERVICE), datetime.now(UTC))
            peer = self.make_peer(Key("", access.source), url)
            peer = attrs.evolve(peer, secrets=(*peer.secrets, *access.secrets))
        async with self._client.post(url, data, headers, peer) as answer:
            return await self.read_answer(answer, read, "vectors")

    def _find_access(self) -> Key | Credentials:
        access = self.server.find_access()
        # An address with a place for the region needs one, and so does a signature.
        if not self.region and (isinstance(access, Credentials) or "{region}" in self.server.base_url):
            hint = "Set AWS_REGION, or region in [plugins.bedrock]."
            raise ConfigError("Bedrock needs an AWS region, and none is set", hint=hint)
        return access


def build_titan(text: str, dimensions: int | None) -> dict[str, Any]:
    """Return the body for a model of Titan."""
    body: dict[str, Any] = {"inputText": text}
    if dimensions is not None:
        body |= {"dimensions": dimensions, "normalize": True}
    return body


def read_titan(value: Any) -> tuple[Vector, Usage]:
    """Return the vector in an answer of Titan, and the tokens read. Raises `ValueError`."""
    return read_vectors([value["embedding"]], 1)[0], count_tokens(value, "inputTextTokenCount")


def build_cohere(texts: Sequence[str], purpose: Purpose, dimensions: int | None) -> dict[str, Any]:
    """Return the body for a model of Cohere."""
    body: dict[str, Any] = {"texts": list(texts), "input_type": _PURPOSES[purpose], "truncate": "NONE"}
    if dimensions is not None:
        body["output_dimension"] = dimensions
    return body


def read_cohere(value: Any, count: int) -> list[Vector]:
    """Return the vectors in an answer of Cohere, which stand in a list, or under their type. Raises `ValueError`."""
    found = value["embeddings"]
    return read_vectors(found["float"] if isinstance(found, Mapping) else found, count)
