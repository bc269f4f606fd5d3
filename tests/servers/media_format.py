"""The formats of services that make media, as their references have them, and small files of each kind.

References: OpenAI's API reference, "The image generation response", "Create speech" and "Create transcription";
EvoLink's documentation, "Quick Integration" and "Error Codes Reference".
"""

from __future__ import annotations

import base64
import json
from typing import Any

from agno_rt.testing import WireReply

__all__ = [
    "JPEG",
    "MP3",
    "MP4",
    "PNG",
    "render_error",
    "render_file",
    "render_image",
    "render_task",
    "render_transcription",
]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(64))
MP3 = b"ID3\x04" + bytes(range(64))
MP4 = b"\0\0\0\x18ftypisom" + bytes(range(64))

TASK = "task-unified-1757156493-imcg5zqt"


def render_image(data: bytes = PNG) -> WireReply:
    """Return OpenAI's answer with one image."""
    entry = {"b64_json": base64.b64encode(data).decode()}
    details = {"image_tokens": 0, "text_tokens": 9}
    usage = {"input_tokens": 9, "output_tokens": 272, "total_tokens": 281, "input_tokens_details": details}
    answer = {"created": 1_713_833_628, "data": [entry], "output_format": "png", "size": "1024x1024", "usage": usage}
    return WireReply((json.dumps(answer).encode(),))


def render_transcription(text: str) -> WireReply:
    """Return OpenAI's answer with words."""
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59}
    return WireReply((json.dumps({"text": text, "usage": usage}).encode(),))


def render_error(status: int, code: str, message: str, **headers: str) -> WireReply:
    """Return OpenAI's refusal, with an id of the request."""
    error = {"message": message, "type": "image_generation_user_error", "param": None, "code": code}
    return WireReply(
        (json.dumps({"error": error}).encode(),), status, headers={"x-request-id": "req_0123456789", **headers}
    )


def render_task(status: str, progress: int = 0, **more: Any) -> WireReply:
    """Return EvoLink's answer about a task."""
    answer = {
        "created": 1_757_156_493,
        "id": TASK,
        "model": "m",
        "object": "video.generation.task",
        "progress": progress,
        "status": status,
        "task_info": {"can_cancel": status == "pending", "estimated_time": 100},
        "type": "video",
        **more,
    }
    return WireReply((json.dumps(answer).encode(),))


def render_file(data: bytes, content_type: str = "application/octet-stream") -> WireReply:
    """Return a file."""
    return WireReply((data,), content_type=content_type)
