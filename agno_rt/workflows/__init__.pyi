# The public names, once: type checkers read them here, and the package imports each when it is asked for.

from agno_rt.workflows.declared import Workflow as Workflow
from agno_rt.workflows.functions import SCOPE as SCOPE
from agno_rt.workflows.functions import StepFunction as StepFunction
from agno_rt.workflows.functions import StepOptions as StepOptions
from agno_rt.workflows.functions import WorkflowFunction as WorkflowFunction
from agno_rt.workflows.functions import step as step
from agno_rt.workflows.functions import workflow as workflow
from agno_rt.workflows.nodes import Condition as Condition
from agno_rt.workflows.nodes import Goal as Goal
from agno_rt.workflows.nodes import Judgement as Judgement
from agno_rt.workflows.nodes import Loop as Loop
from agno_rt.workflows.nodes import Map as Map
from agno_rt.workflows.nodes import Node as Node
from agno_rt.workflows.nodes import Parallel as Parallel
from agno_rt.workflows.nodes import Router as Router
from agno_rt.workflows.reducers import add as add
from agno_rt.workflows.reducers import append as append
from agno_rt.workflows.reducers import last as last
from agno_rt.workflows.reducers import union as union
