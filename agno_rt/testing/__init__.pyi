# The public names, once: type checkers read them here, and the package imports each when it is asked for.

from agno_rt.testing.cancelling import CancelPoint as CancelPoint
from agno_rt.testing.cancelling import cancel_everywhere as cancel_everywhere
from agno_rt.testing.cassettes import Cassette as Cassette
from agno_rt.testing.clocks import WallClock as WallClock
from agno_rt.testing.clocks import run_virtually as run_virtually
from agno_rt.testing.contracts import CacheContract as CacheContract
from agno_rt.testing.contracts import FactContract as FactContract
from agno_rt.testing.contracts import LockContract as LockContract
from agno_rt.testing.contracts import MemoryContract as MemoryContract
from agno_rt.testing.contracts import ModelContract as ModelContract
from agno_rt.testing.contracts import RunContract as RunContract
from agno_rt.testing.contracts import SignalContract as SignalContract
from agno_rt.testing.faults import Faults as Faults
from agno_rt.testing.faults import InjectedFault as InjectedFault
from agno_rt.testing.faults import fail_everywhere as fail_everywhere
from agno_rt.testing.killing import KillPoint as KillPoint
from agno_rt.testing.killing import kill_everywhere as kill_everywhere
from agno_rt.testing.orphans import no_orphans as no_orphans
from agno_rt.testing.schedules import Pauses as Pauses
from agno_rt.testing.schedules import pause as pause
from agno_rt.testing.schedules import run_schedules as run_schedules
from agno_rt.testing.scripted import Reply as Reply
from agno_rt.testing.scripted import ScriptedModel as ScriptedModel
from agno_rt.testing.scripted import Step as Step
