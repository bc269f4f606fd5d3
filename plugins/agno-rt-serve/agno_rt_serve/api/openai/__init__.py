"""The format of chat completions, in which an agent is a model. Under `/v1`."""
