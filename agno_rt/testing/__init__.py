"""What tests of agents and plugins need: a scripted model and the contract suites. Fixtures come as a pytest plugin."""

from agno_rt.testing.contracts import MemoryContract as MemoryContract
from agno_rt.testing.contracts import ModelContract as ModelContract
from agno_rt.testing.scripted import ScriptedModel as ScriptedModel
from agno_rt.testing.scripted import Step as Step
