"""Models of Bedrock: one pooled HTTP client for each model.

The connection is `agno_rt.http_client`'s; the meaning of the bytes belongs to wire.py, event_stream.py and answers.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs

from agno_rt import ModelRequest, ModelResponse
from agno_rt.errors import ConfigError
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.server import Key, without_query
from agno_rt.http_client.streams import emit_whole, read_stream
from agno_rt.limits import LimitStatistics
from agno_rt.models import Emit
from agno_rt.wire.answers import AnswerStream, read_answer
from agno_rt.wire.chat_completions import tool_names
from agno_rt.wire.refusals import Peer
from agno_rt_bedrock import answers, wire
from agno_rt_bedrock.event_stream import StreamValues
from agno_rt_bedrock.profile import Server
from agno_rt_bedrock.signing import Credentials, sign

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["BedrockModel"]

_SERVICE = "bedrock"
"""The service's name in signatures."""

_STREAM_TYPE = "application/vnd.amazon.eventstream"


class BedrockModel:
    """A model of Amazon Bedrock: the id of a model or of an inference profile, or an ARN.

    `server` has the settings; `region`, `base_url` and `api_key` override its fields. Errors call the provider
    `server_name`, or `bedrock`; `profile` and `facts` have the known facts of the model, and `dialect` the form of its
    requests. The first request opens the client; `aclose` closes the client, and a later request opens a new client.

    Raises `UsageError` for anything but an id or an ARN, and for unusable settings.
    """

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
        server = server or Server()
        if region is not None:
            server = attrs.evolve(server, region=region)
        if base_url is not None:
            server = attrs.evolve(server, base_url=base_url)
        if api_key is not None:
            server = attrs.evolve(server, api_key=api_key)
        self.model = model
        self.region = server.find_region(model)
        self.server = server.in_region(self.region)
        self.facts = server.facts(model)
        self.profile = self.facts.model_profile()
        self.name = f"bedrock:{server_name}:{model}" if server_name else f"bedrock:{model}"
        # Two servers may have the same name; the URL keeps their answers apart in a cache.
        self.identity = self.server.base_url
        self.provider = server_name or ("bedrock" if server.is_official else server.host)
        self.dialect = wire.Dialect(
            model=model,
            service=wire.SERVICE if server.is_official else f"{wire.SERVICE} {server.host}",
            facts=self.facts,
            cache=server.cache,
            body=server.body,
        )
        self._url = self.server.url(wire.model_path(model, stream=False))
        self._stream_url = self.server.url(wire.model_path(model, stream=True))
        self._client = HttpClient(self.server, self.provider, "agno-rt-bedrock")

    def __repr__(self) -> str:
        return f"BedrockModel({self.model!r}, base_url={without_query(self.server.base_url)!r})"

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
        async with self._client.post(url, body, headers, self._peer(access)) as answer:
            return await self._read_response(answer, request, emit)

    async def warm(self) -> None:
        """Open a connection ahead of the first request. Raises `ModelError` if the service cannot be reached, and
        `ConfigError` for a missing region."""
        self._check_region(self._url)
        await self._client.warm(self._peer(Key("", "nowhere")))

    def check_ready(self) -> None:
        """Raise `ConfigError` if credentials or the region are missing. Does not ask the service."""
        self._find_access()

    async def aclose(self) -> None:
        """Close the connections. A running request fails."""
        await self._client.aclose()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the numbers of connections in use and of requests waiting for a connection."""
        return self._client.statistics()

    async def _read_response(self, answer: Answer, request: ModelRequest, emit: Emit | None) -> ModelResponse:
        await answer.check()
        names = tool_names(request)
        format_ = answers.ConverseFormat(model=self.model, service=self.dialect.service, names=names)
        if answer.is_stream(asked_for=emit is not None):
            reader = AnswerStream(answer.peer, format_, StreamValues(answer.peer))
            response = await read_stream(answer, reader, emit)
        else:
            body = await answer.read_all()
            response = await emit_whole(read_answer(body, answer.peer, format_, answer.content_type), emit)
        if response.raw_finish_reason in answers.MALFORMED:
            problem = f"wrote an answer that cannot be used: {response.raw_finish_reason}"
            raise answer.peer.error(problem, retryable=True)
        return attrs.evolve(response, request_id=answer.peer.request_id)

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
        headers = {"accept": _STREAM_TYPE if stream else "application/json", "content-type": "application/json"}
        headers |= {name.lower(): value for name, value in self.server.headers.items()}
        if isinstance(access, Key):
            return {**headers, "authorization": f"Bearer {access.text}"}
        signed = sign(url, body, headers, access, (self.region, _SERVICE), datetime.now(UTC))
        return {**headers, **signed}

    def _peer(self, access: Key | Credentials) -> Peer:
        key = access if isinstance(access, Key) else Key("", access.source)
        more = access.secrets if isinstance(access, Credentials) else ()
        return Peer(
            name=self.name,
            provider=self.provider,
            model=self.model,
            url=without_query(self._url),
            key_source=key.source,
            secrets=(*self.server.secrets(key), *more),
            read_error=answers.read_error,
        )
