"""The caller of a request: the rights by scopes, the user of a request, and the things within reach."""

from __future__ import annotations

from typing import Any

import pytest
from agno_rt_serve.auth.caller import LOCAL, SHARED, Caller, Reach, admit, caller_of, reach_of, set_caller, user_of
from agno_rt_serve.auth.scopes import USUAL, parse_scopes
from agno_rt_serve.errors import HttpError

from agno_rt import Agent
from agno_rt.errors import UsageError
from agno_rt.testing import ScriptedModel

ASSISTANT = Agent(ScriptedModel([]), "assistant")


def make_caller(*scopes: str, user: str | None = "ann", kind: Any = "key") -> Caller:
    return Caller("k1", kind, user, parse_scopes(scopes, "--scope"))


def make_scope(caller: Caller) -> dict[str, Any]:
    scope: dict[str, Any] = {"type": "http"}
    set_caller(scope, caller)
    return scope


class TestScopes:
    @pytest.mark.parametrize(
        ("granted", "asked", "expected"),
        [
            ("agents:assistant:run", ("run", "agents", "assistant"), True),
            ("agents:assistant:run", ("read", "agents", "assistant"), True),
            ("agents:assistant:run", ("decide", "agents", "assistant"), False),
            ("agents:assistant:run", ("run", "agents", "clerk"), False),
            ("agents:assistant:run", ("run", "agents", "*"), False),
            ("agents:assistant:run", ("run", "teams", "assistant"), False),
            ("agents:assistant:read", ("run", "agents", "assistant"), False),
            ("agents:*:run", ("run", "agents", "clerk"), True),
            ("agents:a:b:run", ("run", "agents", "a:b"), True),
            ("*:assistant:run", ("run", "teams", "assistant"), True),
            ("sessions:*:read", ("read", "sessions"), True),
            ("sessions:*:read", ("write", "sessions"), False),
            ("sessions:*:*", ("write", "sessions"), True),
            ("sessions:s1:read", ("read", "sessions"), False),
            ("*", ("read", "server", "config"), True),
            ("admin", ("read", "server", "config"), True),
            ("users", ("run", "agents", "assistant"), False),
        ],
    )
    def test_allow(self, granted: str, asked: tuple[str, ...], expected: bool) -> None:
        """A scope grants an action on a kind and a name, a star any, and `run` on a runnable includes `read`."""
        assert make_caller(granted).may(*asked) is expected

    def test_usual(self) -> None:
        """A key with the usual scopes runs everything and has the user's data, without the server's state."""
        caller = make_caller(*USUAL)

        assert all(caller.may_run(ASSISTANT, action) for action in ("run", "read", "decide"))
        assert caller.may("write", "sessions")
        assert not caller.may("write", "knowledge")
        assert not caller.may("read", "server", "config")
        assert not caller.may("use", "routes", "metrics")
        assert (caller.scopes.for_users, caller.scopes.sees_all) == (False, False)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("agents", "KIND:NAME:ACTION"),
            ("agents:run", "KIND:NAME:ACTION"),
            ("agents::run", "KIND:NAME:ACTION"),
            ("agent:a:run", "'agents'"),
            ("agents:a:runs", "'run'"),
            ("sessions:*:run", "unknown action 'run'"),
            ("*:*:walk", "unknown action 'walk'"),
            ("Admin", "KIND:NAME:ACTION"),
        ],
    )
    def test_unknown_words(self, text: str, said: str) -> None:
        """A scope with an unknown word is refused, with the nearest right word: a typing error must not grant less."""
        with pytest.raises(UsageError, match="--scope") as caught:
            parse_scopes([text], "--scope")

        assert said in caught.value.full_text

    def test_refusal(self) -> None:
        """A missing scope is a 403 with the name of the scope."""
        with pytest.raises(HttpError) as caught:
            make_caller("agents:clerk:run").check("run", "agents", "assistant")

        assert (caught.value.status, caught.value.code) == (403, "scope_missing")
        assert "agents:assistant:run" in caught.value.hint


class TestUsers:
    @pytest.mark.parametrize("caller", [LOCAL, SHARED])
    def test_of_callers_who_speak_for_others(self, caller: Caller) -> None:
        """Without keys, and with the key for all, a request is for the named user, and sees this user's things."""
        scope = make_scope(caller)

        assert caller_of(scope) is caller
        assert [user_of(scope), user_of(scope, "bob")] == [None, "bob"]
        assert reach_of(scope) == Reach(None)
        assert reach_of(scope).unowned
        assert reach_of(scope, "bob").has("bob")
        assert not reach_of(scope, "bob").has(None)
        assert not reach_of(scope).has("bob")

    @pytest.mark.parametrize("scopes", [["*"], list(USUAL)])
    def test_of_callers_with_a_user(self, scopes: list[str]) -> None:
        """A caller with a user may not claim to be another user."""
        scope = make_scope(make_caller(*scopes))

        assert [user_of(scope), user_of(scope, "ann")] == ["ann", "ann"]
        assert [reach_of(scope).has(each) for each in ("ann", "bob", None)] == [True, False, False]
        for ask in (user_of, reach_of, lambda scope, said: admit(scope, ASSISTANT, said)):
            with pytest.raises(HttpError) as caught:
                ask(scope, "bob")
            assert (caught.value.status, caught.value.code) == (403, "other_user")

    def test_of_admins(self) -> None:
        """An admin makes things as any user, and sees everyone's things or a named user's."""
        scope = make_scope(make_caller("admin"))

        assert [user_of(scope), user_of(scope, "bob")] == ["ann", "bob"]
        assert [reach_of(scope).has(each) for each in ("ann", "bob", None)] == [True, True, True]
        assert [reach_of(scope, "bob").has(each) for each in ("ann", "bob", None)] == [False, True, False]
        assert (reach_of(scope).user, reach_of(scope).unowned) == (None, False)


class TestAdmission:
    def test_needs_the_scope_of_the_runnable(self) -> None:
        """A run needs the scope of the same runnable."""
        assert admit(make_scope(make_caller("agents:assistant:run")), ASSISTANT, session="s") == "ann"
        with pytest.raises(HttpError) as caught:
            admit(make_scope(make_caller("agents:*:read", "teams:assistant:run")), ASSISTANT)
        assert caught.value.code == "scope_missing"

    def test_anonymous_callers_have_no_session(self) -> None:
        """Anonymous callers have no sessions: a session needs an owner who can come back."""
        scope = make_scope(make_caller("agents:assistant:run", kind="anonymous"))

        assert admit(scope, ASSISTANT) == "ann"
        with pytest.raises(HttpError) as caught:
            admit(scope, ASSISTANT, session="s")
        assert caught.value.status == 403
