"""Speech of ElevenLabs: requests, results and failures, against a server on loopback that speaks the documented format.

References: ElevenLabs' API reference, "Create speech" (`xi-api-key`, `output_format`, `voice_settings`) and "Errors"
(`detail.status`, `detail.message`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agno_rt_media.settings import choose

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.errors import ConfigError
from agno_rt.messages import Content, Media
from agno_rt.testing import ScriptedModel, WireReply, WireServer, open_wire_server
from tests.servers.media_format import MP3, render_file

KEY = "xi-0123456789abcdef"


async def call(server: WireServer, arguments: dict[str, Any], **settings: Any) -> Content:
    """Let an agent call the tool once, and return the result for the model."""
    step = ToolCall("1", "generate_speech", json.dumps(arguments))
    table = {"service": "elevenlabs", "base_url": server.url, "api_key": KEY, **settings}
    with ScriptedModel([step, "Done."]) as model:
        async with Runtime(settings={"media": {"speech": table}}) as rt:
            await rt.run(Agent(model, tools=["media:speech"]), "Go.")
    return model.requests[-1].messages[-1].content


async def test_a_voice_reads_the_text() -> None:
    """The voice is in the path, the settings of the voice in the body, and the key in its own header."""
    async with open_wire_server(render_file(MP3, "audio/mpeg")) as server:
        arguments = {"text": "Hello.", "voice_id": "JBFqnCBsd6RMkjVDRZzb", "model_id": "eleven_v3", "stability": 0.4}
        content = await call(server, arguments, format="mp3_44100_128")
        [request] = server.requests
    assert content == (Media("audio", "audio/mpeg", MP3, None, "the speech"),)
    assert request.path == "/text-to-speech/JBFqnCBsd6RMkjVDRZzb?output_format=mp3_44100_128"
    assert request.headers["xi-api-key"] == KEY
    assert "authorization" not in request.headers
    assert request.json() == {"text": "Hello.", "model_id": "eleven_v3", "voice_settings": {"stability": 0.4}}


async def test_the_usual_voice_and_model(tmp_path: Path) -> None:
    """Without a choice of the model, the settings choose; a folder gets the file."""
    async with open_wire_server(render_file(MP3, "audio/mpeg")) as server:
        told = await call(server, {"text": "Hello."}, voice="v-1", folder=str(tmp_path / "media"))
        [request] = server.requests
    assert request.path == "/text-to-speech/v-1"
    assert request.json() == {"text": "Hello.", "model_id": "eleven_multilingual_v2"}
    [path] = (tmp_path / "media").iterdir()
    assert str(path) in str(told)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"text": "Hi."}, "voice_id is missing"), ({"text": "Hi.", "voice_id": "../voices"}, "voice_id")],
)
async def test_a_voice_has_to_be_named(arguments: dict[str, Any], words: str) -> None:
    """Without a voice, and with a name that leads elsewhere, nothing is sent."""
    async with open_wire_server(render_file(MP3, "audio/mpeg")) as server:
        assert words in str(await call(server, arguments))
        assert server.requests == []


async def test_a_refusal_is_told() -> None:
    """The service's words and its code reach the model, without the key."""
    detail = {"status": "voice_not_found", "message": f"No such voice for {KEY}."}
    async with open_wire_server(WireReply((json.dumps({"detail": detail}).encode(),), 404)) as server:
        told = str(await call(server, {"text": "Hi.", "voice_id": "v"}))
    assert "No such voice" in told
    assert "voice_not_found" in told
    assert KEY not in told


def test_sound_without_a_signature_is_refused() -> None:
    """Bytes of such a format could be anything."""
    with pytest.raises(ConfigError, match="pcm_16000"):
        choose("speech", "elevenlabs:", {"format": "pcm_16000"})
