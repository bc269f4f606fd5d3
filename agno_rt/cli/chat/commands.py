"""The slash commands of a chat. Each command is a function of the dialogue and the text behind the command."""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import attrs
import click

from agno_rt.agent import Agent
from agno_rt.cli.chat.dialogue import Dialogue
from agno_rt.cli.chat.line_input import LineInput
from agno_rt.cli.chat.session_names import next_name
from agno_rt.cli.default_memory import tilde
from agno_rt.cli.list_agents import name_model
from agno_rt.cli.report import clean, notice, remark, styled
from agno_rt.cli.text.word_wrap import wrap_terms
from agno_rt.errors import NotFound, UsageError, suggest
from agno_rt.messages import Message

__all__ = ["Commands", "is_command"]

_CLIPBOARD = 74_994
"""The most bytes to copy: terminals accept sequences of 100,000 bytes, and base64 makes four bytes of three."""

Act = Callable[["Commands", str], None]
Known = Callable[[Dialogue], Iterable[str]]


def is_command(text: str) -> bool:
    """Tell whether an input is a command. A path such as `/etc/hosts` is not."""
    return re.match(r"/[\w-]*(\s|$)", text) is not None


@attrs.frozen
class Command:
    """A command: its function, its argument for `/help`, a short help text, and the known values of the argument."""

    act: Act
    takes: str
    help: str
    known: Known | None = None


@attrs.frozen
class Commands:
    """Executes commands in a dialogue, and completes the beginnings of commands."""

    dialogue: Dialogue
    lines: LineInput

    def carry_out(self, text: str) -> None:
        """Execute the command. Raises `UsageError` for an unknown command, with the nearest name."""
        name, _, rest = text.partition(" ")
        # An input of several lines: the name ends with the first line.
        if "\n" in name:
            name, _, rest = text.partition("\n")
        command = COMMANDS.get(name)
        if command is None:
            hint = f'{suggest("command", name, COMMANDS)} To send the text to the agent, put it between lines of """.'
            raise UsageError(f"unknown command {name!r}", hint=hint)
        if rest.strip() and not command.takes:
            raise UsageError(f"{name} has no argument, but was given {rest.strip()!r}", hint=f"Type {name}.")
        command.act(self, rest.strip())

    def complete(self, line: str) -> list[str]:
        """Return the completions of the line."""
        return complete(self.dialogue, line)


def complete(dialogue: Dialogue, line: str) -> list[str]:
    """Return the completions of a line: names of commands, and known values of their arguments."""
    name, blank, begun = line.partition(" ")
    if not line.startswith("/"):
        return []
    if not blank:
        return [f"{each} " if command.takes else each for each, command in COMMANDS.items() if each.startswith(name)]
    command = COMMANDS.get(name)
    if command is None:
        return []
    if command.takes.endswith("FILE") or "PATH" in command.takes:
        return [f"{name} {path}" for path in _complete_path(begun)]
    return [] if command.known is None else [f"{name} {each}" for each in command.known(dialogue)]


def _print_help(commands: Commands, rest: str) -> None:
    rows = [(f"{name} {command.takes}".strip(), command.help) for name, command in COMMANDS.items()]
    click.echo(wrap_terms([*rows, *_KEYS.items()]), err=True, nl=False)
    if kept_in := commands.dialogue.kept_in:
        remark(f"Conversations are kept in {tilde(kept_in)}.")


_KEYS = {
    'Enter after \\, or """': "continues the input on another line, as Ctrl-J and Alt-Enter do",
    "Tab": "completes commands, models, agents, sessions and files",
    "Ctrl-C": "stops the answer; pressed twice at the prompt, leaves",
    "Ctrl-D": "leaves",
}


def _change_model(commands: Commands, spec: str) -> None:
    dialogue, agent = commands.dialogue, _current_agent(commands)
    if not spec:
        known = ", ".join(_known_models(dialogue))
        remark(f"{name_model(agent)} answers. For another model: /model SPEC{f', as in {known}' if known else ''}.")
        return
    dialogue.change_agent(attrs.evolve(agent, model=spec))
    dialogue.changed["-m"] = spec
    remark(f"{spec} answers from now on.")


def _current_agent(commands: Commands) -> Agent:
    """Return the agent of the chat. Raises `UsageError` for anything but an agent."""
    runnable = commands.dialogue.conversation.agent
    if isinstance(runnable, Agent):
        return runnable
    problem = f"{runnable.name} is a {runnable.kind}, and has no model and no instructions of its own"
    raise UsageError(problem, hint="Talk with one of its agents: /agent NAME.")


def _known_models(dialogue: Dialogue) -> list[str]:
    """Return the known specs of models: of the project's agents, and of the plugins."""
    agents = dialogue.target.project.agents.values()
    specs = {agent.model for agent in agents if isinstance(agent.model, str)}
    offers = dialogue.conversation.runtime.plugins.offers("models")
    specs |= {f"{offer.plugin}:{'' if offer.name == '*' else offer.name}" for offer in offers}
    # "openai:" stands for any model of the plugin: useless beside a full spec such as "openai:gpt-5".
    return sorted(
        spec for spec in specs if not (spec.endswith(":") and any(o != spec and o.startswith(spec) for o in specs))
    )


def _switch_agent(commands: Commands, name: str) -> None:
    dialogue = commands.dialogue
    if not name:
        known = ", ".join(_known_agents(dialogue))
        remark(f"{dialogue.conversation.agent.name} answers. For another agent: /agent NAME, of {known}.")
        return
    dialogue.change_agent(dialogue.target.project.runnable(name))
    remark(f"{name} answers from now on.")


def _known_agents(dialogue: Dialogue) -> list[str]:
    return sorted(dialogue.target.project.runnables)


def _change_instructions(commands: Commands, text: str) -> None:
    dialogue, agent = commands.dialogue, _current_agent(commands)
    if text:
        dialogue.change_agent(attrs.evolve(agent, instructions=text))
        remark("The agent has these instructions from now on, until you leave.")
    elif isinstance(agent.instructions, str):
        click.echo(clean(agent.instructions) if agent.instructions else "There are no instructions.", err=True)
    else:
        remark("The instructions are made anew for each question. /system TEXT replaces them.")


def _list_tools(commands: Commands, rest: str) -> None:
    tools = commands.dialogue.conversation.tools()
    if not tools:
        remark("The agent has no tools.")
        return
    rows = [(clean(tool.name), clean((tool.description or "").strip().partition("\n")[0])) for tool in tools]
    click.echo(wrap_terms(rows), err=True, nl=False)


def _attach_file(commands: Commands, source: str) -> None:
    from agno_rt.media import attachment, described

    if not source:
        raise UsageError("there is nothing to attach", hint="Name a file or a URL: /attach cat.png")
    attached = attachment(source)
    commands.dialogue.attached.append(attached)
    remark(f"{described(attached)} goes with the next question.")


def _retry_question(commands: Commands, rest: str) -> None:
    commands.dialogue.retry()


def _undo_exchange(commands: Commands, rest: str) -> None:
    commands.dialogue.undo()


def _edit_question(commands: Commands, rest: str) -> None:
    dialogue = commands.dialogue
    before = dialogue.last_question()
    text = commands.lines.edit(before)
    if text is None or not text.strip() or text == before:
        remark("Nothing was changed.")
        return
    dialogue.ask_instead(text)


def _list_sessions(commands: Commands, rest: str) -> None:
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
        remark("/session N continues a conversation.")


def _switch_session(commands: Commands, given: str) -> None:
    from agno_rt.cli.open_memory import match_id

    dialogue = commands.dialogue
    if not given:
        dialogue.switch_to(dialogue.session)
        return
    ids = [info.id for info in dialogue.sessions()]
    # A session may have a number for its id; the id then wins over the number in the list.
    if given.isdecimal() and given not in ids and 0 < int(given) <= len(ids):
        dialogue.switch_to(ids[int(given) - 1])
        return
    try:
        dialogue.switch_to(match_id("session", given, ids))
    except NotFound as exc:
        hint = f"{exc.hint} /new {given} begins a new session."
        raise UsageError(f"there is no session {given!r}", hint=hint) from None


def _known_sessions(dialogue: Dialogue) -> list[str]:
    return [info.id for info in dialogue.sessions()]


def _begin_session(commands: Commands, name: str) -> None:
    dialogue = commands.dialogue
    sessions = dialogue.conversation.sessions()
    if any(info.id == name for info in sessions):
        raise UsageError(f"there is a session {name!r} already", hint=f"/session {name} continues it.")
    dialogue.switch_to(name or next_name(dialogue.stem, sessions))


def _rename_session(commands: Commands, text: str) -> None:
    dialogue = commands.dialogue
    if not text:
        raise UsageError("there is no title", hint="Type a title: /title A trip to Seoul")
    if dialogue.conversation.rename(dialogue.session, text):
        remark("The conversation has a new title.")
    else:
        remark("Nothing was said yet: there is no conversation to give a title.")


def _print_history(commands: Commands, rest: str) -> None:
    messages = commands.dialogue.conversation.messages(commands.dialogue.session)
    if not messages:
        remark("Nothing was said yet.")
    for message in messages:
        _print_message(commands.dialogue, message)


def _print_message(dialogue: Dialogue, message: Message) -> None:
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


def _save_conversation(commands: Commands, given: str) -> None:
    from agno_rt.cli.chat.markdown_file import session_markdown

    dialogue, force = commands.dialogue, given.startswith("-f ")
    path = Path(given.removeprefix("-f ").strip()).expanduser()
    if not given:
        raise UsageError("there is no file to save to", hint="Name a file: /save chat.md")
    if path.exists() and not force:
        raise UsageError(f"{path} exists already", hint=f"/save -f {path} overwrites it.")
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


def _copy_answer(commands: Commands, rest: str) -> None:
    messages = commands.dialogue.conversation.messages(commands.dialogue.session)
    answer = next((each.text for each in reversed(messages) if each.role == "assistant" and each.text), "")
    if not answer:
        raise UsageError("there is no answer to copy", hint="Ask something first.")
    if not sys.stdout.isatty() or os.environ.get("TERM", "") in ("", "dumb"):
        raise UsageError("this terminal cannot copy", hint="/save FILE writes the conversation to a file.")
    data = answer.encode()
    if len(data) > _CLIPBOARD:
        raise UsageError("the answer is too long for the clipboard", hint="/save FILE writes it to a file.")
    # OSC 52: the terminal itself copies, also over ssh. A terminal without the sequence ignores it.
    sys.stdout.write(f"\x1b]52;c;{base64.b64encode(data).decode()}\x07")
    sys.stdout.flush()
    remark("The answer was sent to the terminal's clipboard, if your terminal allows it.")


def _refuse_block(commands: Commands, rest: str) -> None:
    # `LineInput` handles a /multi alone on its line; here it has text behind.
    raise UsageError("/multi must stand alone on its line", hint="Type /multi, then the lines, then /end.")


def _complete_path(begun: str) -> Iterable[str]:
    folder, name = os.path.split(begun)
    try:
        entries = sorted(os.scandir(Path(folder or ".").expanduser()), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        # Hidden files are offered only for a name that begins with a dot.
        if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
            yield os.path.join(folder, entry.name) + ("/" if entry.is_dir() else "")


def _leave_chat(commands: Commands, rest: str) -> None:
    raise EOFError


COMMANDS: Mapping[str, Command] = {
    "/help": Command(_print_help, "", "lists the commands"),
    "/model": Command(_change_model, "SPEC", "continues with another model", _known_models),
    "/agent": Command(_switch_agent, "NAME", "continues with another agent", _known_agents),
    "/system": Command(_change_instructions, "TEXT", "replaces the agent's instructions"),
    "/tools": Command(_list_tools, "", "lists the agent's tools"),
    "/attach": Command(_attach_file, "PATH or URL", "attaches a file to the next question"),
    "/multi": Command(_refuse_block, "", "begins an input of several lines, up to /end"),
    "/retry": Command(_retry_question, "", "drops the last answer and asks again"),
    "/edit": Command(_edit_question, "", "changes the last question and asks again"),
    "/undo": Command(_undo_exchange, "", "drops the last question and its answer"),
    "/history": Command(_print_history, "", "shows the conversation so far"),
    "/copy": Command(_copy_answer, "", "copies the last answer to the clipboard"),
    "/save": Command(_save_conversation, "FILE", "writes the conversation to a Markdown file"),
    "/sessions": Command(_list_sessions, "", "lists your conversations"),
    "/session": Command(_switch_session, "ID", "continues another conversation, by its number or id", _known_sessions),
    "/title": Command(_rename_session, "TEXT", "gives the conversation a title"),
    "/new": Command(_begin_session, "NAME", "begins a new conversation"),
    "/quit": Command(_leave_chat, "", "leaves"),
}
