"""Embedders and rerankers of Cohere: the wire contracts and the requests."""

from __future__ import annotations

from agno_rt_cohere import CohereEmbedder, CohereReranker, Server

from agno_rt import Runtime
from agno_rt.testing import EmbedderWireContract, RerankerWireContract, WireReply, open_wire_server
from tests.servers.vector_formats import CohereVectors


class TestEmbedder(EmbedderWireContract):
    """The contract over v2/embed."""

    wire = CohereVectors()
    tells_purpose = True

    def make(self, base_url: str) -> CohereEmbedder:
        """Make an embedder."""
        return CohereEmbedder("m", base_url=base_url, api_key=self.key)

    def make_impatient(self, base_url: str) -> CohereEmbedder:
        """Make an embedder that gives up after a moment."""
        return CohereEmbedder("m", Server(base_url=base_url, api_key=self.key, read_timeout=30))


class TestReranker(RerankerWireContract):
    """The contract over v2/rerank."""

    wire = CohereVectors()

    def make(self, base_url: str) -> CohereReranker:
        """Make a reranker."""
        return CohereReranker("m", base_url=base_url, api_key=self.key)

    def make_impatient(self, base_url: str) -> CohereReranker:
        """Make a reranker that gives up after a moment."""
        return CohereReranker("m", Server(base_url=base_url, api_key=self.key, read_timeout=30))


async def test_specs_and_requests() -> None:
    """Specs give length, price and languages; the request says the purpose, and asks to refuse long texts."""
    async with open_wire_server() as server:
        server.play(
            WireReply((CohereVectors().render_vectors([[0.6, 0.8]], [0], 3),)),
            WireReply((CohereVectors().render_ranking([(0, 0.5)]),)),
        )
        async with Runtime(settings={"cohere": {"base_url": server.url, "api_key": "k"}}) as rt:
            small = rt.embedder("cohere:embed-english-light-v3.0")
            assert (small.dimensions, small.profile.languages) == (384, ("en",))
            assert small.profile.price is not None
            await rt.embedder("cohere:embed-v4.0@2").embed(["a"], purpose="query")
            await rt.reranker("cohere:rerank-v3.5").rerank("q", ["a"])
        embed, rerank = server.requests
        assert (embed.path, rerank.path) == ("/v2/embed", "/v2/rerank")
        assert embed.json() == {
            "model": "embed-v4.0",
            "texts": ["a"],
            "input_type": "search_query",
            "embedding_types": ["float"],
            "truncate": "NONE",
            "output_dimension": 2,
        }
        assert rerank.json() == {"model": "rerank-v3.5", "query": "q", "documents": ["a"], "top_n": 1}
