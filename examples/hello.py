"""The smallest program: one agent, one question, the embedded model. First: agno-rt llamacpp pull."""

from agno_rt import Agent, ModelSettings, run

assistant = Agent(
    "llamacpp:smollm2",
    "assistant",
    "Answer in one short sentence.",
    hooks=["answers:basics"],  # shows the small model what a good answer is; leave it out for a larger model
    settings=ModelSettings(temperature=0.0),
)

if __name__ == "__main__":
    print(run(assistant, "What is the capital of France?").content)
