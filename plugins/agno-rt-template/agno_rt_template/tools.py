"""The tool: a function whose name, docstring and annotations tell the model what it does and takes."""

from agno_rt import Tool, tool


def shouting(ending: str) -> Tool:
    """Make a tool that shouts, and ends like that."""

    # Without `inline=True` a function that is not async runs in a thread, as it should if it ever waits.
    @tool(inline=True)
    def shout(text: str) -> str:
        """Say the text loudly."""
        return text.upper() + ending

    return shout
