"""Register: a model folder → a version in the registry, and ``staging`` if the gate accepts.

The one stage with an effect outside its files: it always runs, and the same folder registered
again makes no second version.
"""

import contextlib
import datetime
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.arrays import Progress
from carprice.components.workspace import (
    Workspace,
    read_json,
    refuse_other_listings,
    require_output,
)
from carprice.errors import CorruptModelError, InputError, RefusedError
from carprice.evaluation.ageing import Ageing
from carprice.evaluation.champion import learned_cars, score_pair
from carprice.evaluation.gate import (
    Candidate,
    Champion,
    Check,
    Decision,
    decide,
    failed_reasons,
    reasons_to_tag,
)
from carprice.files import write_json
from carprice.listings.cars import Digests
from carprice.model import PriceModel
from carprice.model_folder import file_digest, folder_digest
from carprice.registry.promotion import (
    Happening,
    champion_of,
    damage_of,
    event_tag,
    finish,
    record,
    why_withdrawn,
)
from carprice.registry.provenance import git_commit, git_tags, lock_tags
from carprice.registry.tracking import is_local, log_outputs, start_run, tracking_uri
from carprice.registry.versions import (
    FILES,
    PREVIOUS,
    PRODUCTION,
    STAGING,
    WITHDRAWN,
    Registry,
    Version,
)
from carprice.settings import GateSettings, Settings, flatten

_LEARNED: Final = "data/train_cars.npy"
_CHAMPION: Final = "gate_champion"
# Tags of a version whose registration is not finished; each says since when.
_BEING_JUDGED: Final = "being_judged"
_BEING_STAGED: Final = "being_staged"


@dataclass(frozen=True)
class Registration:
    """What the registry made of a candidate.

    Attributes
    ----------
    version : number of the registered version.
    is_new : whether this call made it.
    accepted : whether it may be in ``staging``: the gate accepts it, and it was not rolled back.
    reasons : one sentence for each check of the gate.
    checks : what the gate looked at, where it looked now.
    """

    version: int
    is_new: bool
    accepted: bool
    reasons: tuple[str, ...]
    checks: tuple[Check, ...] = ()


def register(
    settings: Settings,
    workspace: Workspace,
    now: datetime.datetime,
    progress: Progress,
    *,
    refused_empties_staging: bool = True,
) -> Registration:
    """Register the candidate unless its digest is there, and stage it if the gate accepts.

    A version that is there already is judged again where production or the thresholds are others
    than at the time.

    Parameters
    ----------
    refused_empties_staging : whether a refused candidate takes another one out of ``staging``.

    Raises
    ------
    InputError
        If figures, model and listings do not belong together.
    RefusedError
        If the registry cannot be reached.
    """
    progress("asking the registry")
    folder = require_output(workspace.model, made_by="train")
    metrics = read_json(workspace.metrics, made_by="evaluate")
    _refuse_others(workspace, metrics)
    uri = tracking_uri(workspace.root, settings.tracking)
    registry, gate = Registry(uri, settings.register_.name), settings.register_.gate
    digest = folder_digest(folder)
    finish(registry, progress)
    production = registry.at(PRODUCTION)
    known = _known(registry, digest, production)
    basis = {
        "gate_thresholds": gate.model_dump_json(),
        _CHAMPION: champion_of(production),
    }
    if gate.max_mape_of_age is not None and workspace.backtest.is_file():
        basis["gate_backtest"] = file_digest(workspace.backtest)
    is_champion = known and production and known.number == production.number
    if known and (is_champion or _is_judged(known, basis)):
        registration = _as_it_was(registry, known, now, refused_empties_staging)
        write_json(workspace.registration, asdict(registration))
        return registration
    progress("comparing with production")
    decision = _judge(workspace, metrics, registry, production, gate)
    begun = _begun(known, _BEING_JUDGED, now)
    what = Happening.ACCEPTED if decision.accepted else Happening.REFUSED
    tags = {
        "gate": "accepted" if decision.accepted else "refused",
        "gate_reasons": reasons_to_tag(decision.reasons),
        **event_tag(what, begun, failed_reasons(decision.reasons)),
        **basis,
    }
    if known:
        version = known
        # First that, so that a verdict of which only a part is written counts for nothing.
        unfinished = {_BEING_JUDGED: begun.isoformat(), _CHAMPION: "being judged"}
        registry.tag(version.number, unfinished)
        registry.tag(version.number, tags)
    else:
        progress("logging the run and the model")
        tags |= {"digest": digest, _BEING_JUDGED: begun.isoformat()}
        tags |= event_tag(Happening.REGISTERED, begun)
        # A digest that was withdrawn stays so under its new number.
        if withdrawn := [one.withdrawn for one in registry.with_digest(digest) if one.withdrawn]:
            tags[WITHDRAWN] = withdrawn[0]
        version = _log(settings, workspace, registry, metrics, tags)
        first = _known(registry, digest, production)
        if first and first.number != version.number:
            progress(f"another process registered the same as version {first.number}")
            return register(
                settings,
                workspace,
                now,
                progress,
                refused_empties_staging=refused_empties_staging,
            )
    accepted = _stage(registry, version, decision.accepted, now, refused_empties_staging)
    registration = Registration(
        version.number, known is None, accepted, decision.reasons, decision.checks
    )
    write_json(workspace.registration, asdict(registration))
    if version.run:
        registry.log_files(version, {workspace.registration: "gate"})
    registry.untag(version.number, _BEING_JUDGED)
    return registration


def _refuse_others(workspace: Workspace, metrics: Mapping[str, Any]) -> None:
    model = PriceModel.load(workspace.model)
    remedy = "run `carprice transform`, `carprice train` and `carprice evaluate` first"
    refuse_other_listings(workspace, workspace.model, model.market.data_digest, remedy)
    if not metrics["cross_validated"].items() <= model.metrics.items():
        raise InputError(
            f"{workspace.metrics} has the figures of another model than {workspace.model}; run "
            "`carprice evaluate` first"
        )


def _known(registry: Registry, digest: str, production: Version | None) -> Version | None:
    """Return the first of a digest's versions that is intact; the one in production before others.

    Two processes that register the same at once make a version each. The later one gives way: it is
    deleted, unfinished as it is, by whichever of the two sees it.
    """
    intact = [one for one in registry.with_digest(digest) if _is_intact(registry, one)]
    if not intact:
        return None
    there = production.number if production else None
    first = min(intact, key=lambda one: (one.number != there, one.number))
    for twin in intact:
        if twin.number != first.number and _BEING_JUDGED in twin.tags and not twin.aliases:
            with contextlib.suppress(RefusedError):  # the other one was quicker
                registry.delete(twin.number)
    return first


def _is_intact(registry: Registry, version: Version) -> bool:
    """Whether the registry still has the bytes of a version.

    Not where they were changed, nor for one of an older carprice that did not note the digests of
    all files.
    """
    if FILES not in version.tags:
        return False
    try:
        if is_local(registry.uri) and not registry.has_model(version):
            return False
    except CorruptModelError:
        return False
    return version.tags.get("tests") != "failed" or not damage_of(registry, version)


def _is_judged(version: Version, basis: Mapping[str, str]) -> bool:
    """Whether a version's verdict is complete, and rests on this production and thresholds."""
    return _BEING_JUDGED not in version.tags and basis.items() <= version.tags.items()


def _begun(version: Version | None, tag: str, now: datetime.datetime) -> datetime.datetime:
    """Return when something began that was broken off, so that the history has it once, or now."""
    if version is None or tag not in version.tags:
        return now
    with contextlib.suppress(ValueError, OverflowError):
        return datetime.datetime.fromisoformat(version.tags[tag]).astimezone(datetime.UTC)
    return now


def _as_it_was(
    registry: Registry, version: Version, now: datetime.datetime, empties: bool
) -> Registration:
    withdrawn = why_withdrawn(registry.versions(), version)
    is_good = version.accepted and not withdrawn
    is_again = is_good and (_BEING_STAGED in version.tags or STAGING not in version.aliases)
    begun, why = _begun(version, _BEING_STAGED, now), "the pipeline made this version again"
    if is_again:
        registry.tag(version.number, {_BEING_STAGED: begun.isoformat()})
    _stage(registry, version, version.accepted, now, empties)
    if is_again:
        record(registry, version.number, Happening.STAGED, begun, why)
        registry.untag(version.number, _BEING_STAGED)
    if _BEING_JUDGED in version.tags:
        registry.untag(version.number, _BEING_JUDGED)
    reasons = version.gate_reasons
    if withdrawn:
        reasons = (f"note: version {version.number} was {withdrawn}", *reasons)
    return Registration(version.number, False, is_good, reasons)


def _stage(
    registry: Registry, version: Version, is_good: bool, now: datetime.datetime, empties: bool
) -> bool:
    """Point ``staging`` at the pipeline's last candidate, or at nothing where that may not go on.

    An older candidate left there would be tested and promoted in the place of the refused one,
    unless ``empties`` is false: a refused recalibration takes nothing from a retrained model.
    """
    staged = registry.at(STAGING)
    if is_good and not why_withdrawn(registry.versions(), version):
        if staged is None or staged.number != version.number:
            registry.point(STAGING, version.number, now)
        return True
    if staged is not None and (empties or staged.number == version.number):
        registry.clear(STAGING)
    return False


def _judge(
    workspace: Workspace,
    metrics: Mapping[str, Any],
    registry: Registry,
    production: Version | None,
    gate: GateSettings,
) -> Decision:
    data_digest = read_json(workspace.market, made_by="ingest")["data_digest"]
    test = pd.read_parquet(require_output(workspace.test_listings, made_by="ingest"))
    own = PriceModel.load(workspace.model)
    train = pd.read_parquet(require_output(workspace.train_listings, made_by="ingest"))
    backtest = workspace.backtest if gate.max_mape_of_age is not None else None
    ageing = Ageing.of(own, pd.concat([train, test]), backtest)
    candidate = Candidate.of(metrics, workspace.model, data_digest, ageing)
    champion, notes = None, []
    # Where the bytes of production are damaged, the version before stands in.
    for version in (production, registry.at(PREVIOUS)) if production else ():
        if version is None:
            continue
        try:
            model = PriceModel.load(registry.fetch(version, workspace.model_cache))
        except CorruptModelError as error:
            notes.append(f"version {version.number} cannot be compared with: {error}")
            continue
        learned = _learned(registry, version, data_digest)
        pair = score_pair(own, model, test, learned)
        champion = Champion(version.number, version.tags.get("data_digest", ""), pair)
        break
    decision = decide(candidate, champion, gate)
    if champion is None and notes:
        return replace(decision, notes=tuple(notes))
    return replace(decision, notes=(*notes, *decision.notes))


def _learned(registry: Registry, production: Version, data_digest: str) -> Digests | None:
    """Return which cars production learned from: none if its data is ours, None if unknown."""
    if production.tags.get("data_digest") == data_digest:
        return np.array([], dtype=np.uint64)
    with tempfile.TemporaryDirectory(prefix="carprice-") as scratch:
        path = registry.read_file(production, _LEARNED, Path(scratch))
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                found = np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, OSError, EOFError, MemoryError, OverflowError):
            return None
    return found if found.dtype == np.uint64 and found.ndim == 1 else None


def _log(
    settings: Settings,
    workspace: Workspace,
    registry: Registry,
    metrics: Mapping[str, Any],
    verdict: Mapping[str, str],
) -> Version:
    report = read_json(workspace.report, made_by="ingest")
    origin = {
        "data_digest": read_json(workspace.market, made_by="ingest")["data_digest"],
        "raw_digest": report.get("raw_digest", ""),
        "git_commit": git_commit(workspace.root),
    }
    told = {name: f"{metrics[name]:.4g}" for name in ("mape", "mdape", "within_10", "coverage")}
    params = flatten(settings.model_dump(mode="json", by_alias=True, exclude={"tracking"}))
    params.pop("ingest.source")
    figures = {
        re.sub(r"[^\w./ -]", "_", name.replace("+", " and more"), flags=re.ASCII): value
        for name, value in flatten(metrics).items()
        if value is not None and not name.startswith("by.make.")  # hundreds; metrics.json has them
    }
    with (
        tempfile.TemporaryDirectory(prefix="carprice-") as scratch,
        start_run(
            registry.uri,
            settings.tracking.experiment,
            workspace.root,
            params={"ingest.source": report["source"], **params},
            tags={**origin, **git_tags(workspace.root), **lock_tags(workspace.root)},
        ),
    ):
        learned = Path(scratch) / Path(_LEARNED).name
        train = pd.read_parquet(require_output(workspace.train_listings, made_by="ingest"))
        np.save(learned, learned_cars(train))
        root = workspace.root
        optional = (root / "dvc.lock", root / "params.yaml", workspace.backtest)
        folder_of: dict[Path, str | None] = {
            workspace.picture: None,
            workspace.metrics: None,
            workspace.plots: "plots",
            workspace.report: "data",
            workspace.data_card: "data",
            learned: "data",
            **{path: None for path in optional if path.is_file()},
        }
        log_outputs(registry.uri, folder_of)
        return registry.log_version(workspace.model, {**origin, **verdict, **told}, figures)
