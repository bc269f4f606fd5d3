"""The plugins that ship with agno_rt: in-process and SQLite memory, a log observer, a file search tool.

Each plugin is loaded through an entry point of the distribution and can be blocked, as any other plugin can.
"""
