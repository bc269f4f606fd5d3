"""Helpers of `agno-rt chat`: the dialogue, its slash commands, and the lines that a person types."""
