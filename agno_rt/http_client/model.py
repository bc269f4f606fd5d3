"""The parts that models behind HTTP share: the server, the name, the facts and one pooled client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import attrs

from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.facts import ModelFacts
from agno_rt.http_client.server import HttpServer, Key, without_query
from agno_rt.http_client.streams import emit_whole, read_stream
from agno_rt.limits import LimitStatistics
from agno_rt.models import Emit, ModelResponse
from agno_rt.wire.answers import AnswerStream, Format, Values, read_answer
from agno_rt.wire.refusals import Peer, describe_error

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["NO_KEY", "HttpModel", "build_headers", "change_server", "read_response"]

ServerT = TypeVar("ServerT", bound=HttpServer)
FactsT = TypeVar("FactsT", bound=ModelFacts)

NO_KEY = Key("", "nowhere")
"""The key of a request without a key."""


class HttpModel(Generic[ServerT, FactsT]):
    """A model behind HTTP, without its wire format: a subclass adds `respond`.

    `plugin` names the plugin, and `own_name` its own service in errors; a server of the settings has `server_name`.
    The first request opens the client; `aclose` closes the client, and a later request opens a new one.
    """

    plugin: ClassVar[str]

    def __init__(self, model: str, server: ServerT, facts: FactsT, *, own_name: str, server_name: str) -> None:
        self.model = model
        self.server = server
        self.facts = facts
        self.profile = facts.model_profile()
        self.name = f"{self.plugin}:{server_name}:{model}" if server_name else f"{self.plugin}:{model}"
        # Two servers may have the same name; the URL keeps their answers apart in a cache.
        self.identity = server.base_url
        self.provider = server_name or own_name
        self._client = HttpClient(server, self.provider, f"agno-rt-{self.plugin}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, base_url={without_query(self.server.base_url)!r})"

    def read_error(self, error: Any) -> tuple[Any, str]:
        """Return the words and the kind of a service's error object, both empty for anything else."""
        return describe_error(error)

    async def warm(self) -> None:
        """Open a connection ahead of the first request. Raises `ModelError` if the server cannot be reached."""
        await self._client.warm(self._make_peer(NO_KEY, self.server.base_url))

    async def aclose(self) -> None:
        """Close the connections. A running request fails."""
        await self._client.aclose()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the numbers of connections in use and of requests waiting for a connection."""
        return self._client.statistics()

    def _make_peer(self, key: Key, url: str, secrets: tuple[str, ...] = ()) -> Peer:
        """Return the server for errors; `secrets` are texts that no error may quote, beside the key."""
        return Peer(
            name=self.name,
            provider=self.provider,
            model=self.model,
            url=without_query(url),
            key_source=key.source,
            secrets=(*self.server.secrets(key), *secrets),
            read_error=self.read_error,
        )


def change_server(server: ServerT, **changes: Any) -> ServerT:
    """Return the server with each change that is not `None`. Raises `UsageError` for an unusable value."""
    made = {name: value for name, value in changes.items() if value is not None}
    return attrs.evolve(server, **made) if made else server


def build_headers(
    server: HttpServer, more: Mapping[str, str], *, stream: bool, stream_type: str = "text/event-stream"
) -> dict[str, str]:
    """Return the headers of a JSON request: the types, then `more`, then the server's own, in small letters."""
    types = {"accept": stream_type if stream else "application/json", "content-type": "application/json"}
    return types | dict(more) | {name.lower(): value for name, value in server.headers.items()}


async def read_response(
    answer: Answer,
    format_: Format,
    emit: Emit | None,
    values: Values | None = None,
    *,
    is_stream: bool | None = None,
) -> ModelResponse:
    """Read an answer of success, streamed or whole, and emit its deltas.

    `values` reads streams other than events; `is_stream` says whether the answer streams, if its content type and the
    request do not. Raises `ModelError` for a refusal and for anything but an answer; exceptions of `emit` pass.
    """
    await answer.check()
    if answer.is_stream(asked_for=emit is not None) if is_stream is None else is_stream:
        response = await read_stream(answer, AnswerStream(answer.peer, format_, values), emit)
    else:
        whole = read_answer(await answer.read_all(), answer.peer, format_, answer.content_type)
        response = await emit_whole(whole, emit)
    response.request_id = response.request_id or answer.peer.request_id
    return response
