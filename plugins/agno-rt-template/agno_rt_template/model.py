"""The model: any object with a `name` and a coroutine `respond`. The echo needs neither a network nor weights."""

import trio

from agno_rt.events import TextDelta
from agno_rt.messages import Usage
from agno_rt.models import Emit, ModelRequest, ModelResponse


class EchoModel:
    """A model that answers with the last message of the conversation, after a `prefix`."""

    # The name of the model in logs and errors.
    name = "template:echo"

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer the request. With `emit`, also send each piece of the text as soon as the piece is ready."""
        # Cancelling a run raises `trio.Cancelled` wherever the model waits: let the exception through. A model behind a
        # service waits for the service. The echo never waits, so a checkpoint marks where to stop.
        await trio.lowlevel.checkpoint()
        heard = request.messages[-1].text
        text = self._prefix + heard
        if emit is not None:
            for piece in text.splitlines(keepends=True):
                await emit(TextDelta(piece))
        # A model that cannot answer raises `agno_rt.errors.ModelError`; `retryable` says whether a retry may help.
        return ModelResponse(text, usage=Usage(input_tokens=len(heard.split()), output_tokens=len(text.split())))
