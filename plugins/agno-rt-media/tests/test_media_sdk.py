"""OpenAI's own SDK against the bodies of these tests: the SDK reads the same answers, and sends the same requests.

The SDK runs in another process, because importing it takes seconds and loads another HTTP library.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from typing import Any

import trio
from agno_rt_media import MediaServer
from agno_rt_media.client import MediaService

from agno_rt import media
from agno_rt.testing import WireRequest, open_wire_server
from tests.servers.media_format import JPEG, MP3, PNG, render_error, render_file, render_image, render_transcription

PROGRAM = """
import base64, json, sys
import openai

url, png, jpeg, mp3 = sys.argv[1], *(base64.b64decode(word) for word in sys.argv[2:])
client = openai.OpenAI(api_key="k", base_url=url, max_retries=0)
files = [("a.png", png, "image/png"), ("b.jpg", jpeg, "image/jpeg")]
made = client.images.generate(model="m", prompt="A cat.", size="1024x1024", quality="low", output_format="png")
drawn = {"model": "m", "prompt": "A hat.", "size": "1024x1024", "quality": "low", "output_format": "png"}
edits = [client.images.edit(image=image, **drawn) for image in (files[0], files)]
sound = client.audio.speech.create(model="m", input="Hello.", voice="coral", response_format="mp3").read()
words = client.audio.transcriptions.create(model="m", file=("a.mp3", mp3, "audio/mpeg"), response_format="json").text
try:
    client.images.generate(model="m", prompt="A cat.")
except openai.BadRequestError as exc:
    refused = [exc.status_code, exc.code, exc.request_id]
images = [each.data[0].b64_json for each in (made, *edits)]
print(json.dumps([images, base64.b64encode(sound).decode(), words, refused]))
"""


def encode(data: bytes) -> str:
    """Return the bytes as base64."""
    return base64.b64encode(data).decode()


def plain_request(request: WireRequest) -> Any:
    """Return the path and the body of a request; a form as its parts, sorted, without their order and boundary."""
    kind = request.headers["content-type"]
    if kind == "application/json":
        return request.path, request.json()
    found = re.fullmatch(r"multipart/form-data; boundary=(.+)", kind)
    assert found is not None
    parts = request.body.split(b"--" + found[1].encode())
    assert parts[-1] == b"--\r\n"
    # An own header of the part for each field: its order and case carry no meaning.
    return request.path, sorted(
        (sorted(head.split(b"\r\n")), body) for head, _, body in (p.partition(b"\r\n\r\n") for p in parts[1:-1])
    )


async def test_the_sdk_and_the_plugin_agree() -> None:
    """The SDK reads images, sound, words and a refusal of the test's server, and sends the plugin's requests."""
    replies = [
        render_image(),
        render_image(),
        render_image(),
        render_file(MP3, "audio/mpeg"),
        render_transcription("Good morning."),
    ]
    refused = render_error(400, "moderation_blocked", "Rejected by the safety system.")
    async with open_wire_server(*replies, refused) as server:
        with trio.fail_after(120):
            command = [sys.executable, "-c", PROGRAM, server.url, encode(PNG), encode(JPEG), encode(MP3)]
            done = await trio.run_process(command, capture_stdout=True)
            theirs = [plain_request(request) for request in server.requests[:5]]
            images, sound, words, error = json.loads(done.stdout)
            server.play(*replies)
            own = {"base_url": server.url, "api_key": "k", "model": "m"}
            drawn = MediaServer(size="1024x1024", quality="low", format="png", **own)  # type: ignore[arg-type]
            services = [MediaService("image", drawn), MediaService("edit", drawn)]
            plain = MediaServer(**own)  # type: ignore[arg-type]
            services += [MediaService("speech", plain), MediaService("transcribe", plain)]
            given = [media.image(PNG, name="a.png"), media.image(JPEG, name="b.jpg")]
            await services[0].make_image("A cat.")
            await services[1].edit_image("A hat.", given[:1])
            await services[1].edit_image("A hat.", given)
            await services[2].make_speech("Hello.")
            await services[3].transcribe(media.audio(MP3, name="a.mp3"))
            for service in services:
                await service.aclose()
        ours = [plain_request(request) for request in server.requests[6:]]
    assert images == [encode(PNG)] * 3
    assert (sound, words) == (encode(MP3), "Good morning.")
    assert error == [400, "moderation_blocked", "req_0123456789"]
    assert ours == theirs
