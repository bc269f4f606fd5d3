"""Decisions of retrieval: the order of hits, the language of a query, the chunks of a text. Values in, values out."""
