"""Models behind Gemini's format: one pooled HTTP client for each model, and tokens for Vertex AI.

The connection is `agno_rt.http_client`'s; the meaning of the bytes belongs to wire.py and answers.py.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from agno_rt import ModelRequest, ModelResponse
from agno_rt.errors import ConfigError
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.server import Key, without_query
from agno_rt.http_client.streams import emit_whole, read_stream
from agno_rt.limits import LimitStatistics
from agno_rt.models import Emit
from agno_rt.wire.chat_completions import tool_names
from agno_rt.wire.refusals import Peer
from agno_rt_google import answers, wire
from agno_rt_google.credentials import Credentials, read_credentials
from agno_rt_google.facts import LONG_PROMPT
from agno_rt_google.profile import CREDENTIALS_ENV, Server
from agno_rt_google.tokens import TokenSource

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["GoogleModel"]

_NO_KEY = Key("", "nowhere")
_UNAUTHORIZED = 401


class GoogleModel:
    """A Gemini model, behind the Gemini API, Vertex AI or any server with their format.

    `server` says where; `base_url` and `api_key` override its fields. `GoogleModel("gemini-3.8-flash", Server(vertex=
    True, project="my-project"))` asks Vertex AI. Errors call the provider `server_name`; `profile` and `facts` have the
    known facts of the model, and `dialect` the form of its requests. The first request opens the client; `aclose`
    closes the client, and a later request opens a new client.

    Raises `UsageError` for a server with unusable settings.
    """

    def __init__(
        self,
        model: str,
        server: Server | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        server_name: str = "",
    ) -> None:
        server = server or Server()
        if base_url is not None:
            server = attrs.evolve(server, base_url=base_url)
        if api_key is not None:
            server = attrs.evolve(server, api_key=api_key)
        self.model = model
        self.server = server
        self.facts = server.facts(model)
        self.profile = self.facts.profile()
        self.name = f"google:{server_name}:{model}" if server_name else f"google:{model}"
        # Two servers may have the same name; the URL keeps their answers apart in a cache.
        self.identity = server.base_url
        own = "vertex" if server.vertex else "google"
        self.provider = server_name or (own if server.is_official else server.host)
        place = "" if server.is_official else f" {server.host}"
        self.dialect = wire.Dialect(
            model=model,
            service=f"{wire.SERVICE}{' vertex' if server.vertex else ''}{place}",
            facts=self.facts,
            safety_settings=server.safety_settings,
            server_tools=server.server_tools,
        )
        self._client = HttpClient(server, self.provider, "agno-rt-google")
        self._tokens: TokenSource | None = None
        self._project = ""

    def __repr__(self) -> str:
        return f"GoogleModel({self.model!r}, base_url={without_query(self.server.base_url)!r})"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the server, with streaming if `emit` is given.

        Raises `ModelError` for every failure of the server or the connection, `ConfigError` for a missing API key,
        project or file of credentials, `UsageError` for media and settings outside the format, `Overloaded` if too many
        requests wait for a connection.
        """
        body = wire.request_bytes(request, self.dialect)
        key = await self._find_key()
        response = await self._ask(request, body, key, emit, may_expire=self._tokens is not None)
        if response is None:
            # A token may be revoked before its end: ask once more with a new one.
            response = await self._ask(request, body, await self._find_key(), emit)
        # Only the first request may find its token refused.
        assert response is not None
        return response

    async def warm(self) -> None:
        """Open a connection ahead of the first request. Raises `ModelError` if the server cannot be reached."""
        await self._client.warm(self._peer(_NO_KEY, self.server.base_url))

    def check_ready(self) -> None:
        """Raise `ConfigError` if the key, or Vertex AI's project or credentials, are missing. Asks no server."""
        if self.server.key().text:
            self._note_project()
        elif self.server.vertex:
            self._open_tokens()

    async def aclose(self) -> None:
        """Close the connections. A running request fails."""
        await self._client.aclose()
        if self._tokens is not None:
            await self._tokens.aclose()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the numbers of connections in use and of requests waiting for a connection."""
        return self._client.statistics()

    async def _find_key(self) -> Key:
        """Return the API key or the access token. Raises `ConfigError` and `ModelError`."""
        key = self.server.key()
        if key.text or not self.server.vertex:
            self._note_project()
            return key
        return await self._open_tokens().find_token()

    def _note_project(self, of_credentials: str = "") -> None:
        if self.server.vertex and not self.model.startswith("projects/"):
            self._project = self.server.find_project(of_credentials)

    def _open_tokens(self) -> TokenSource:
        if self._tokens is None:
            credentials = self._read_credentials()
            self._note_project(credentials.project)
            self._tokens = TokenSource(credentials, self.server, self.name, self.provider)
        return self._tokens

    def _read_credentials(self) -> Credentials:
        path = self.server.find_credentials()
        if not path:
            hint = (
                f"Set {CREDENTIALS_ENV} to the file of a service account, or {self.server.access_token_env} to the "
                "output of: gcloud auth print-access-token."
            )
            raise ConfigError("Vertex AI needs credentials, and none are set", hint=hint)
        return read_credentials(path)

    async def _ask(
        self, request: ModelRequest, body: bytes, key: Key, emit: Emit | None, *, may_expire: bool = False
    ) -> ModelResponse | None:
        """Send the body and return the response; `None` for a refused token, if the token may have expired."""
        stream = emit is not None
        url = self._build_url(stream=stream)
        headers = self._build_headers(key, stream=stream)
        async with self._client.post(url, body, headers, self._peer(key, url)) as answer:
            if may_expire and answer.status == _UNAUTHORIZED and self._tokens is not None:
                self._tokens.forget(key)
                return None
            return self._count_cost(await self._read_response(answer, request, emit))

    async def _read_response(self, answer: Answer, request: ModelRequest, emit: Emit | None) -> ModelResponse:
        if not 200 <= answer.status < 300:
            raise answers.refuse(answer.peer, answer.status, answer.headers, await answer.read_error(), time.time())
        await answer.check()
        reading = answers.Reading(
            peer=answer.peer, model=self.model, service=self.dialect.service, names=tool_names(request)
        )
        if answer.is_stream(asked_for=emit is not None):
            return await read_stream(answer, answers.ContentStream(reading), emit)
        body = await answer.read_all()
        return await emit_whole(answers.read_content(body, reading, answer.content_type), emit)

    def _count_cost(self, response: ModelResponse) -> ModelResponse:
        """Count the cost of a long prompt, for a model with another price for long prompts."""
        price = self.facts.long_price
        if price is None or response.usage.input_tokens <= LONG_PROMPT:
            return response
        return attrs.evolve(response, usage=attrs.evolve(response.usage, cost=price.of(response.usage)))

    def _build_url(self, *, stream: bool) -> str:
        url = self.server.url(f"{self.server.path(self.model, self._project)}:{_METHODS[stream]}")
        return f"{url}{'&' if '?' in url else '?'}alt=sse" if stream else url

    def _build_headers(self, key: Key, *, stream: bool) -> dict[str, str]:
        headers = {
            "accept": "text/event-stream" if stream else "application/json",
            "content-type": "application/json",
        }
        if key.text and self.server.vertex:
            headers["authorization"] = f"Bearer {key.text}"
            if self._tokens is not None and self._tokens.quota_project:
                headers["x-goog-user-project"] = self._tokens.quota_project
        elif key.text:
            headers["x-goog-api-key"] = key.text
        return headers | {name.lower(): value for name, value in self.server.headers.items()}

    def _peer(self, key: Key, url: str) -> Peer:
        return Peer(
            name=self.name,
            provider=self.provider,
            model=self.model,
            url=without_query(url),
            key_source=key.source,
            secrets=self.server.secrets(key),
        )


_METHODS = {False: "generateContent", True: "streamGenerateContent"}
