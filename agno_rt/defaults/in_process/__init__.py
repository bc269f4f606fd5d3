"""The memory that lives in the process, `memory:`, and the bounds on what it keeps."""
