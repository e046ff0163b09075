"""Recalibrate: prices that were seen → the same model with a correction, as a new version.

The correction is a part of the model folder, under its digests: what is registered, judged by the
gate, tested and promoted is another model, never a file beside one.
"""

import datetime
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from carprice.arrays import Progress
from carprice.components.evaluate import evaluate
from carprice.components.register import Registration, register
from carprice.components.workspace import Workspace, refuse_other_listings
from carprice.model import PriceModel
from carprice.model.correction import Correction, write_corrected
from carprice.monitoring.recalibration import recalibrated
from carprice.settings import Settings

_NAME: Final = "recalibrated"
_REMEDY: Final = (
    "run `dvc pull` in the commit that made the model, or `carprice ingest` with its data: the "
    "gate measures on its test listings"
)


@dataclass(frozen=True)
class Recalibration:
    """What was learned, and what the registry made of the model that has it."""

    correction: Correction
    registration: Registration

    @property
    def told(self) -> str:
        """What the correction does, in one sentence."""
        made = self.correction
        scales = ", ".join(f"{factor:.2f}" for factor in made.scale)
        text = (
            f"{made.rows:,} prices from {made.since} to {made.until}: the level moves by "
            f"{100 * math.expm1(made.shift):+.1f} %, that of {len(made.by_make)} makes further; "
            f"ranges by the factors {scales}"
        )
        if made.undated:
            text += f"; without a date by {100 * math.expm1(made.shift + made.undated):+.1f} %"
        if found := made.held_out:
            text += (
                f". Of {found.rows:,} later cars the 90 % range covers {found.coverage[1]:.1f} % "
                f"(without {found.coverage[0]:.1f} %), prices are "
                f"{_percent(found.bias[1]):+.1f} % off (without {_percent(found.bias[0]):+.1f} %)"
            )
        return text


def recalibrate(
    folder: Path,
    observations: pd.DataFrame,
    settings: Settings,
    workspace: Workspace,
    now: datetime.datetime,
    progress: Progress,
) -> Recalibration:
    """Learn a correction of a model, write it into a copy of its folder, and register that.

    The copy is evaluated on the test listings of the model's own data, and judged by the gate as
    any candidate; if that accepts it, it is staged, else what is staged stays there. It replaces a
    correction that the model has.

    Parameters
    ----------
    folder : of the model, checked, such as :meth:`carprice.registry.versions.Registry.fetch`
        returns it.
    observations : as :func:`carprice.monitoring.observations.observe` returns them.

    Raises
    ------
    RefusedError
        If too few prices were seen, they have moved further than a correction may, or the registry
        cannot be reached.
    InputError
        If the workspace does not have the listings that the model is of.
    """
    model, own = PriceModel.load(folder), workspace.beside(_NAME)
    refuse_other_listings(workspace, folder, model.market.data_digest, _REMEDY)
    progress("learning from prices that were seen")
    correction = recalibrated(model, observations, settings.monitor)
    progress("writing the model folder")
    write_corrected(folder, own.model, correction)
    evaluate(own, progress)
    made = register(settings, own, now, progress, refused_empties_staging=False)
    return Recalibration(correction, made)


def _percent(of_log: float) -> float:
    """Return by how many per cent a price is off, of 100 ln(price / price observed)."""
    return 100 * math.expm1(of_log / 100)
