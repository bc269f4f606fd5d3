"""The tools as toolkits: each runtime opens the client of a toolkit before the first call, and closes the client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
import trio

from agno_rt import media
from agno_rt.context import RunContext
from agno_rt.errors import UsageError
from agno_rt.messages import Media
from agno_rt.tools import Tool, ToolArgumentError, Toolkit, tool
from agno_rt_media.client import CLOSE_SECONDS, MediaService, Report
from agno_rt_media.folder import Folder, suffix_for
from agno_rt_media.settings import Kind, MediaServer, complete
from agno_rt_media.wire import Task, Voice

__all__ = ["make_toolkit"]

_MOST_TEXT = 32_000
_MOST_SPEECH = 4_096
_MOST_IMAGES = 16
"""The bounds of OpenAI's reference; other services refuse by themselves."""

Prompt = Annotated[str, msgspec.Meta(description="What to make, in detail.", min_length=1, max_length=_MOST_TEXT)]
Address = Annotated[str, msgspec.Meta(pattern="^https://", max_length=2_048)]
Addresses = Annotated[
    list[Address], msgspec.Meta(description="Addresses of images to start from.", max_length=_MOST_IMAGES)
]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Names = Annotated[
    list[Name], msgspec.Meta(description="Names of the image files.", min_length=1, max_length=_MOST_IMAGES)
]
TaskName = Annotated[
    str, msgspec.Meta(description="The name of a task that was not finished in time, to wait for that task again.")
]
VoiceName = Annotated[str, msgspec.Meta(description="The id of the voice.", pattern="^[A-Za-z0-9_-]*$", max_length=100)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Speech = Annotated[str, msgspec.Meta(description="The text to read aloud.", min_length=1, max_length=_MOST_SPEECH)]


def make_toolkit(kind: Kind, server: MediaServer) -> Toolkit:
    """Return the toolkit `media:KIND`, which has one tool of the server.

    Raises `UsageError` for a tool that the service does not have, for a missing model, and for a tool that reads files
    without a folder.
    """
    server = complete(kind, server)
    folder = Folder(server.folder) if server.folder else None
    reads_files = kind == "transcribe" or (kind == "edit" and server.service == "openai")
    if reads_files and folder is None:
        hint = f'Write folder = "media" in [plugins.media] or [plugins.media.{kind}].'
        raise UsageError(f"media:{kind} reads files, and has no folder", hint=hint)

    @asynccontextmanager
    async def open_service() -> AsyncIterator[Sequence[Tool]]:
        service = MediaService(kind, server)
        try:
            yield [_choose_maker(kind, server)(_Maker(service, folder))]
        finally:
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await service.aclose()

    return Toolkit(f"media:{kind}", open=open_service)


class _Maker:
    """A service and a folder: turns made media into the result of a tool."""

    def __init__(self, service: MediaService, folder: Folder | None) -> None:
        self.service = service
        self.folder = folder

    def check_ready(self) -> str | None:
        """Return where files go. Raises `ConfigError` for a missing key, and `UsageError` for an unusable folder."""
        self.service.check_ready()
        self.service.server.check_files()
        return self.folder.check_ready() if self.folder is not None else None

    async def give(self, made: Media) -> Any:
        """Return the media, or write a file and tell its path, or both."""
        if self.folder is None:
            return made
        assert made.data is not None
        kind = "image" if self.service.kind == "edit" else self.service.kind
        path = await trio.to_thread.run_sync(self.folder.write, kind, suffix_for(made.media_type), made.data)
        told = f"Saved as {path} ({made.media_type}, {len(made.data):,} bytes)."
        return [told, made] if self.service.server.show else told

    async def read(self, name: str, make: Callable[..., Media]) -> Media:
        """Return a file of the folder. Raises `ToolArgumentError` for an unusable file."""
        assert self.folder is not None
        most = self.service.most_bytes
        data = await trio.to_thread.run_sync(self.folder.read, name, most)
        try:
            return make(data, name=name.rpartition("/")[2], max_bytes=most)
        except UsageError as exc:
            raise ToolArgumentError(exc.message) from None

    async def run_task(self, context: RunContext, prompt: str, images: Sequence[str], task: str) -> Any:
        """Start a task, or wait again for an earlier one, and return the result."""
        report = _make_report(context)
        if not task:
            return await self.give(await self.service.run_task(prompt, images, report))
        try:
            return await self.give(await self.service.resume_task(task, report))
        except LookupError:
            raise ToolArgumentError(
                f"There is no task {task!r} of this tool. Leave task out to start a new one."
            ) from None


def _make_report(context: RunContext) -> Report:
    async def report(task: Task) -> None:
        await context.progress({"task": task.id, "percent": task.progress})

    return report


def _choose_maker(kind: Kind, server: MediaServer) -> Callable[[_Maker], Tool]:
    if server.service == "elevenlabs":
        return _make_voiced_speech
    if server.service == "evolink":
        return {"image": _make_task_image, "edit": _make_task_edit, "video": _make_video}[kind]
    makers = {"image": _make_image, "edit": _make_edit, "speech": _make_speech, "transcribe": _make_transcribe}
    return makers[kind]


def _make_image(maker: _Maker) -> Tool:
    @tool(check_ready=maker.check_ready)
    async def make_image(context: RunContext, prompt: Prompt) -> Any:
        """Make an image from a description."""
        return await maker.give(await maker.service.make_image(prompt, context.spend))

    return make_image


def _make_edit(maker: _Maker) -> Tool:
    @tool(check_ready=maker.check_ready)
    async def edit_image(context: RunContext, prompt: Prompt, images: Names) -> Any:
        """Make a new image from image files of the folder and a description. The files stay as they are."""
        given: list[Media] = []
        for name in images:
            given.append(await maker.read(name, media.image))
            if sum(len(image.data or b"") for image in given) > media.MAX_REQUEST_BYTES:
                raise ToolArgumentError(f"The images have more than {media.MAX_REQUEST_BYTES:,} bytes together.")
        return await maker.give(await maker.service.edit_image(prompt, given, context.spend))

    return edit_image


def _make_speech(maker: _Maker) -> Tool:
    @tool(check_ready=maker.check_ready)
    async def make_speech(text: Speech) -> Any:
        """Make sound of a text, read aloud by a voice that is not human."""
        return await maker.give(await maker.service.make_speech(text))

    return make_speech


def _make_voiced_speech(maker: _Maker) -> Tool:
    @tool(check_ready=maker.check_ready, read_only=False, destructive=False)
    async def generate_speech(
        text: Speech,
        voice_id: VoiceName = "",
        model_id: Annotated[str, msgspec.Meta(max_length=100)] = "",
        stability: Share | None = None,
        similarity_boost: Share | None = None,
    ) -> Any:
        """Make sound of a text, read aloud by a voice that is not human.

        Args:
            model_id: another model than the usual one
            stability: from 0 for a lively voice to 1 for an even one
            similarity_boost: how near to the original voice, from 0 to 1
        """
        # The default of the settings is a voice of OpenAI.
        usual = "" if maker.service.server.voice == "coral" else maker.service.server.voice
        if not (voice_id or usual):
            raise ToolArgumentError("voice_id is missing: there is no usual voice")
        voice = Voice(voice_id or usual, model_id, stability, similarity_boost)
        return await maker.give(await maker.service.make_voiced_speech(text, voice))

    return generate_speech


def _make_transcribe(maker: _Maker) -> Tool:
    @tool(check_ready=maker.check_ready)
    async def transcribe(
        context: RunContext,
        file: Annotated[str, msgspec.Meta(description="The name of the sound file.", min_length=1, max_length=500)],
    ) -> str:
        """Write down the words of a sound file of the folder."""
        return await maker.service.transcribe(await maker.read(file, media.audio), context.spend)

    return transcribe


def _make_task_image(maker: _Maker) -> Tool:
    @tool(check_ready=maker.check_ready)
    async def make_image(context: RunContext, prompt: Prompt, task: TaskName = "") -> Any:
        """Make an image from a description."""
        return await maker.run_task(context, prompt, (), task)

    return make_image


def _make_task_edit(maker: _Maker) -> Tool:
    @tool(check_ready=maker.check_ready)
    async def edit_image(context: RunContext, prompt: Prompt, images: Addresses, task: TaskName = "") -> Any:
        """Make a new image from images at https addresses and a description."""
        return await maker.run_task(context, prompt, images, task)

    return edit_image


def _make_video(maker: _Maker) -> Tool:
    @tool(check_ready=maker.check_ready)
    async def make_video(
        context: RunContext, prompt: Prompt, images: Addresses | None = None, task: TaskName = ""
    ) -> Any:
        """Make a video from a description, and from images at https addresses if the model takes images.

        This may take minutes.
        """
        return await maker.run_task(context, prompt, images or (), task)

    return make_video
