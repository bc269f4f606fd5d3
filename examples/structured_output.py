"""An answer of a type. The scripted model misses a field at first, and is told so."""

import attrs

from agno_rt import Agent, run
from agno_rt.testing import ScriptedModel


@attrs.define
class Invoice:
    """The facts to read out of a text."""

    customer: str
    total: float
    paid: bool = False


model = ScriptedModel(['{"customer": "Ann"}', '{"customer": "Ann", "total": 12.5}'])
reader = Agent(model, "reader", "Read the invoice.", output=Invoice)

if __name__ == "__main__":
    # The first answer lacks the total: the model is told so, and answers again.
    print(run(reader, "Ann owes us 12.50.").output)
