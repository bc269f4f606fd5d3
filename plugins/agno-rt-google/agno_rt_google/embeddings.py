"""Embedders of Google: by the Gemini API and by Vertex AI.

References: the Gemini API reference, "models.batchEmbedContents", and its guide "Embeddings"; Vertex AI's reference,
"Text embeddings API".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from agno_rt.errors import ConfigError
from agno_rt.http_client.google_tokens import GoogleTokens
from agno_rt.http_client.model import build_headers, change_server
from agno_rt.http_client.retrieval import HttpEmbedder, split_dimensions
from agno_rt.http_client.server import Key
from agno_rt.knowledge.embedders import EmbedderProfile, Purpose, Vector
from agno_rt.messages import Usage
from agno_rt.models import Price
from agno_rt.wire.lenient_json import write_json
from agno_rt.wire.vectors import read_value, read_vectors
from agno_rt_google.answers import refuse
from agno_rt_google.credentials import read_credentials
from agno_rt_google.profile import CREDENTIALS_ENV, Server

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["GoogleEmbedder"]

T = TypeVar("T")

AS_OF = "2026-11-30"
_UNAUTHORIZED = 401
_TASKS = {"document": "RETRIEVAL_DOCUMENT", "query": "RETRIEVAL_QUERY"}
_GEMINI = "gemini-embedding-001"
_MODELS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    _GEMINI: (3072, ("*",)),
    "text-embedding-005": (768, ("en",)),
    "text-multilingual-embedding-002": (768, ("*",)),
}
"""The length of vectors, and the languages."""


class GoogleEmbedder(HttpEmbedder):
    """An embedding model of Google: `GoogleEmbedder("gemini-embedding-001")`, and `...@768` for shorter vectors.

    `Server(vertex=True, project="my-project")` asks Vertex AI, which refuses a text that is too long. The Gemini API
    reads the first 2,048 tokens of a text, and does not tell which texts it cut. Shorter vectors of the service do not
    have length 1, and get it here. Raises `UsageError` for a server with unusable settings.
    """

    server: Server

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
        name = f"google:{server_name}:{model}" if server_name else f"google:{model}"
        model, self._asked = split_dimensions(model)
        own = "vertex" if server.vertex else "google"
        super().__init__(
            name, model, server, server_name or (own if server.is_official else server.host), "agno-rt-google"
        )
        dimensions, languages = _MODELS.get(model, (None, ()))
        self.dimensions = self._asked or dimensions
        self.profile = _describe(model, languages, vertex=server.vertex, official=server.is_official)
        self._tokens: GoogleTokens | None = None
        self._project = ""

    def find_key(self) -> Key:
        """Return the API key, or an empty key for Vertex AI with a file of credentials. Raises `ConfigError`."""
        return self.server.key()

    def check_ready(self) -> None:
        """Raise `ConfigError` if the key, or Vertex AI's project or credentials, are missing. Asks no server."""
        if self.server.key().text:
            self._note_project()
        elif self.server.vertex:
            self._open_tokens()

    def build_headers(self, key: Key) -> Mapping[str, str]:
        """Return the header with the key, or with the token of Vertex AI."""
        if not key.text or not self.server.vertex:
            return {"x-goog-api-key": key.text} if key.text else {}
        headers = {"authorization": f"Bearer {key.text}"}
        if self._tokens is not None and self._tokens.quota_project:
            headers["x-goog-user-project"] = self._tokens.quota_project
        return headers

    async def aclose(self) -> None:
        """Close the connections. A running call fails."""
        await super().aclose()
        if self._tokens is not None:
            await self._tokens.aclose()

    async def request(self, texts: Sequence[str], purpose: Purpose) -> tuple[list[Vector], Usage]:
        """Send the texts, and return their vectors."""
        key = await self._find_access()
        path = self.server.path(self.model, self._project)
        if self.server.vertex:
            body, read = build_instances(texts, purpose, self._asked), read_predictions
            path = f"{path}:predict"
        else:
            resource = self.model if "/" in self.model else f"models/{self.model}"
            body, read = build_requests(resource, texts, purpose, self._asked), read_embeddings
            path = f"{path}:batchEmbedContents"
        found = await self._send(path, body, key, lambda value: read(value, len(texts)), may_expire=True)
        if found is None:  # a token may be revoked before its end: ask once more with a new one
            found = await self._send(path, body, await self._find_access(), lambda value: read(value, len(texts)))
        assert found is not None, "only the first request may find its token refused"
        return found

    async def _send(
        self, path: str, body: Mapping[str, Any], key: Key, read: Callable[[Any], T], *, may_expire: bool = False
    ) -> T | None:
        """Send the body and return the result of `read`; `None` for a refused token, if the token may have expired."""
        url = self.server.url(path)
        headers = build_headers(self.server, self.build_headers(key), stream=False)
        async with self._client.post(url, write_json(body, self.model), headers, self.make_peer(key, url)) as answer:
            if may_expire and answer.status == _UNAUTHORIZED and self._tokens is not None:
                self._tokens.forget(key)
                return None
            return await self.read_answer(answer, read, "vectors")

    async def read_answer(self, answer: Answer, read: Callable[[Any], T], noun: str) -> T:
        """Return the result of `read`. Raises `ModelError`, with the wait that stands in the body of a refusal."""
        if not 200 <= answer.status < 300:
            raise refuse(answer.peer, answer.status, answer.headers, await answer.read_error(), time.time())
        await answer.check()
        return read_value(await answer.read_all(), answer.peer, read, noun)

    async def _find_access(self) -> Key:
        key = self.server.key()
        if key.text or not self.server.vertex:
            self._note_project()
            return key
        return await self._open_tokens().find_token()

    def _note_project(self, of_credentials: str = "") -> None:
        if self.server.vertex and not self.model.startswith("projects/"):
            self._project = self.server.find_project(of_credentials)

    def _open_tokens(self) -> GoogleTokens:
        if self._tokens is None:
            path = self.server.find_credentials()
            if not path:
                hint = f"Set {CREDENTIALS_ENV} to the file of a service account, or {self.server.access_token_env}."
                raise ConfigError("Vertex AI needs credentials, and none are set", hint=hint)
            credentials = read_credentials(path)
            self._note_project(credentials.project)
            self._tokens = GoogleTokens(credentials, self.server, self.name, self.provider, "agno-rt-google")
        return self._tokens


def build_requests(resource: str, texts: Sequence[str], purpose: Purpose, dimensions: int | None) -> dict[str, Any]:
    """Return the body of batchEmbedContents."""
    fields: dict[str, Any] = {"model": resource, "taskType": _TASKS[purpose]}
    if dimensions is not None:
        fields["outputDimensionality"] = dimensions
    return {"requests": [{**fields, "content": {"parts": [{"text": text}]}} for text in texts]}


def build_instances(texts: Sequence[str], purpose: Purpose, dimensions: int | None) -> dict[str, Any]:
    """Return the body of predict."""
    parameters: dict[str, Any] = {"autoTruncate": False}
    if dimensions is not None:
        parameters["outputDimensionality"] = dimensions
    return {"instances": [{"content": text, "task_type": _TASKS[purpose]} for text in texts], "parameters": parameters}


def read_embeddings(value: Any, count: int) -> tuple[list[Vector], Usage]:
    """Return the vectors in an answer of batchEmbedContents, which does not tell the tokens. Raises `ValueError`."""
    return read_vectors([each["values"] for each in value["embeddings"]], count), Usage()


def read_predictions(value: Any, count: int) -> tuple[list[Vector], Usage]:
    """Return the vectors in an answer of predict, and the tokens read. Raises `ValueError`."""
    found = [each["embeddings"] for each in value["predictions"]]
    tokens = [(each.get("statistics") or {}).get("token_count", 0) for each in found]
    return read_vectors([each["values"] for each in found], count), Usage(input_tokens=int(sum(tokens)))


def _describe(model: str, languages: tuple[str, ...], *, vertex: bool, official: bool) -> EmbedderProfile:
    """Return the profile. On Vertex AI, `gemini-embedding-001` takes one text a request, and older models many."""
    if vertex:
        texts, tokens = (1, None) if model == _GEMINI else (250, 15_000)
        return EmbedderProfile(batch_texts=texts, batch_tokens=tokens, languages=languages)
    price = Price(0.15, 0.0, as_of=AS_OF) if official and model == _GEMINI else None
    note = "The service cuts a text at 2,048 tokens, and does not tell."
    return EmbedderProfile(too_long="cut", batch_texts=100, languages=languages, price=price, note=note)
