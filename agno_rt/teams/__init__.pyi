# The public names, once: type checkers read them here, and the package imports each when it is asked for.

from agno_rt.teams.broadcast import Broadcast as Broadcast
from agno_rt.teams.consensus import Agreement as Agreement
from agno_rt.teams.consensus import Consensus as Consensus
from agno_rt.teams.delegates import Delegates as Delegates
from agno_rt.teams.delegates import TaskState as TaskState
from agno_rt.teams.group_chat import GroupChat as GroupChat
from agno_rt.teams.group_chat import Said as Said
from agno_rt.teams.handoff import Handoff as Handoff
from agno_rt.teams.leader import Leader as Leader
from agno_rt.teams.mode import Members as Members
from agno_rt.teams.mode import Mode as Mode
from agno_rt.teams.route import Route as Route
from agno_rt.teams.sequence import Sequence as Sequence
from agno_rt.teams.tasks import Tasks as Tasks
