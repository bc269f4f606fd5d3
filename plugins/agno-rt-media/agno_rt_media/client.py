"""The client of a service: makes media in one request, or by a task that is asked for until it ends.

Every failure of the service or the connection is a `ModelError` with status, request id and retryability.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import trio

from agno_rt import media
from agno_rt.errors import ModelError, UsageError
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.model import build_headers
from agno_rt.http_client.retrieval import JsonService
from agno_rt.http_client.server import HttpServer, Key, without_query
from agno_rt.messages import Media, Usage
from agno_rt.wire.lenient_json import write_json
from agno_rt.wire.refusals import Peer, plain
from agno_rt.wire.vectors import read_value
from agno_rt_media import wire
from agno_rt_media.settings import PLUGIN, Kind, MediaServer

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["CLOSE_SECONDS", "MediaService", "Report", "Spend"]

T = TypeVar("T")

Spend: TypeAlias = Callable[[Usage], None]
"""Called with the tokens of an answer, if the service counts them."""

Report: TypeAlias = Callable[[wire.Task], Awaitable[None]]
"""Called with each news of a running task."""

_GROWTH = 1.5
_LONGEST = 10
"""The longest wait between two questions for a task, in first waits."""

_DOWNLOADS = 3
"""Attempts to fetch a finished file: making the file again would cost again."""

_MARGIN_SECONDS = 1.0
_MARGIN_SHARE = 0.1
"""The time left before the deadline of the tool or the run, in which the call can still tell the task's name."""

CLOSE_SECONDS = 5.0
_TASKS = 1_000
"""Started tasks to remember: a finished file can be fetched again if it could not be written."""

_MAKERS: dict[str, Callable[..., Media]] = {
    "image": media.image,
    "edit": media.image,
    "speech": media.audio,
    "video": media.video,
}


def _spend_nothing(usage: Usage) -> None:
    """Count nothing, for calls outside a run."""


class MediaService(JsonService):
    """A service for one kind of tool. Close it with `aclose`. A method's `spend` is called with the tokens used.

    Each method raises `ModelError` for every failure of the service, the connection or the deadline, `ConfigError` for
    a missing key, and `Overloaded` if too many requests wait for a connection.
    """

    read_error = staticmethod(wire.describe_refusal)
    server: MediaServer

    def __init__(self, kind: Kind, server: MediaServer) -> None:
        provider = server.service if server.is_official else server.host
        super().__init__(f"{PLUGIN}:{kind}:{server.model}", server.model, server, provider, "agno-rt-media")
        self.kind = kind
        self.most_bytes = server.most_bytes(kind)
        self._started: dict[str, None] = {}

    def build_headers(self, key: Key) -> Mapping[str, str]:
        """Return the header with the key, in the service's form."""
        if self.server.service == "elevenlabs" and key.text:
            return {"xi-api-key": key.text}
        return super().build_headers(key)

    def find_key(self) -> Key:
        """Return the key to send. Raises `ConfigError` for a missing or unusable key."""
        return self.server.key()

    async def make_image(self, prompt: str, spend: Spend = _spend_nothing) -> Media:
        """Return an image."""
        with self._bound() as deadline:
            body = wire.build_image(self.server, prompt)
            made = await self.ask("images/generations", body, _count(wire.read_image, spend), "an image")
            return await self._take(made, deadline)

    async def edit_image(self, prompt: str, images: Sequence[Media], spend: Spend = _spend_nothing) -> Media:
        """Return an image made from images."""
        with self._bound() as deadline:
            # The name that OpenAI's own SDK gives: with brackets for several files.
            field = "image" if len(images) == 1 else "image[]"
            fields = wire.list_edit_fields(self.server, prompt)
            files = [(field, image) for image in images]
            made = await self._send_form("images/edits", fields, files, _count(wire.read_image, spend), "an image")
            return await self._take(made, deadline)

    async def make_speech(self, text: str) -> Media:
        """Return the text as sound."""
        return await self._load_sound(self.server.url("audio/speech"), wire.build_speech(self.server, text))

    async def make_voiced_speech(self, text: str, voice: wire.Voice) -> Media:
        """Return the text as sound, in a voice of ElevenLabs."""
        url = self.server.url(f"text-to-speech/{quote(voice.id, safe='')}")
        if self.server.format:
            url += f"{'&' if '?' in url else '?'}{urlencode({'output_format': self.server.format})}"
        return await self._load_sound(url, wire.build_voiced_speech(self.server, text, voice))

    async def transcribe(self, sound: Media, spend: Spend = _spend_nothing) -> str:
        """Return the words in the sound."""
        with self._bound():
            fields = wire.list_transcription_fields(self.server)
            files = [("file", sound)]
            read = _count(wire.read_transcription, spend)
            return await self._send_form("audio/transcriptions", fields, files, read, "words")

    async def run_task(self, prompt: str, images: Sequence[str], report: Report) -> Media:
        """Start a task, wait for its end, and return the finished file. `images` are addresses for the service.

        The deadline is the server's `timeout`, or a moment before the deadline around the call, whichever is sooner.
        A task that is not finished by then can be waited for by `resume_task`.
        """
        path = "videos/generations" if self.kind == "video" else "images/generations"
        with self._bound() as deadline:
            body = wire.build_task(self.server, prompt, images, video=self.kind == "video")
            task = await self.ask(path, body, wire.read_task, "a task")
        # Behind the bound, which does not know the task: two deadlines of the same time would end together.
        return await self._finish_task(task, deadline, report)

    async def resume_task(self, name: str, report: Report) -> Media:
        """Wait for a task that an earlier call started. Raises `LookupError` for an unknown task."""
        if name not in self._started:
            raise LookupError(name)
        return await self._finish_task(wire.Task(name, "running"), self._find_deadline(), report)

    async def read_answer(self, answer: Answer, read: Callable[[Any], T], noun: str) -> T:
        """Return the result of `read` for the answer's value. Raises `ModelError` for a refusal and another value."""
        if read is not wire.read_task:
            return await super().read_answer(answer, read, noun)
        await answer.check()
        body = await answer.read_all()
        # The error of a failed task is news of the task. As a failed question, it might be asked again without end.
        found = wire.find_failed(body)
        return read_value(body if found is None else found, answer.peer, read, noun)

    async def _finish_task(self, task: wire.Task, deadline: float, report: Report) -> Media:
        self._started[task.id] = None
        if len(self._started) > _TASKS:
            del self._started[next(iter(self._started))]
        task = await self._wait_for_task(task, deadline, report)
        if task.state == "failed":
            self._started.pop(task.id, None)
            peer = self._make_own_peer()
            raise peer.error(f"failed the task {task.id}: {plain(task.error, peer)}", retryable=task.retryable)
        last: ModelError | None = None
        try:
            with trio.move_on_at(deadline):
                return await self._fetch(task.urls[0], deadline)
        except ModelError as exc:
            if not exc.retryable:
                raise
            last = exc
        problem = f"finished the task {task.id}, and the file did not come{f': {last.message}' if last else ' in time'}"
        hint = f"Ask for the task {task.id} again, in place of a new one."
        raise self._make_own_peer().error(
            problem, hint=hint, status=None if last is None else last.status, retryable=True
        ) from last

    async def _wait_for_task(self, task: wire.Task, deadline: float, report: Report) -> wire.Task:
        """Ask for the task until it ends. Raises `ModelError` at the deadline, with the last failure as cause."""
        wait, asked_wait, last = self.server.poll, 0.0, None
        # A wait that ends behind the deadline is the last one.
        while task.state == "running" and trio.current_time() + max(wait, asked_wait) < deadline:
            await report(task)
            await trio.sleep(max(wait, asked_wait))
            wait, asked_wait = min(wait * _GROWTH, self.server.poll * _LONGEST), 0.0
            try:
                with trio.move_on_at(deadline):
                    task = await self._get(f"tasks/{task.id}", wire.read_task, "a task")
            except ModelError as exc:
                if not exc.retryable:
                    raise
                last, asked_wait = exc, exc.retry_after or 0.0
        if task.state == "running":
            problem = f"did not finish the task {task.id} in time; {task.progress} % were done"
            hint = f"The task goes on at the service: ask for the task {task.id} later, in place of a new one."
            raise self._make_own_peer().error(problem, hint=hint, retryable=True) from last
        return task

    async def _get(self, path: str, read: Callable[[Any], T], noun: str) -> T:
        key, url = self.find_key(), self.server.url(path)
        headers = build_headers(self.server, self.build_headers(key), stream=False)
        headers.pop("content-type")
        async with self._client.get(url, headers, self.make_peer(key, url)) as answer:
            return await self.read_answer(answer, read, noun)

    async def _load_sound(self, url: str, body: Mapping[str, Any]) -> Media:
        with self._bound():
            key = self.find_key()
            headers = build_headers(self.server, self.build_headers(key), stream=False) | {"accept": "*/*"}
            data = write_json(body, self.model)
            async with self._client.post(url, data, headers, self.make_peer(key, url)) as answer:
                await answer.check()
                return self._check(await _read_bounded(answer, self.most_bytes), answer.peer)

    async def _send_form(
        self,
        path: str,
        fields: Mapping[str, str],
        files: Sequence[tuple[str, Media]],
        read: Callable[[Any], T],
        noun: str,
    ) -> T:
        key, url = self.find_key(), self.server.url(path)
        boundary = f"agno-rt-{secrets.token_hex(16)}"
        headers = build_headers(self.server, self.build_headers(key), stream=False)
        headers["content-type"] = f"multipart/form-data; boundary={boundary}"
        body = wire.write_form(fields, files, boundary)
        async with self._client.post(url, body, headers, self.make_peer(key, url)) as answer:
            return await self.read_answer(answer, read, noun)

    async def _take(self, made: bytes | str, deadline: float) -> Media:
        if isinstance(made, bytes):
            return self._check(made, self._make_own_peer())
        return await self._fetch(made, deadline)

    async def _fetch(self, url: str, deadline: float) -> Media:
        """Return the finished file. The host must be allowed, and gets neither the key nor the headers."""
        own = self._make_own_peer()
        origin = self._check_address(url, own)
        # A client of its own: certificates and proxies depend on the host.
        server = HttpServer(
            base_url=origin,
            connect_timeout=self.server.connect_timeout,
            read_timeout=self.server.read_timeout,
            proxy=self.server.proxy,
            ca_file=self.server.ca_file,
        )
        # The query may be a signature, which lets everybody fetch the file.
        signed = tuple(value for _, value in parse_qsl(urlsplit(url).query))
        peer = Peer(name=own.name, provider=own.provider, model=own.model, url=without_query(url), secrets=signed)
        client = HttpClient(server, self.provider, "agno-rt-media")
        try:
            for attempt in range(_DOWNLOADS):
                try:
                    async with client.get(url, {"accept": "*/*"}, peer) as answer:
                        if 300 <= answer.status < 400:
                            problem = f"leads on from {peer.url} to another address, which is not followed"
                            raise peer.error(problem, status=answer.status)
                        await answer.check()
                        return self._check(await _read_bounded(answer, self.most_bytes), answer.peer)
                except ModelError as exc:
                    wait = max(self.server.poll * (attempt + 1), exc.retry_after or 0.0)
                    if not exc.retryable or attempt + 1 == _DOWNLOADS or trio.current_time() + wait >= deadline:
                        raise
                    await trio.sleep(wait)
            raise AssertionError("unreachable")
        finally:
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await client.aclose()

    def _check_address(self, url: str, peer: Peer) -> str:
        """Return the scheme, host and port of a file's address. Raises `ModelError` for an address to leave alone."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            raise peer.error("gave an address that cannot be read") from None
        # Without encryption only where the service itself is asked without.
        schemes = ("https",) if self.server.base_url.startswith("https:") else ("http", "https")
        if parts.scheme not in schemes or not host or "@" in parts.netloc:
            raise peer.error(f"gave the address {plain(without_query(url), peer)!r}, which is not fetched")
        if not self.server.may_fetch(host):
            hint = f'If the service keeps its files there, write hosts = ["{host}"] in [plugins.media.{self.kind}].'
            raise peer.error(f"gave an address at another host, {plain(host, peer)!r}, which is not fetched", hint=hint)
        return f"{parts.scheme}://{parts.netloc}"

    def _check(self, data: bytes, peer: Peer) -> Media:
        """Return the bytes as media of the kind. Raises `ModelError` for bytes of another type, and for too many."""
        try:
            return _MAKERS[self.kind](data, name=f"the {self.kind}", max_bytes=self.most_bytes)
        except UsageError as exc:
            raise peer.error(f"answered with something unusable: {exc.message}") from None

    def _make_own_peer(self) -> Peer:
        return self.make_peer(self.find_key(), self.server.base_url)

    def _find_deadline(self) -> float:
        """Return the server's timeout from now, or a moment before the deadline around the call if that is sooner."""
        now = trio.current_time()
        around = trio.current_effective_deadline()
        left = min(_MARGIN_SECONDS, max(0.0, around - now) * _MARGIN_SHARE)
        return min(now + self.server.seconds(self.kind), around - left)

    @contextmanager
    def _bound(self) -> Iterator[float]:
        """Bound the block by the server's timeout. Yields the time by which a task must have ended."""
        seconds, deadline = self.server.seconds(self.kind), self._find_deadline()
        with trio.move_on_after(seconds) as scope:
            yield deadline
        if scope.cancelled_caught:
            hint = f"Raise timeout in [plugins.media.{self.kind}] if the model needs longer."
            raise self._make_own_peer().error(f"did not finish within {seconds:g} s", hint=hint, retryable=True)


def _count(read: Callable[[Any], T], spend: Spend) -> Callable[[Any], T]:
    """Return a reader that counts the answer's tokens, too: they are paid for even if the answer is unusable."""

    def read_and_count(value: Any) -> T:
        usage = wire.read_usage(value)
        if usage.total_tokens:
            spend(usage)
        return read(value)

    return read_and_count


async def _read_bounded(answer: Answer, most: int) -> bytes:
    """Return the body. Raises `ModelError` for more than `most` bytes, before reading them if the length is told."""
    hint = "Raise max_bytes in [plugins.media] to take larger files."
    told = answer.headers.get("content-length", "")
    if told.isdecimal() and int(told) > most:
        raise answer.peer.error(f"answered with {int(told):,} bytes, and at most {most:,} are taken", hint=hint)
    body = bytearray()
    while chunk := await answer.read():
        body += chunk
        if len(body) > most:
            raise answer.peer.error(f"answered with more than {most:,} bytes", hint=hint)
    return bytes(body)
