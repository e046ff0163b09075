"""The command line's frame: the application, the options that commands share, the registry."""

import datetime
import gc
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from carprice.components.workspace import Workspace
from carprice.settings import Settings

if TYPE_CHECKING:
    from carprice.arrays import Progress
    from carprice.model import PriceModel
    from carprice.registry.versions import Registry

app = typer.Typer(
    help=(
        "Used-car valuation: learn prices from listings, keep the models in a registry, serve "
        "them.\n\nStart with `carprice up`. Exit codes: 0 done, 1 refused or failed, 2 bad input "
        "or configuration; of `carprice monitor` also 3 look at it, 4 retrain."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
SERVE: Final = "Serve and score"
PIPELINE: Final = "Pipeline"
REGISTRY: Final = "Registry"
IN_USE: Final = "The model in use"

Params = Annotated[
    Path, typer.Option("--params", "-p", help="Params file; see examples/ and params.yaml.")
]
Workdir = Annotated[
    Path, typer.Option("--workdir", "-w", help="Folder that data, models and reports go to.")
]
OnCluster = Annotated[
    str | None,
    typer.Option(
        "--cluster", help="local, dask or a scheduler's address, instead of compute.cluster."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
PARAMS: Final = Path("params.yaml")
WORKDIR: Final = Path()


def now() -> datetime.datetime:
    """Return the time that records carry."""
    return datetime.datetime.now(datetime.UTC)


def working(workspace: Workspace, command: str) -> AbstractContextManager[None]:
    """Hold the lock of the working folder: what a command holds that writes stages' files."""
    from carprice.components.folder_lock import only_command

    return only_command(workspace.root, f"carprice {command}", now())


def registry_uri(settings: Settings, workspace: Workspace) -> str:
    """Return the address of the registry."""
    from carprice.registry.tracking import tracking_uri

    return tracking_uri(workspace.root, settings.tracking)


def open_registry(settings: Settings, workspace: Workspace) -> "Registry":
    """Return the registry that settings and the environment name."""
    from carprice.registry.versions import Registry

    return Registry(registry_uri(settings, workspace), settings.register_.name)


def load_model(
    folder: Path | None, settings: Settings, workspace: Workspace, progress: "Progress"
) -> "PriceModel":
    """Return the model of a folder, or the production model, to price many listings."""
    from carprice.model import PriceModel
    from carprice.registry.versions import production_version

    if folder is None:
        progress("fetching the production model")
        registry = open_registry(settings, workspace)
        folder = registry.fetch(production_version(registry), workspace.model_cache)
    model = PriceModel.load(folder)
    # The listings make garbage; to go through all that was there before again and again would take
    # a tenth of the time.
    gc.freeze()
    return model


def log_in(settings: Settings, workspace: Workspace) -> None:
    """Find out now, and not after the training, that the registry cannot be used.

    That is no login for DagsHub, or a database of this machine that cannot be read.
    """
    from carprice.registry.dagshub import check_login
    from carprice.registry.local_database import refuse_unusable

    uri = registry_uri(settings, workspace)
    check_login(uri)
    refuse_unusable(uri)
