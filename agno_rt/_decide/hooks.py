"""The hooks of an agent, sorted by the steps of a run at which they are called. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agno_rt.hooks import Guard, Hook

__all__ = ["Hooks"]


class Hooks(msgspec.Struct, frozen=True, eq=False):
    """The hooks of an agent, sorted by step. Made with `of`."""

    before_run: tuple[Hook | Guard, ...] = ()
    after_run: tuple[Hook | Guard, ...] = ()
    before_model: tuple[Hook, ...] = ()
    after_model: tuple[Hook, ...] = ()
    before_tool: tuple[Hook, ...] = ()
    after_tool: tuple[Hook | Guard, ...] = ()
    review_call: tuple[Hook, ...] = ()
    check_tools: tuple[Hook, ...] = ()
    racing: tuple[Guard, ...] = ()
    holds: bool = False

    @classmethod
    def of(cls, hooks: Sequence[Hook | Guard]) -> Hooks:
        """Sort the hooks by their steps: hooks before a step in order, hooks after a step in reverse order."""
        guards = [hook for hook in hooks if isinstance(hook, Guard)]
        others = [hook for hook in hooks if isinstance(hook, Hook)]
        input_guards = [guard for guard in guards if "input" in guard.on]
        output_guards = [guard for guard in guards if "output" in guard.on]
        tool_guards = [guard for guard in guards if "tools" in guard.on]
        waiting = [guard for guard in input_guards if not guard.race]
        return cls(
            before_run=tuple(
                hook for hook in hooks if hook in waiting or hook in _select_overriding(others, "before_run")
            ),
            after_run=tuple(
                hook for hook in hooks[::-1] if hook in output_guards or hook in _select_overriding(others, "after_run")
            ),
            before_model=_select_overriding(others, "before_model"),
            after_model=_select_overriding(others, "after_model")[::-1],
            before_tool=_select_overriding(others, "before_tool"),
            after_tool=tuple(
                hook for hook in hooks[::-1] if hook in tool_guards or hook in _select_overriding(others, "after_tool")
            ),
            review_call=_select_overriding(others, "review_call"),
            check_tools=_select_overriding(others, "check_tools"),
            racing=tuple(guard for guard in input_guards if guard.race),
            holds=bool(output_guards) or any(hook.holds for hook in others),
        )


def _select_overriding(hooks: Sequence[Hook], method: str) -> tuple[Hook, ...]:
    """Return the hooks that override the method."""
    return tuple(hook for hook in hooks if getattr(type(hook), method) is not getattr(Hook, method))
