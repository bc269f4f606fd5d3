"""The tool: a function. Its name, docstring and annotations tell the model its purpose and its arguments."""

from agno_rt import Tool, tool


def make_shout_tool(ending: str) -> Tool:
    """Make a tool that shouts a text and adds `ending`."""

    # Without `inline=True`, a function that is not async runs in a thread. Leave it out if the function may block.
    @tool(inline=True)
    def shout(text: str) -> str:
        """Say the text loudly."""
        return text.upper() + ending

    return shout
