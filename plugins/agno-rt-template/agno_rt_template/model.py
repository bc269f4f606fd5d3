"""The model: anything with a `name` and a coroutine `respond`. This one needs no network, and no weights."""

import trio

from agno_rt.events import TextDelta
from agno_rt.messages import Usage
from agno_rt.models import Emit, ModelRequest, ModelResponse


class EchoModel:
    """Answers with the last message of the conversation, after a `prefix`."""

    # What logs and errors call the model.
    name = "template:echo"

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer the request; given `emit`, also send each piece of the text as soon as it is there."""
        # Cancelling a run raises `trio.Cancelled` where the model waits: let it through. A model that asks a service
        # waits there; this one waits for nothing, so it says where it can be stopped.
        await trio.lowlevel.checkpoint()
        heard = request.messages[-1].text
        text = self._prefix + heard
        if emit is not None:
            for piece in text.splitlines(keepends=True):
                await emit(TextDelta(piece))
        # A model that cannot answer raises `agno_rt.errors.ModelError`, and says whether a retry may help.
        return ModelResponse(text, usage=Usage(input_tokens=len(heard.split()), output_tokens=len(text.split())))
