"""Models of Bedrock: one pooled HTTP client for each model.

The connection is `agno_rt.http_client`'s; the meaning of the bytes belongs to wire.py, event_stream.py and answers.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agno_rt import ModelRequest, ModelResponse
from agno_rt.errors import ConfigError
from agno_rt.http_client.model import HttpModel, build_headers, change_server, read_response
from agno_rt.http_client.server import Key
from agno_rt.models import Emit
from agno_rt.wire.chat_completions import tool_names
from agno_rt_bedrock import answers, wire
from agno_rt_bedrock.event_stream import StreamValues
from agno_rt_bedrock.facts import Facts
from agno_rt_bedrock.profile import PLUGIN, Server
from agno_rt_bedrock.signing import Credentials, sign

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["BedrockModel"]

_SERVICE = "bedrock"
"""The service's name in signatures."""

_STREAM_TYPE = "application/vnd.amazon.eventstream"


class BedrockModel(HttpModel[Server, Facts]):
    """A model of Amazon Bedrock: the id of a model or of an inference profile, or an ARN.

    `server` has the settings; `region`, `base_url` and `api_key` override its fields. Errors call the provider
    `server_name`, or `bedrock`; `profile` and `facts` have the known facts of the model, and `dialect` the form of its
    requests. The first request opens the client; `aclose` closes the client, and a later request opens a new client.

    Raises `UsageError` for anything but an id or an ARN, and for unusable settings.
    """

    plugin = PLUGIN

    def __init__(
        self,
        model: str,
        server: Server | None = None,
        *,
        region: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        server_name: str = "",
    ) -> None:
        server = change_server(server or Server(), region=region, base_url=base_url, api_key=api_key)
        self.region = server.find_region(model)
        own_name = PLUGIN if server.is_official else server.host
        placed = server.in_region(self.region)
        super().__init__(model, placed, server.facts(model), own_name=own_name, server_name=server_name)
        self.dialect = wire.Dialect(
            model=model,
            service=wire.SERVICE if server.is_official else f"{wire.SERVICE} {server.host}",
            facts=self.facts,
            cache=server.cache,
            body=server.body,
        )
        self._url = self.server.url(wire.model_path(model, stream=False))
        self._stream_url = self.server.url(wire.model_path(model, stream=True))

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the service, with streaming if `emit` is given.

        Raises `ModelError` for every failure of the service or the connection, `ConfigError` for missing credentials
        or a missing region, `UsageError` for media and settings outside the format, `Overloaded` if too many requests
        wait for a connection.
        """
        access = self._find_access()
        url = self._url if emit is None else self._stream_url
        body = wire.request_bytes(request, self.dialect, stream=emit is not None)
        headers = self._build_headers(url, body, access, stream=emit is not None)
        key = access if isinstance(access, Key) else Key("", access.source)
        peer = self._make_peer(key, self._url, access.secrets if isinstance(access, Credentials) else ())
        async with self._client.post(url, body, headers, peer) as answer:
            return await self._read_response(answer, request, emit)

    async def warm(self) -> None:
        """Open a connection ahead of the first request. Raises `ModelError` if the service cannot be reached, and
        `ConfigError` for a missing region."""
        self._check_region(self._url)
        await super().warm()

    def read_error(self, error: Any) -> tuple[Any, str]:
        """Return the words and the kind of the service's error object, both empty for anything else."""
        return answers.read_error(error)

    def check_ready(self) -> None:
        """Raise `ConfigError` if credentials or the region are missing. Does not ask the service."""
        self._find_access()

    async def _read_response(self, answer: Answer, request: ModelRequest, emit: Emit | None) -> ModelResponse:
        names = tool_names(request)
        format_ = answers.ConverseFormat(model=self.model, service=self.dialect.service, names=names)
        response = await read_response(answer, format_, emit, StreamValues(answer.peer))
        if response.raw_finish_reason in answers.MALFORMED:
            problem = f"wrote an answer that cannot be used: {response.raw_finish_reason}"
            raise answer.peer.error(problem, retryable=True)
        return response

    def _find_access(self) -> Key | Credentials:
        """Return the API key or the credentials. Raises `ConfigError` if they, or the region, are missing."""
        access = self.server.find_access()
        self._check_region("" if isinstance(access, Credentials) else self._url)
        return access

    def _check_region(self, url: str) -> None:
        """Raise `ConfigError` for a missing region, which an address without a place for the region does not need."""
        if not self.region and (not url or "{region}" in self.server.base_url):
            hint = "Set AWS_REGION, or region in [plugins.bedrock]."
            raise ConfigError("Bedrock needs an AWS region, and none is set", hint=hint)

    def _build_headers(self, url: str, body: bytes, access: Key | Credentials, *, stream: bool) -> dict[str, str]:
        headers = build_headers(self.server, {}, stream=stream, stream_type=_STREAM_TYPE)
        if isinstance(access, Key):
            return headers | access.bearer()
        return headers | sign(url, body, headers, access, (self.region, _SERVICE), datetime.now(UTC))
