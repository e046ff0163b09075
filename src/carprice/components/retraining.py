"""Retraining: where the verdict asks for it, a new model on the newest data becomes challenger.

Never production: that is decided by what the challenger shows beside the champion.
"""

import datetime
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from carprice.components.folder_lock import only_command
from carprice.components.pipeline import Step
from carprice.components.workspace import Workspace, read_json
from carprice.errors import CarpriceError, RefusedError
from carprice.evaluation.gate import failed_reasons
from carprice.monitoring.checks import Level, Monitored
from carprice.registry.challenge import start
from carprice.registry.promotion import Happening, finish, history, record, why_withdrawn
from carprice.registry.versions import CHALLENGER, PRODUCTION, Registry, Version
from carprice.settings import RegisterSettings, RetrainSettings, Settings

ModelTests = Callable[[Registry, Version], Sequence[str]]
"""Runs and records the tests of a version, and returns which failed, in words."""
_YEAR: Final = datetime.timedelta(days=365)


@dataclass(frozen=True)
class Acted:
    """What became of a verdict.

    Attributes
    ----------
    what : the last thing that was recorded; None: the verdict asked for nothing.
    version : the new version, where there is one.
    why : in words.
    """

    what: Happening | None
    version: int | None
    why: str

    @property
    def has_challenger(self) -> bool:
        """Whether a new model is on trial."""
        return self.what is Happening.CHALLENGING


def act(
    monitored: Monitored,
    settings: Settings,
    registry: Registry,
    workspace: Workspace,
    params: Path,
    clock: Callable[[], datetime.datetime],
    test_model: ModelTests,
    step: Step,
) -> Acted:
    """Do what a verdict asks for; all that is decided is recorded, see ``carprice history``.

    The verdict RETRAIN begins a retraining, unless the last one is too recent, the year has had its
    share, or a challenger is on trial. The pipeline runs on what the source holds now, by DVC in a
    DVC project whose params file it is, else in this process. The version that the gate accepts and
    that passes the model tests gets the alias ``challenger``. The working folder is locked
    meanwhile: whoever calls does not hold its lock.

    Parameters
    ----------
    params : the params file that the settings are of.
    clock : returns what time it is, in UTC.
    test_model : see :data:`ModelTests`; :func:`carprice.model_tests.run.run_model_tests` does it.
    step : shows each stage that runs in this process.

    Raises
    ------
    RefusedError
        If nothing is in production, the registry does not answer, or another command works in the
        folder. Or if the pipeline fails, as its stages' other errors do; that is recorded first.
    """
    if monitored.level is not Level.RETRAIN:
        return Acted(None, None, f"nothing to do: {monitored.cause.value}")
    finish(registry)
    champion = registry.at(PRODUCTION)
    if champion is None:
        raise RefusedError(
            f"{registry.name} has no model in production that a new one could challenge; run "
            "`carprice up`, or the pipeline, `carprice test-model` and `carprice promote`"
        )
    now = clock()
    if objection := objection_to_retraining(registry, settings.monitor.retrain, now):
        return _recorded(registry, champion, Happening.NOT_RETRAINED, now, objection)
    with only_command(workspace.root, "carprice monitor --act", now):
        why = "; ".join([monitored.cause.value, *monitored.why])
        # First, so that it counts however it ends.
        record(registry, champion.number, Happening.RETRAINING, now, why)
        try:
            number = _train_again(settings, workspace, params, clock, step)
        except CarpriceError as error:
            told = f"the pipeline failed: {error}"
            record(registry, champion.number, Happening.NOT_RETRAINED, clock(), told)
            raise
        version = registry.numbered(number)
        return _challenge(registry, champion, version, clock, test_model, settings.register_)


def objection_to_retraining(
    registry: Registry, limits: RetrainSettings, now: datetime.datetime
) -> str:
    """Return what speaks against a retraining now, in words; empty if nothing does."""
    challenger = registry.at(CHALLENGER)
    if challenger is not None:
        return (
            f"version {challenger.number} is the challenger and not decided on; see `carprice "
            "challenge status`"
        )
    begun = [one.time for one in history(registry) if one.what is Happening.RETRAINING]
    last = max(begun, default=None)
    if last and now < (free := last + datetime.timedelta(days=limits.cool_down_days)):
        return (
            f"the last retraining began on {last:%Y-%m-%d}, and monitor.retrain.cool_down_days is "
            f"{limits.cool_down_days}: the next may be on {free:%Y-%m-%d}"
        )
    of_the_year = sum(time > now - _YEAR for time in begun)
    if of_the_year >= limits.most_a_year:
        return (
            f"{of_the_year} retrainings began in the last 365 days, and "
            f"monitor.retrain.most_a_year is {limits.most_a_year}"
        )
    return ""


def _train_again(
    settings: Settings,
    workspace: Workspace,
    params: Path,
    clock: Callable[[], datetime.datetime],
    step: Step,
) -> int:
    """Run the pipeline on the newest data; return the number of the version that it registered."""
    if _is_dvc_project(workspace.root, params):
        # What the source holds may have changed where DVC does not look.
        _dvc(workspace.root, "repro", "--force", "--single-item", "ingest")
        _dvc(workspace.root, "repro")
        return int(read_json(workspace.registration, made_by="register")["version"])
    from carprice.components.pipeline import run

    return run(settings, workspace, clock(), step).registration.version


def _is_dvc_project(root: Path, params: Path) -> bool:
    here = root.resolve()
    is_in_git = any((folder / ".git").exists() for folder in (here, *here.parents))
    is_its_own = params.resolve() == here / "params.yaml"
    return is_in_git and is_its_own and (here / "dvc.yaml").is_file()


def _dvc(root: Path, *arguments: str) -> None:
    beside_python = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([beside_python, os.environ["PATH"]])}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=root, stdout=sys.stderr, env=environment, check=False)
    if done.returncode:
        raise RefusedError(
            f"`dvc {' '.join(arguments)}` ended with exit code {done.returncode}; its lines above "
            "say why"
        )


def _challenge(
    registry: Registry,
    champion: Version,
    version: Version,
    clock: Callable[[], datetime.datetime],
    test_model: ModelTests,
    settings: RegisterSettings,
) -> Acted:
    """Let a version be the challenger if nothing speaks against it."""
    if objection := _objection(registry, champion, version):
        return _recorded(registry, version, Happening.NOT_CHALLENGING, clock(), objection)
    if failures := test_model(registry, version):
        told = f"it does not pass the model tests: {'; '.join(failures)}"
        return _recorded(registry, version, Happening.NOT_CHALLENGING, clock(), told)
    told = f"retrained; version {champion.number} stays in production"
    try:
        start(registry, clock(), told, version.number, settings)
    except RefusedError as error:
        return _recorded(registry, version, Happening.NOT_CHALLENGING, clock(), str(error))
    return Acted(Happening.CHALLENGING, version.number, told)


def _objection(registry: Registry, champion: Version, version: Version) -> str:
    if version.number == champion.number or version.digest == champion.digest:
        return "the newest data make the model that is in production; look for newer data"
    if withdrawn := why_withdrawn(registry.versions(), version):
        return f"it was {withdrawn}"
    if not version.accepted:
        return f"the gate did not accept it ({failed_reasons(version.gate_reasons)})"
    return ""


def _recorded(
    registry: Registry, version: Version, what: Happening, now: datetime.datetime, why: str
) -> Acted:
    record(registry, version.number, what, now, why)
    return Acted(what, version.number, why)
