"""One loaded model in llama.cpp. All calls block, so call them in a worker thread. Knows nothing of trio.

llama.cpp decodes in threads of its own. `complete` waits for the chunks of one answer and passes each to a callback; an
exception in the callback stops the decoding and goes on to the caller.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from agno_rt.errors import ModelError, UsageError
from agno_rt_llamacpp.gguf import ModelFacts, read_facts
from agno_rt_llamacpp.profile import PROVIDER, Settings

__all__ = ["Engine", "OnChunk", "open_engine"]

OnChunk = Callable[[Mapping[str, Any]], None]

_SILENT, _TALKING = -1, 3
_MICRO_BATCH = 512
_MOST_WORDS = 500


class _Server(Protocol):
    def handle_chat_completions(self, prompt: bytes, callback: Callable[[bytes], bool]) -> None: ...

    def handle_metrics(self) -> str: ...


class Engine:
    """A loaded model. Several threads may call `complete`; `close` ends running calls."""

    def __init__(self, server: _Server, facts: ModelFacts, to_grammar: Callable[[str], str]) -> None:
        self.facts = facts
        self.to_grammar = to_grammar
        self._server: _Server | None = server
        self._active = 0
        self._closing = False
        self._changed = threading.Condition()

    def complete(self, body: Mapping[str, Any], on_chunk: OnChunk) -> None:
        """Pass the chunks of the chat completion to `on_chunk`, on this thread. Raises the callback's exceptions."""
        server = self._enter()
        failed: BaseException | None = None

        def receive(chunk: bytes) -> bool:
            nonlocal failed
            try:
                self._check_open()
                on_chunk(msgspec.json.decode(chunk))
            except BaseException as exc:  # raised again below: an exception cannot pass through C++
                failed = exc
            return failed is not None

        try:
            server.handle_chat_completions(msgspec.json.encode(body), receive)
        except (RuntimeError, ValueError) as exc:
            # The body may exceed llama.cpp's abilities; `schema` knows the limits for schemas.
            failed = failed or ModelError(f"llama.cpp failed: {str(exc)[:_MOST_WORDS]}", provider=PROVIDER)
        finally:
            del server
            self._leave()
        if failed is not None:
            raise failed

    def busy(self) -> int:
        """Return the number of requests in progress, as counted by llama.cpp."""
        server = self._enter()
        try:
            return _read_metric(server.handle_metrics(), "llamacpp:requests_processing")
        finally:
            del server
            self._leave()

    def close(self) -> None:
        """Stop the running answers, wait for their end, and unload the model. Later calls raise `ModelError`."""
        with self._changed:
            self._closing = True
            self._changed.wait_for(lambda: not self._active)
            self._server = None

    def _enter(self) -> _Server:
        with self._changed:
            self._check_open()
            self._active += 1
            assert self._server is not None
            return self._server

    def _leave(self) -> None:
        with self._changed:
            self._active -= 1
            self._changed.notify_all()

    def _check_open(self) -> None:
        if self._closing:
            raise ModelError("the model was closed", provider=PROVIDER, hint="Ask it while its runtime is open.")


def open_engine(path: Path, settings: Settings) -> Engine:
    """Load the model. Raises `UsageError` for anything but a GGUF file, `ModelError` if llama.cpp cannot load it."""
    template = _read_template(settings.chat_template)
    facts = read_facts(path, template)
    # Threads that wait by spinning slow each other, and trio, to a tenth if others need the cores. The library reads
    # the variable once, when loaded; a value set by the user stays.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

    import xllamacpp  # type: ignore[import-untyped]  # has no stubs; _Server declares the used methods

    try:
        server = xllamacpp.Server(_set_params(xllamacpp.CommonParams(), path, facts, settings))
    except (RuntimeError, ValueError) as exc:
        raise ModelError(
            f"llama.cpp cannot load {str(path)!r}: the file is damaged, of a kind unknown to it, or too large",
            hint="Set verbose = true in [plugins.llamacpp] to see why.",
            provider=PROVIDER,
        ) from exc
    # A server destroyed before its loop runs never ends. The first answer proves that the loop runs.
    server.handle_metrics()
    return Engine(server, facts, xllamacpp.json_schema_to_grammar)


def _set_params(params: Any, path: Path, facts: ModelFacts, settings: Settings) -> Any:
    params.model.path = str(path)
    longest = facts.context_length or settings.context
    params.n_parallel = settings.parallel
    params.n_ctx = min(settings.context, longest) * settings.parallel
    params.n_batch = settings.batch
    params.n_ubatch = min(settings.batch, _MICRO_BATCH)
    params.n_gpu_layers = settings.gpu_layers
    params.cache_ram_mib = settings.prompt_cache
    params.verbosity = _TALKING if settings.verbose else _SILENT
    if settings.chat_template is not None:
        params.chat_template = facts.template
    if settings.threads:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads
    # Both options would read the model a second time, and loading holds Python's lock.
    params.warmup = params.fit_params = False
    # llama.cpp also listens on the loopback interface, unasked. A secret key locks out everybody.
    params.api_keys = [secrets.token_urlsafe(32)]
    params.ui = False
    params.endpoint_metrics = True
    return params


def _read_template(file: str | None) -> str | None:
    if file is None:
        return None
    try:
        return Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        hint = "Set chat_template in [plugins.llamacpp] to a file with a Jinja template, or leave it out."
        raise UsageError(f"the chat template {file!r} cannot be read: {exc}", hint=hint) from exc


def _read_metric(text: str, name: str) -> int:
    values = (line.split()[-1] for line in text.splitlines() if line.startswith(f"{name} "))
    return int(float(next(values, "0")))
