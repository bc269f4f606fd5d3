# The public names, once: type checkers read them here, and the package imports each when it is asked for.

from agno_rt.knowledge.copies import DocumentCopy as DocumentCopy
from agno_rt.knowledge.copies import DocumentCopyStore as DocumentCopyStore
from agno_rt.knowledge.documents import Chunk as Chunk
from agno_rt.knowledge.documents import Document as Document
from agno_rt.knowledge.documents import DocumentInfo as DocumentInfo
from agno_rt.knowledge.documents import Hit as Hit
from agno_rt.knowledge.documents import Mark as Mark
from agno_rt.knowledge.embedders import Embedder as Embedder
from agno_rt.knowledge.embedders import EmbedderProfile as EmbedderProfile
from agno_rt.knowledge.embedders import Embeddings as Embeddings
from agno_rt.knowledge.embedders import Purpose as Purpose
from agno_rt.knowledge.embedders import Vector as Vector
from agno_rt.knowledge.embedders import unit_vector as unit_vector
from agno_rt.knowledge.reading import Chunker as Chunker
from agno_rt.knowledge.reading import Reader as Reader
from agno_rt.knowledge.reading import RevisitingReader as RevisitingReader
from agno_rt.knowledge.reading import Unread as Unread
from agno_rt.knowledge.reading import Visit as Visit
from agno_rt.knowledge.rerankers import Ranked as Ranked
from agno_rt.knowledge.rerankers import Reranker as Reranker
from agno_rt.knowledge.rerankers import RerankerProfile as RerankerProfile
from agno_rt.knowledge.store import EVERYTHING as EVERYTHING
from agno_rt.knowledge.store import Filter as Filter
from agno_rt.knowledge.store import KnowledgeStatistics as KnowledgeStatistics
from agno_rt.knowledge.store import KnowledgeStore as KnowledgeStore
from agno_rt.knowledge.store import PendingText as PendingText
