"""The five stages in a row, without DVC, in any folder."""

import datetime
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from carprice.arrays import Progress, quiet
from carprice.components.cluster import opened
from carprice.components.evaluate import evaluate
from carprice.components.ingest import ingest
from carprice.components.register import Registration, register
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.files import check_writable
from carprice.settings import Settings

Step = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class PipelineResult:
    """What a run came to: the ingest report, the figures and what the registry made of it."""

    report: dict[str, Any]
    figures: dict[str, Any]
    registration: Registration


def run(
    settings: Settings,
    workspace: Workspace,
    now: datetime.datetime,
    step: Step = lambda _: nullcontext(quiet),
) -> PipelineResult:
    """Run ingest, transform, train, evaluate and register; each shows itself through ``step``."""
    check_writable(workspace.metrics, workspace.registration, workspace.report)
    check_writable(workspace.model, workspace.snapshot, workspace.plots, is_folder=True)
    with opened(settings.compute) as cluster:
        with step("ingest") as progress:
            report = ingest(settings.ingest, workspace, progress, each=cluster.each)
        with step("transform"):
            transform(workspace)
        with step("train") as progress:
            train(settings.train, workspace, progress, cluster.each)
        with step("evaluate") as progress:
            figures = evaluate(workspace, progress, cluster.predictor)
    with step("register") as progress:
        registration = register(settings, workspace, now, progress)
    return PipelineResult(report, figures, registration)
