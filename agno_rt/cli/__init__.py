"""The `agno-rt` command: parses what was typed, calls the kernel, and shows what came of it. Decides nothing itself.

Each verb has a module of its own, imported when it is typed. The kernel is imported inside the verbs, so that
`--version` and `--help` do not wait for it.
"""

from agno_rt.cli.app import main as main
