"""The wire formats: bodies of requests, and answers read into values. Pure.

References: OpenAI's API reference, "Create image", "Create image edit", "Create speech" and "Create transcription";
EvoLink's documentation, "Quick Integration", "Wan2.7 Text to Video" and "Error Codes Reference"; ElevenLabs' API
reference, "Create speech" and "Errors". Functions that read raise `ValueError` for a value of another shape.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from agno_rt.messages import Media, Usage
from agno_rt.wire.blocks import read_count
from agno_rt.wire.lenient_json import read_json
from agno_rt.wire.refusals import describe_error
from agno_rt_media.settings import MediaServer

__all__ = [
    "Task",
    "Voice",
    "build_image",
    "build_speech",
    "build_task",
    "build_voiced_speech",
    "describe_refusal",
    "find_failed",
    "list_edit_fields",
    "list_transcription_fields",
    "read_image",
    "read_task",
    "read_transcription",
    "read_usage",
    "write_form",
]

_TASK = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]{0,199}")
_ENDED = ("failed", "cancelled")
_FAILURE = "failure"
_PASSING = ("service", "timeout", "exhausted", "quota_exceeded", "unavailable", "overload")
"""Parts of the codes of failed tasks after which the same request may succeed."""

State: TypeAlias = Literal["running", "completed", "failed"]


@attrs.frozen
class Task:
    """A task of a service, as last told.

    Attributes:
        id: the name of the task
        state: whether the task is running, completed or failed
        progress: the share that is done, in percent
        urls: the addresses of the finished files
        error: why the task failed
        retryable: whether the same request may succeed later
    """

    id: str
    state: State
    progress: int = 0
    urls: tuple[str, ...] = ()
    error: str = ""
    retryable: bool = False


@attrs.frozen
class Voice:
    """A voice of ElevenLabs, as a model chose it. Empty and missing values leave the choice to the settings.

    Attributes:
        id: the id of the voice
        model: the model
        stability: from 0 (lively) to 1 (even)
        similarity_boost: how near to the original voice, from 0 to 1
    """

    id: str
    model: str = ""
    stability: float | None = None
    similarity_boost: float | None = None


def describe_refusal(error: Any) -> tuple[Any, str]:
    """Return the words of an error object with the code behind, and the kind.

    The code tells a refusal of the content, such as `moderation_blocked`, from other refusals.
    """
    # ElevenLabs: {"detail": {"status": "...", "message": "..."}}.
    inner = error.get("detail") if isinstance(error, dict) else None
    text, kind = describe_error(inner if isinstance(inner, dict) else error)
    return (f"{text} ({kind})" if isinstance(text, str) and text and kind and kind not in text else text), kind


def read_usage(value: Any) -> Usage:
    """Return the tokens of an answer; none if the service does not count, or counts seconds."""
    usage = value.get("usage") if isinstance(value, Mapping) else None
    counts = usage if isinstance(usage, Mapping) else {}
    return Usage(read_count(counts.get("input_tokens")), read_count(counts.get("output_tokens")))


def build_image(server: MediaServer, prompt: str) -> dict[str, Any]:
    """Return the body of a request for one image."""
    return {"model": server.model, "prompt": prompt, **_list_options(server), **server.extra}


def build_speech(server: MediaServer, text: str) -> dict[str, Any]:
    """Return the body of a request for speech."""
    body = {"model": server.model, "input": text, "voice": server.voice}
    if server.instructions:
        body["instructions"] = server.instructions
    return {**body, "response_format": server.format or "mp3", **server.extra}


def build_voiced_speech(server: MediaServer, text: str, voice: Voice) -> dict[str, Any]:
    """Return the body of a request for speech of ElevenLabs."""
    chosen = {"stability": voice.stability, "similarity_boost": voice.similarity_boost}
    settings = {name: value for name, value in chosen.items() if value is not None}
    body: dict[str, Any] = {"text": text, "model_id": voice.model or server.model}
    return {**body, **({"voice_settings": settings} if settings else {}), **server.extra}


def build_task(server: MediaServer, prompt: str, images: Sequence[str], *, video: bool) -> dict[str, Any]:
    """Return the body of a request for a task that makes an image or a video; `images` are addresses."""
    body: dict[str, Any] = {"model": server.model, "prompt": prompt}
    if images:
        body["image_urls"] = list(images)
    if not video:
        return {**body, **_list_options(server), **server.extra}
    options = {"aspect_ratio": server.size, "quality": server.quality, "duration": server.duration}
    return {**body, **{name: value for name, value in options.items() if value}, **server.extra}


def list_edit_fields(server: MediaServer, prompt: str) -> dict[str, str]:
    """Return the fields of the form for an edited image, beside the images."""
    return _write_fields({"model": server.model, "prompt": prompt, **_list_options(server), **server.extra})


def list_transcription_fields(server: MediaServer) -> dict[str, str]:
    """Return the fields of the form for a transcription, beside the file."""
    return _write_fields({"model": server.model, "response_format": "json", **server.extra})


def write_form(fields: Mapping[str, str], files: Sequence[tuple[str, Media]], boundary: str) -> bytes:
    """Return a form with files, as in RFC 7578. Each file has the name of its field."""
    lines: list[bytes] = []
    for name, value in fields.items():
        lines += [_write_head(boundary, name), b"", value.encode("utf-8", "replace")]
    for name, media in files:
        head = _write_head(boundary, name) + f'; filename="{_quote_name(media.name or "file")}"'.encode()
        lines += [head, f"Content-Type: {media.media_type}".encode(), b"", media.data or b""]
    return b"\r\n".join([*lines, f"--{boundary}--".encode(), b""])


def read_image(value: Any) -> bytes | str:
    """Return the bytes of the image in an answer, or the image's address."""
    entries = value.get("data")
    if not isinstance(entries, list) or not entries:
        # Some services leave out an image that their moderation refuses, and report success.
        raise ValueError("data is empty, as after a refusal by the service's moderation")
    entry = entries[0]
    packed = entry.get("b64_json")
    if isinstance(packed, str) and packed:
        try:
            return base64.b64decode(packed, validate=True)
        except binascii.Error as exc:
            raise ValueError(f"b64_json is not base64: {exc}") from None
    url = entry.get("url")
    if not isinstance(url, str) or not url:
        raise ValueError("the image has neither b64_json nor url, as after a refusal by the service's moderation")
    return url


def read_transcription(value: Any) -> str:
    """Return the text of a transcription."""
    text = value["text"]
    if not isinstance(text, str):
        raise ValueError(f"text is {type(text).__name__}")
    return text


def read_task(value: Any) -> Task:
    """Return the task in an answer."""
    name, status = value.get("id"), value.get("status")
    # The name goes into the path of later requests.
    if not isinstance(name, str) or not _TASK.fullmatch(name):
        raise ValueError(f"id is {name!r}")
    if status in ("pending", "processing", "queued"):
        progress = value.get("progress")
        return Task(name, "running", progress if type(progress) is int and 0 <= progress <= 100 else 0)
    if status == "completed":
        urls = value.get("results")
        if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
            raise ValueError("the completed task has no results")
        return Task(name, "completed", 100, tuple(urls))
    if status in _ENDED:
        text, code = describe_error(value.get(_FAILURE))
        told = text if isinstance(text, str) and text else f"the service gave no reason, and the status {status}"
        passing = any(part in code for part in _PASSING)
        return Task(name, "failed", error=f"{told} ({code})" if code else told, retryable=passing)
    raise ValueError(f"status is {status!r}")


def find_failed(body: bytes) -> bytes | None:
    """Return the body of a failed task in the form that `read_task` reads, or `None` for any other body."""
    value = read_json(body)
    if not isinstance(value, dict) or value.get("status") not in _ENDED:
        return None
    return json.dumps({"id": value.get("id"), "status": value["status"], _FAILURE: value.get("error")}).encode()


def _list_options(server: MediaServer) -> dict[str, str]:
    format_ = "output_format" if server.service == "openai" else "format"
    options = {"size": server.size, "quality": server.quality, format_: server.format}
    return {name: value for name, value in options.items() if value}


def _write_fields(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def _write_head(boundary: str, name: str) -> bytes:
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{_quote_name(name)}"'.encode("utf-8", "replace")


def _quote_name(name: str) -> str:
    """Escape a name as browsers do (the HTML standard, "multipart/form-data"): a line end would start a header."""
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
