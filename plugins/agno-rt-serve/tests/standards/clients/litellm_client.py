"""LiteLLM, as a client of a server with OpenAI's formats. Run in the environment of the clients."""

from __future__ import annotations

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from pydantic import BaseModel

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Place(BaseModel):
    """A city and the temperature."""

    city: str
    degrees: int


def judge(url: str) -> dict[str, object]:
    """Ask, stream, call a tool, read a typed answer; make a response and stream one; embed texts."""
    known = {"model": "openai/echo", "api_base": f"{url}/v1", "api_key": "none"}
    messages = [{"role": "user", "content": "One."}]
    said = litellm.completion(messages=messages, **known)
    pieces = [
        chunk.choices[0].delta.content or "" for chunk in litellm.completion(messages=messages, stream=True, **known)
    ]
    weather = [{"role": "user", "content": "Weather?"}]
    asked = litellm.completion(messages=weather, tools=[WEATHER], **known).choices[0].message
    [call] = asked.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny in Seoul"}
    called = litellm.completion(
        messages=[*weather, asked.model_dump(exclude_none=True), result], tools=[WEATHER], **known
    )
    typed = litellm.completion(messages=messages, response_format=Place, **known)
    made = litellm.responses(input="One.", **known)
    events = [event.type for event in litellm.responses(input="One.", stream=True, **known)]
    vectors = litellm.embedding(input=["a b", "c"], **(known | {"model": "openai/words"}))
    return {
        "said": said.choices[0].message.content,
        "tokens": [said.usage.prompt_tokens, said.usage.completion_tokens],
        "pieces": "".join(pieces),
        "several": sum(map(bool, pieces)) > 1,
        "call": [call.function.name, json.loads(call.function.arguments)],
        "called": called.choices[0].message.content,
        "typed": json.loads(typed.choices[0].message.content),
        "made": made.output[0].content[0].text,
        "events": [str(getattr(each, "value", each)) for each in events],
        "vectors": [len(each["embedding"]) for each in vectors.data],
    }


print(json.dumps(judge(sys.argv[1])))
