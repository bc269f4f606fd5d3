"""Floor 5: carries out under trio the decisions of `_decide`: models, tools, sessions, journals."""
