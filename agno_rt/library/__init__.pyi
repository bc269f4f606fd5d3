# The public names, once: type checkers read them here, and the package imports each when it is asked for.

from agno_rt.library.citations import Citation as Citation
from agno_rt.library.citations import describe_citations as describe_citations
from agno_rt.library.citations import list_citations as list_citations
from agno_rt.library.evaluation import Question as Question
from agno_rt.library.evaluation import Recall as Recall
from agno_rt.library.evaluation import evaluate as evaluate
from agno_rt.library.evaluation import load_questions as load_questions
from agno_rt.library.open import OpenKnowledge as OpenKnowledge
from agno_rt.library.parts import Added as Added
from agno_rt.library.parts import KnowledgeStatus as KnowledgeStatus
from agno_rt.library.parts import Progress as Progress
from agno_rt.library.providers import KnowledgeContext as KnowledgeContext
