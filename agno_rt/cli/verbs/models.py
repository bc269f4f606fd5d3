"""`agno-rt models`: lists the models of each plugin, and what each lacks; `check` asks one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agno_rt.cli.options import config_option, debug_option, json_option

if TYPE_CHECKING:
    from agno_rt.cli.list_retrieval import Kind

__all__ = ["command"]


@click.group("models", invoke_without_command=True)
@config_option
@json_option
@debug_option
@click.pass_context
def command(ctx: click.Context, config: str | None, as_json: bool) -> None:
    """List the models, embedders and rerankers that plugins provide, and what each lacks.

    Many plugins can reach more models than are listed: their entries are examples, in which MODEL stands for a name and
    PATH for a file. No model is loaded. Only a server of models on this machine is asked, and only for its list. Prices
    are US dollars for a million tokens of input and of output. `agno-rt models check MODEL` asks a model.
    """
    if ctx.invoked_subcommand is not None:
        return
    from agno_rt.cli.list_models import list_models, print_models
    from agno_rt.cli.list_retrieval import list_parts, print_parts
    from agno_rt.cli.report import show_error
    from agno_rt.cli.tables import print_json_lines
    from agno_rt.cli.target import configuration
    from agno_rt.plugins import PluginHost

    read = configuration(config)
    host = PluginHost(block=read.runtime.block)
    models, parts = list_models(read, host), list_parts(read, host)
    if as_json:
        print_json_lines([*parts, *models])
    else:
        print_models(models)
        print_parts(parts)
    for error in host.failures.values():
        show_error(error.message, error.hint)


@command.command("check")
@click.argument("model")
@click.option(
    "--kind", type=click.Choice(["model", "embedder", "reranker"]), help="The kind, if the name leaves doubt."
)
@config_option
@json_option
@debug_option
def check(model: str, kind: Kind | None, config: str | None, as_json: bool) -> int:
    """Ask a model for one word, and say what is wrong.

    MODEL is a spec, such as openai:gpt-5. An embedder or a reranker is asked about two short texts. The answer may cost
    a few tokens. The exit code is 1 if there is no answer.
    """
    from agno_rt.cli.check_model import check_model, print_answer
    from agno_rt.cli.list_retrieval import check_part, find_kind, print_check
    from agno_rt.cli.tables import print_json_lines
    from agno_rt.cli.target import configuration
    from agno_rt.plugins import PluginHost

    read = configuration(config)
    found = kind or find_kind(read, PluginHost(block=read.runtime.block), model)
    if found == "model":
        checked = check_model(read, model)
        print_json_lines([checked]) if as_json else print_answer(checked)
        return 0 if checked.error is None else 1
    part = check_part(read, model, found)
    print_json_lines([part]) if as_json else print_check(part)
    return 0 if part.error is None else 1
