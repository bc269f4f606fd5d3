# The public names, once: type checkers read them here, and the package imports each when it is asked for.

from agno_rt.approvers.allow import Allow as Allow
from agno_rt.approvers.model import ModelApprover as ModelApprover
