"""API keys: looked up in the environment, then in the user's file of keys.

`find_key` is for plugins, and `KeyFile` for programs that write keys. A key is named like the environment variable,
such as OPENAI_API_KEY.
"""
