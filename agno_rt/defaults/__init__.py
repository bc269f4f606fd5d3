"""The plugins that ship with agno_rt: in-process and SQLite memory, a log observer, a file search tool.

Each is loaded through an entry point of the distribution, like anyone's plugin, and can be blocked like one.
"""
