# The public names, once: type checkers read them here, and the package imports each when it is asked for.

from agno_rt.context_providers.agents_file import AgentsFile as AgentsFile
from agno_rt.context_providers.memory_files import MemoryFiles as MemoryFiles
from agno_rt.context_providers.past_sessions import PastSessions as PastSessions
from agno_rt.context_providers.session_search import FoundMessage as FoundMessage
from agno_rt.context_providers.session_search import SessionSearch as SessionSearch
from agno_rt.context_providers.session_search import search_sessions as search_sessions
from agno_rt.context_providers.skills import Skills as Skills
from agno_rt.context_providers.skills import SkillWarning as SkillWarning
