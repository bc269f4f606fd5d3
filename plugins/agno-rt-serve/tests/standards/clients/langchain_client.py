"""LangChain, with both of OpenAI's formats and embeddings. Run in the environment of the clients."""

from __future__ import annotations

import json
import sys

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel


class Place(BaseModel):
    """A city and the temperature."""

    city: str
    degrees: int


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def judge(url: str) -> dict[str, object]:
    """Ask, stream, call a tool, read a typed answer, in each format; embed texts."""
    found: dict[str, object] = {}
    for name, responses in (("chat", False), ("responses", True)):
        model = ChatOpenAI(model="echo", base_url=f"{url}/v1", api_key="none", use_responses_api=responses)
        said = model.invoke([("system", "Be brief."), ("user", "One.")])
        pieces = [piece.text for piece in model.stream("One.")]
        messages = [HumanMessage("Weather?")]
        calling = model.bind_tools([weather])
        asked = calling.invoke(messages)
        [call] = asked.tool_calls
        results = [ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])]
        called = calling.invoke([*messages, asked, *results])
        typed = model.with_structured_output(Place, method="json_schema").invoke("Where?")
        found[name] = {
            "said": said.text,
            "tokens": [said.usage_metadata["input_tokens"], said.usage_metadata["output_tokens"]],
            "pieces": "".join(pieces),
            "several": sum(map(bool, pieces)) > 1,
            "call": [call["name"], call["args"]],
            "called": called.text,
            "typed": typed.model_dump(),
        }
    chained = ChatOpenAI(
        model="echo", base_url=f"{url}/v1", api_key="none", use_responses_api=True, use_previous_response_id=True
    )
    first = chained.invoke("One.")
    found["chained"] = chained.invoke([HumanMessage("One."), first, HumanMessage("Two.")]).text
    embeddings = OpenAIEmbeddings(model="words", base_url=f"{url}/v1", api_key="none", check_embedding_ctx_length=False)
    found["vectors"] = [len(vector) for vector in embeddings.embed_documents(["a b", "c"])]
    found["query"] = embeddings.embed_query("a b") == embeddings.embed_documents(["a b", "c"])[0]
    sized = OpenAIEmbeddings(
        model="words", base_url=f"{url}/v1", api_key="none", check_embedding_ctx_length=False, dimensions=16
    )
    found["sized"] = len(sized.embed_query("a b"))
    return found


print(json.dumps(judge(sys.argv[1])))
