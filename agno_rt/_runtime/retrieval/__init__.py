"""The knowledge, the embedders and the rerankers of a runtime."""
