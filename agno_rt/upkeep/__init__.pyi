# The public names, once: type checkers read them here, and the package imports each when it is asked for.

from agno_rt.upkeep.ages import parse_age as parse_age
from agno_rt.upkeep.bounds import KEEP_ALL as KEEP_ALL
from agno_rt.upkeep.bounds import Retention as Retention
from agno_rt.upkeep.bounds import forget_old as forget_old
from agno_rt.upkeep.bounds import parse_bound as parse_bound
from agno_rt.upkeep.copies import CopyKind as CopyKind
from agno_rt.upkeep.copies import CopyStore as CopyStore
from agno_rt.upkeep.copies import RunCopy as RunCopy
from agno_rt.upkeep.copies import SessionCopy as SessionCopy
from agno_rt.upkeep.migrations import MigratingStore as MigratingStore
from agno_rt.upkeep.migrations import Migration as Migration
from agno_rt.upkeep.retention import PartSize as PartSize
from agno_rt.upkeep.retention import SessionPruning as SessionPruning
from agno_rt.upkeep.retention import SizedStore as SizedStore
from agno_rt.upkeep.retention import StoreSize as StoreSize
