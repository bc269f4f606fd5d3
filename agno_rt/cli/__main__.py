"""`python -m agno_rt.cli` is `agno-rt`."""

from agno_rt.cli.app import main

main()
