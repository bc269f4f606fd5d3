"""What a chat is told beside questions: lines that begin with `/`. Each command is a function of the dialogue."""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import attrs
import click

from agno_rt.cli.chat.dialogue import Dialogue, model_name
from agno_rt.cli.chat.line_input import LineInput
from agno_rt.cli.chat.session_names import next_name
from agno_rt.cli.default_memory import tilde
from agno_rt.cli.report import clean, notice, remark, styled
from agno_rt.cli.text.word_wrap import wrap_terms
from agno_rt.errors import NotFound, UsageError, suggest
from agno_rt.messages import Message

__all__ = ["Commands", "is_command"]

_CLIPBOARD = 74_994
"""Bytes that terminals take for the clipboard at once."""

Act = Callable[["Commands", str], None]
Known = Callable[[Dialogue], Iterable[str]]


def is_command(text: str) -> bool:
    """Whether an input is a command: a path that begins with a slash is none."""
    return re.match(r"/[\w-]*(\s|$)", text) is not None


@attrs.frozen
class Command:
    """A command: what comes behind it, what it does in a few words, and what may be put there."""

    act: Act
    takes: str
    help: str
    known: Known | None = None


@attrs.frozen
class Commands:
    """Carries commands out in a dialogue, and completes what is begun of one."""

    dialogue: Dialogue
    lines: LineInput

    def carry_out(self, text: str) -> None:
        """Do what is typed. Raises `UsageError` for a command that there is not, with the nearest."""
        name, _, rest = text.partition(" ")
        if "\n" in name:
            name, _, rest = text.partition("\n")
        command = COMMANDS.get(name)
        if command is None:
            hint = f'{suggest("command", name, COMMANDS)} To say it to the agent, put it between lines of """.'
            raise UsageError(f"unknown command {name!r}", hint=hint)
        if rest.strip() and not command.takes:
            raise UsageError(f"{name} takes nothing behind it, and was given {rest.strip()!r}", hint=f"Type {name}.")
        command.act(self, rest.strip())

    def complete(self, line: str) -> list[str]:
        """What the line may become."""
        return complete(self.dialogue, line)


def complete(dialogue: Dialogue, line: str) -> list[str]:
    """What a line that is begun may become: the names of commands, and what they know of."""
    name, blank, begun = line.partition(" ")
    if not line.startswith("/"):
        return []
    if not blank:
        return [f"{each} " if command.takes else each for each, command in COMMANDS.items() if each.startswith(name)]
    command = COMMANDS.get(name)
    if command is None:
        return []
    if command.takes.endswith("FILE") or "PATH" in command.takes:
        return [f"{name} {path}" for path in _paths(begun)]
    return [] if command.known is None else [f"{name} {each}" for each in command.known(dialogue)]


def _help(commands: Commands, rest: str) -> None:
    rows = [(f"{name} {command.takes}".strip(), command.help) for name, command in COMMANDS.items()]
    click.echo(wrap_terms([*rows, *_KEYS.items()]), err=True, nl=False)
    if kept_in := commands.dialogue.kept_in:
        remark(f"Conversations are kept in {tilde(kept_in)}.")


_KEYS = {
    'Enter after \\, or """': "goes on with the same input on another line; so do Ctrl-J and Alt-Enter",
    "Tab": "completes commands, models, agents, sessions and files",
    "Ctrl-C": "stops the answer that is under way; pressed twice at the prompt, it leaves",
    "Ctrl-D": "leaves",
}


def _model(commands: Commands, spec: str) -> None:
    dialogue, agent = commands.dialogue, commands.dialogue.conversation.agent
    if not spec:
        known = ", ".join(_models(dialogue))
        remark(f"{model_name(agent)} answers. Another one: /model SPEC{f', as in {known}' if known else ''}.")
        return
    dialogue.change_agent(attrs.evolve(agent, model=spec))
    dialogue.changed["-m"] = spec
    remark(f"{spec} answers from now on.")


def _models(dialogue: Dialogue) -> list[str]:
    """The specs of models that are known: those of the project's agents, and those that plugins have by name."""
    agents = dialogue.target.project.agents.values()
    specs = {agent.model for agent in agents if isinstance(agent.model, str)}
    offers = dialogue.conversation.runtime.plugins.offers("models")
    specs |= {f"{offer.plugin}:{'' if offer.name == '*' else offer.name}" for offer in offers}
    # What begins others is no model itself, and says no more than they do.
    return sorted(
        spec for spec in specs if not (spec.endswith(":") and any(o != spec and o.startswith(spec) for o in specs))
    )


def _agent(commands: Commands, name: str) -> None:
    dialogue = commands.dialogue
    if not name:
        known = ", ".join(_agents(dialogue))
        remark(f"{dialogue.conversation.agent.name} answers. Another one: /agent NAME, of {known}.")
        return
    dialogue.change_agent(dialogue.target.project.agent(name))
    remark(f"{name} answers from now on.")


def _agents(dialogue: Dialogue) -> list[str]:
    return sorted(dialogue.target.project.agents)


def _system(commands: Commands, text: str) -> None:
    dialogue, agent = commands.dialogue, commands.dialogue.conversation.agent
    if text:
        dialogue.change_agent(attrs.evolve(agent, instructions=text))
        remark("Those are the agent's instructions from now on, until you leave.")
    elif isinstance(agent.instructions, str):
        click.echo(clean(agent.instructions) if agent.instructions else "There are no instructions.", err=True)
    else:
        remark("The instructions are made anew for each question. /system TEXT puts others in their place.")


def _tools(commands: Commands, rest: str) -> None:
    tools = commands.dialogue.conversation.tools()
    if not tools:
        remark("The agent has no tools.")
        return
    rows = [(clean(tool.name), clean((tool.description or "").strip().partition("\n")[0])) for tool in tools]
    click.echo(wrap_terms(rows), err=True, nl=False)


def _attach(commands: Commands, source: str) -> None:
    from agno_rt.media import attachment, described

    if not source:
        raise UsageError("there is nothing to attach", hint="Name a file or a URL: /attach cat.png")
    attached = attachment(source)
    commands.dialogue.attached.append(attached)
    remark(f"{described(attached)} goes with the next question.")


def _retry(commands: Commands, rest: str) -> None:
    commands.dialogue.retry()


def _undo(commands: Commands, rest: str) -> None:
    commands.dialogue.undo()


def _edit(commands: Commands, rest: str) -> None:
    dialogue = commands.dialogue
    before = dialogue.last_question()
    text = commands.lines.edit(before)
    if text is None or not text.strip() or text == before:
        remark("Nothing was changed.")
        return
    dialogue.ask_instead(text)


def _sessions(commands: Commands, rest: str) -> None:
    from agno_rt.cli.tables import Column, print_table, when

    dialogue = commands.dialogue
    rows = [
        (
            f"{'*' if info.id == dialogue.session else ''}{number}",
            info.title,
            info.id,
            f"{info.messages:,}",
            when(info.updated_at),
        )
        for number, info in enumerate(dialogue.sessions(), 1)
    ]
    columns = (Column("", whole=True, right=True), Column("TITLE"), Column("SESSION"), Column("MESSAGES", right=True))
    print_table((*columns, Column("WRITTEN")), rows, empty="There are no conversations yet.")
    if rows:
        remark("/session N goes on with one of them.")


def _session(commands: Commands, given: str) -> None:
    from agno_rt.cli.open_memory import match_id

    dialogue = commands.dialogue
    if not given:
        dialogue.switch_to(dialogue.session)
        return
    ids = [info.id for info in dialogue.sessions()]
    if given.isdecimal() and given not in ids and 0 < int(given) <= len(ids):
        dialogue.switch_to(ids[int(given) - 1])
        return
    try:
        dialogue.switch_to(match_id("session", given, ids))
    except NotFound as exc:
        raise UsageError(f"there is no session {given!r}", hint=f"{exc.hint} /new {given} begins it.") from None


def _session_ids(dialogue: Dialogue) -> list[str]:
    return [info.id for info in dialogue.sessions()]


def _new(commands: Commands, name: str) -> None:
    dialogue = commands.dialogue
    sessions = dialogue.conversation.sessions()
    if any(info.id == name for info in sessions):
        raise UsageError(f"there is a session {name!r} already", hint=f"/session {name} goes on with it.")
    dialogue.switch_to(name or next_name(dialogue.stem, sessions))


def _title(commands: Commands, text: str) -> None:
    dialogue = commands.dialogue
    if not text:
        raise UsageError("there is no title", hint="As in /title A trip to Seoul")
    if dialogue.conversation.rename(dialogue.session, text):
        remark("The conversation is called that from now on.")
    else:
        remark("Nothing was said yet, so there is nothing to call.")


def _history(commands: Commands, rest: str) -> None:
    messages = commands.dialogue.conversation.messages(commands.dialogue.session)
    if not messages:
        remark("Nothing was said yet.")
    for message in messages:
        _show(commands.dialogue, message)


def _show(dialogue: Dialogue, message: Message) -> None:
    from agno_rt.cli.run_agent.display import call_line, content_text, result_line

    text = content_text(message)
    match message.role:
        case "user":
            click.echo(styled(f"> {clean(text) if sys.stdout.isatty() else text}", bold=True))
        case "tool":
            remark(result_line(message.name or "tool", text))
        case _:
            if text:
                dialogue.display.render(text)
            for call in message.tool_calls:
                remark(call_line(call))


def _save(commands: Commands, given: str) -> None:
    from agno_rt.cli.chat.markdown_file import session_markdown

    dialogue, force = commands.dialogue, given.startswith("-f ")
    path = Path(given.removeprefix("-f ").strip()).expanduser()
    if not given:
        raise UsageError("there is no file to save to", hint="As in /save chat.md")
    if path.exists() and not force:
        raise UsageError(f"{path} is there already", hint=f"/save -f {path} writes over it.")
    messages = dialogue.conversation.messages(dialogue.session)
    if not messages:
        raise UsageError("nothing was said yet", hint="Ask something first.")
    info = dialogue.conversation.info(dialogue.session)
    title = info.title if info is not None else ""
    try:
        path.write_text(session_markdown(messages, title or dialogue.session), encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}", hint="Name another file.") from exc
    notice(f"Saved to {path}.")


def _copy(commands: Commands, rest: str) -> None:
    messages = commands.dialogue.conversation.messages(commands.dialogue.session)
    answer = next((each.text for each in reversed(messages) if each.role == "assistant" and each.text), "")
    if not answer:
        raise UsageError("there is no answer to copy", hint="Ask something first.")
    if not sys.stdout.isatty() or os.environ.get("TERM", "") in ("", "dumb"):
        raise UsageError("there is no terminal that could copy", hint="/save FILE writes the conversation to a file.")
    data = base64.b64encode(answer.encode())
    if len(data) > _CLIPBOARD:
        raise UsageError("the answer is too long for the clipboard", hint="/save FILE writes it to a file.")
    # The terminal does it, which works over ssh, too; what it does not know it leaves out.
    sys.stdout.write(f"\x1b]52;c;{data.decode()}\x07")
    sys.stdout.flush()
    remark("The answer was handed to the terminal's clipboard, if yours allows that.")


def _block(commands: Commands, rest: str) -> None:
    # The line input takes it where it stands alone.
    raise UsageError("/multi stands on a line of its own", hint="Type /multi, then the lines, then /end.")


def _paths(begun: str) -> Iterable[str]:
    folder, name = os.path.split(begun)
    try:
        entries = sorted(os.scandir(Path(folder or ".").expanduser()), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
            yield os.path.join(folder, entry.name) + ("/" if entry.is_dir() else "")


def _leave(commands: Commands, rest: str) -> None:
    raise EOFError


COMMANDS: Mapping[str, Command] = {
    "/help": Command(_help, "", "lists the commands"),
    "/model": Command(_model, "SPEC", "goes on with another model", _models),
    "/agent": Command(_agent, "NAME", "goes on with another agent", _agents),
    "/system": Command(_system, "TEXT", "puts other instructions in place of the agent's"),
    "/tools": Command(_tools, "", "lists the agent's tools"),
    "/attach": Command(_attach, "PATH or URL", "asks the next question about that file"),
    "/multi": Command(_block, "", "begins an input of several lines, up to /end"),
    "/retry": Command(_retry, "", "drops the last answer and asks again"),
    "/edit": Command(_edit, "", "changes the last question and asks that instead"),
    "/undo": Command(_undo, "", "drops the last question and its answer"),
    "/history": Command(_history, "", "shows what was said so far"),
    "/copy": Command(_copy, "", "copies the last answer to the clipboard"),
    "/save": Command(_save, "FILE", "writes the conversation to a Markdown file"),
    "/sessions": Command(_sessions, "", "lists your conversations"),
    "/session": Command(_session, "ID", "goes on with another one, by its number or id", _session_ids),
    "/title": Command(_title, "TEXT", "gives the conversation a title"),
    "/new": Command(_new, "NAME", "begins a new conversation"),
    "/quit": Command(_leave, "", "leaves"),
}
