"""Commands about kept quotes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carprice.cli.app import (
    PARAMS,
    SERVE,
    WORKDIR,
    AsJson,
    Params,
    Workdir,
    app,
    open_registry,
    registry_uri,
)
from carprice.cli.terminal import say, step, table
from carprice.components.workspace import Workspace
from carprice.errors import RefusedError
from carprice.settings import load_settings

if TYPE_CHECKING:
    from carprice.components.replay import Outcome
    from carprice.registry.versions import Registry

_MOST_SHOWN = 20
_SHORT = 12


@app.command(rich_help_panel=SERVE)
def replay(
    quotes: Annotated[
        list[str],
        typer.Argument(
            metavar="QUOTE",
            help="Answers of POST /appraise, one after another: files, or - for standard input.",
        ),
    ],
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model", help="Model folder to take, again for another; default: cache, registry."
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            envvar="CARPRICE_MODEL_CACHE",
            help="Model folders fetched before; default: .carprice/models in the working folder.",
        ),
    ] = None,
    params: Params = PARAMS,
    workdir: Workdir = WORKDIR,
    as_json: AsJson = False,
) -> None:
    """Price kept quotes again, each with the model of its digest, and compare to the cent.

    A quote is an answer of POST /appraise, kept as it was sent; see docs/quotes.md.

    One whose id does not bear out what it says was changed, and is refused.

    The model comes from the cache, else from the registry: any version that has the digest.

    Exit 0: all prices are the same; 1: one differs or is refused; 2: a file or model is missing.
    """
    from carprice.components.replay import ModelFolders, read_quotes
    from carprice.components.replay import replay as replay_quotes

    workspace = Workspace(workdir)

    def registry() -> "Registry | None":
        from carprice.registry.database_file import file_of

        settings = load_settings(params)
        file = file_of(registry_uri(settings, workspace))
        if file is not None and not file.exists():
            return None  # MLflow would make a new one
        return open_registry(settings, workspace)

    with step("replay") as progress:
        progress("reading")
        kept = read_quotes(quotes)
        folders = ModelFolders(model or (), cache or workspace.model_cache, registry)
        outcome = replay_quotes(kept, folders, progress)
    if as_json:
        typer.echo(json.dumps(outcome.to_json(), indent=2, ensure_ascii=False))
    else:
        _show(outcome)
    if odd := outcome.odd:
        raise RefusedError(
            f"{len(odd):,} of {len(outcome.rows):,} quotes do not hold; the first: "
            f"{odd[0].place}: {odd[0].why}"
        )


def _show(outcome: "Outcome") -> None:
    from carprice.components.replay import Verdict

    rows = [
        (model[:_SHORT], f"{counts.total():,}", *(f"{counts[verdict]:,}" for verdict in Verdict))
        for model, counts in outcome.by_model.items()
    ]
    table("Quotes priced again", ("model", "quotes", *Verdict), rows)
    odd = outcome.odd
    if not odd:
        say(f"replay: {len(outcome.rows):,} of {len(outcome.rows):,} are the same to the cent")
        return
    shown = [(row.place, row.id[:_SHORT], row.verdict, row.why) for row in odd[:_MOST_SHOWN]]
    more = f", the first {_MOST_SHOWN}" if len(odd) > _MOST_SHOWN else ""
    table(f"Quotes that do not hold{more}", ("where", "id", "verdict", "why"), shown)
