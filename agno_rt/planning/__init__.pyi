# The public names, once: type checkers read them here, and the package imports each when it is asked for.

from agno_rt.planning.todo import Todo as Todo
from agno_rt.planning.todo import TodoItem as TodoItem
