"""Models behind Gemini's format: one pooled HTTP client for each model, and tokens for Vertex AI.

The connection is `agno_rt.http_client`'s; the meaning of the bytes belongs to wire.py and answers.py.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agno_rt import ModelRequest, ModelResponse
from agno_rt.errors import ConfigError
from agno_rt.http_client.google_credentials import GoogleCredentials
from agno_rt.http_client.google_tokens import GoogleTokens
from agno_rt.http_client.model import HttpModel, build_headers, change_server
from agno_rt.http_client.server import Key
from agno_rt.http_client.streams import emit_whole, read_stream
from agno_rt.models import Emit
from agno_rt.wire.chat_completions import tool_names
from agno_rt_google import answers, wire
from agno_rt_google.credentials import read_credentials
from agno_rt_google.facts import Facts
from agno_rt_google.profile import CREDENTIALS_ENV, PLUGIN, VERTEX, Server

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["GoogleModel"]

_UNAUTHORIZED = 401


class GoogleModel(HttpModel[Server, Facts]):
    """A Gemini model, behind the Gemini API, Vertex AI or any server with their format.

    `server` says where; `base_url` and `api_key` override its fields. `GoogleModel("gemini-3.8-flash", Server(vertex=
    True, project="my-project"))` asks Vertex AI. Errors call the provider `server_name`; `profile` and `facts` have the
    known facts of the model, and `dialect` the form of its requests. The first request opens the client; `aclose`
    closes the client, and a later request opens a new client.

    Raises `UsageError` for a server with unusable settings.
    """

    plugin = PLUGIN

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
        own_name = VERTEX if server.vertex else PLUGIN
        own_name = own_name if server.is_official else server.host
        super().__init__(model, server, server.facts(model), own_name=own_name, server_name=server_name)
        place = "" if server.is_official else f" {server.host}"
        self.dialect = wire.Dialect(
            model=model,
            service=f"{wire.SERVICE}{' vertex' if server.vertex else ''}{place}",
            facts=self.facts,
            safety_settings=server.safety_settings,
            server_tools=server.server_tools,
        )
        self._tokens: GoogleTokens | None = None
        self._project = ""

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

    def check_ready(self) -> None:
        """Raise `ConfigError` if the key, or Vertex AI's project or credentials, are missing. Asks no server."""
        if self.server.key().text:
            self._note_project()
        elif self.server.vertex:
            self._open_tokens()

    async def aclose(self) -> None:
        """Close the connections. A running request fails."""
        await super().aclose()
        if self._tokens is not None:
            await self._tokens.aclose()

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

    def _open_tokens(self) -> GoogleTokens:
        if self._tokens is None:
            credentials = self._read_credentials()
            self._note_project(credentials.project)
            self._tokens = GoogleTokens(credentials, self.server, self.name, self.provider, "agno-rt-google")
        return self._tokens

    def _read_credentials(self) -> GoogleCredentials:
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
        async with self._client.post(url, body, headers, self._make_peer(key, url)) as answer:
            if may_expire and answer.status == _UNAUTHORIZED and self._tokens is not None:
                self._tokens.forget(key)
                return None
            return await self._read_response(answer, request, emit)

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

    def _build_url(self, *, stream: bool) -> str:
        url = self.server.url(f"{self.server.path(self.model, self._project)}:{_METHODS[stream]}")
        return f"{url}{'&' if '?' in url else '?'}alt=sse" if stream else url

    def _build_headers(self, key: Key, *, stream: bool) -> dict[str, str]:
        more: dict[str, str] = {}
        if self.server.vertex:
            more |= key.bearer()
            if key.text and self._tokens is not None and self._tokens.quota_project:
                more["x-goog-user-project"] = self._tokens.quota_project
        elif key.text:
            more["x-goog-api-key"] = key.text
        return build_headers(self.server, more, stream=stream)


_METHODS = {False: "generateContent", True: "streamGenerateContent"}
