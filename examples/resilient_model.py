"""A model that survives failures, by wrappers: retry, fallback, rate limit and cache, one around the other."""

import trio

from agno_rt import Agent, Runtime
from agno_rt.errors import ModelError
from agno_rt.events import TextDelta, TurnRestarted
from agno_rt.testing import ScriptedModel
from agno_rt.wrappers.cache import Cache
from agno_rt.wrappers.fallback import Fallback
from agno_rt.wrappers.rate_limit import RateLimit
from agno_rt.wrappers.retry import Retry

# Stand-ins for "openai:gpt-5" and "llamacpp:smollm2": the first is busy for a while, then refuses the key.
busy = ModelError("it is busy", status=503, retryable=True)
refused = ModelError("it refuses the key", status=401)
primary = ScriptedModel([busy, "The capital of France is Paris.", refused], name="primary")
local = ScriptedModel(["Seoul, says the model at home."], name="local")

model = Cache(Fallback(Retry(RateLimit(primary, requests=600), wait=0.01), local))
assistant = Agent(model, "assistant")


async def main() -> None:
    """Ask two questions, and repeat the first."""
    async with Runtime() as runtime:
        print((await runtime.run(assistant, "What is the capital of France?")).content)
        async with runtime.stream(assistant, "And of Korea?") as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    print(event.text, end="", flush=True)
                elif isinstance(event, TurnRestarted):
                    print("...", event.reason)
        print()
        again = await runtime.run(assistant, "What is the capital of France?")
        print(again.content, f"({again.usage.total_tokens} tokens)")
        for limit in runtime.statistics():
            print(f"{limit.name}: {limit.in_use:g} of {limit.total:g}")


if __name__ == "__main__":
    trio.run(main)
