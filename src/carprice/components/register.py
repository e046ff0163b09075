"""Register: a model folder → a version in the registry, and ``staging`` if the gate accepts.

The one stage with an effect outside its files: it always runs, and the same folder registered
again makes no second version.
"""

import datetime
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from carprice.components.evaluate import error_figures
from carprice.errors import CorruptModelError
from carprice.frames import as_columns
from carprice.gate import Decision, decide
from carprice.model import PriceModel
from carprice.model_folder import folder_digest
from carprice.registry import PRODUCTION, STAGING, Registry, Version
from carprice.schema import PRICE
from carprice.settings import Settings
from carprice.tracking import flatten, log_results, start_run, tracking_uri
from carprice.workspace import Workspace, need, read_json, write_json

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Registration:
    """What the registry made of a candidate.

    Attributes
    ----------
    version : number of the registered version.
    is_new : whether this call made it.
    accepted : whether the gate accepts it as ``staging``.
    reasons : one sentence for each check of the gate.
    """

    version: int
    is_new: bool
    accepted: bool
    reasons: tuple[str, ...]


def register(
    settings: Settings, workspace: Workspace, now: datetime.datetime, progress: Progress
) -> Registration:
    """Register the candidate unless its digest is there, and stage it if the gate accepts.

    Raises
    ------
    RefusedError
        If the registry cannot be reached.
    """
    progress("asking the registry")
    folder = need(workspace.model, made_by="train")
    metrics = read_json(workspace.metrics, made_by="evaluate")
    uri = tracking_uri(workspace.root, settings.tracking.uri)
    registry = Registry(uri, settings.register_.name)
    version = registry.find(folder_digest(folder))
    if version is not None:
        registration = _known(registry, version, now)
    else:
        progress("comparing with production")
        champion, note = _champion_figures(registry, workspace)
        decision = decide(metrics, champion, metrics["naive"], settings.register_.gate)
        decision = Decision(decision.accepted, (*decision.reasons, *note))
        progress("logging the run and the model")
        version = _log(settings, workspace, registry, metrics, decision)
        if decision.accepted:
            registry.point(STAGING, version.number, now, "accepted by the gate")
        registration = Registration(version.number, True, decision.accepted, decision.reasons)
    write_json(workspace.registration, vars(registration))
    return registration


def _known(registry: Registry, version: Version, now: datetime.datetime) -> Registration:
    if version.accepted and not {STAGING, PRODUCTION} & {*version.aliases}:
        registry.point(STAGING, version.number, now, "the pipeline made this version again")
    reasons = tuple(version.tags.get("gate_reasons", "").split("; "))
    return Registration(version.number, False, version.accepted, reasons)


def _champion_figures(
    registry: Registry, workspace: Workspace
) -> tuple[Mapping[str, float] | None, tuple[str, ...]]:
    """Return the production model's figures on this candidate's test rows."""
    champion = registry.at(PRODUCTION)
    if champion is None:
        return None, ()
    try:
        model = PriceModel.load(registry.fetch(champion, workspace.model_cache))
    except CorruptModelError as error:
        return None, (f"note: production was not compared: {error}",)
    test = pd.read_parquet(need(workspace.test_listings, made_by="ingest"))
    actual = test[PRICE].to_numpy(dtype=np.float64)
    return error_figures(actual, model.predict(as_columns(test))), ()


def _log(
    settings: Settings,
    workspace: Workspace,
    registry: Registry,
    metrics: Mapping[str, Any],
    decision: Decision,
) -> Version:
    market = read_json(workspace.market, made_by="ingest")
    commit = git_commit(workspace.root)
    tags = {
        "digest": folder_digest(workspace.model),
        "data_digest": market["data_digest"],
        "git_commit": commit,
        "gate": "accepted" if decision.accepted else "refused",
        "gate_reasons": "; ".join(decision.reasons),
        **{name: f"{metrics[name]:.4g}" for name in ("mape", "mdape", "within_10", "coverage")},
    }
    params = flatten(settings.model_dump(mode="json", by_alias=True, exclude={"tracking"}))
    params.pop("ingest.source")
    report = read_json(workspace.report, made_by="ingest")
    figures = {
        re.sub(r"[^\w./ -]", "_", name.replace("+", " and more"), flags=re.ASCII): value
        for name, value in flatten(metrics).items()
        if value is not None
    }
    with start_run(
        registry.uri,
        settings.tracking.experiment,
        workspace.root,
        params={"ingest.source": report["source"], **params},
        tags={"data_digest": market["data_digest"], "git_commit": commit},
    ):
        optional = (workspace.root / "dvc.lock", workspace.root / "params.yaml")
        files = {
            workspace.picture: None,
            workspace.metrics: None,
            workspace.plots: "plots",
            workspace.report: "data",
            workspace.data_card: "data",
            **{path: None for path in optional if path.is_file()},
        }
        log_results(registry.uri, figures, files)
        return registry.log_version(workspace.model, tags)


def git_commit(folder: Path) -> str:
    """Return the commit that the folder's repository stands at; empty outside of one."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""
