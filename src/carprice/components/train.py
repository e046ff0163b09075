"""Train: features → a model folder, unless a feature knows the price."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from carprice.arrays import Each, Progress
from carprice.components.workspace import (
    Workspace,
    read_json,
    refuse_other_listings,
    require_output,
)
from carprice.files import check_writable
from carprice.listings.believed import MANY_PRICES
from carprice.listings.frames import data_digest_of, read_features, trust_of
from carprice.listings.market import Market
from carprice.model import PriceModel
from carprice.model.training import train_model
from carprice.settings import TrainSettings


def train(
    settings: TrainSettings, workspace: Workspace, progress: Progress, each: Each | None = None
) -> PriceModel:
    """Fit the model and write its folder.

    Parameters
    ----------
    each : a cluster's, to add up the ridge's rows and to fit trees there; None to do it here.

    Raises
    ------
    InputError
        If the features are not those of the last ingest's listings, or one explains the price as
        only a column computed from it can.
    """
    check_writable(workspace.model, is_folder=True)
    file = require_output(workspace.train_features, made_by="transform")
    refuse_other_listings(workspace, file, data_digest_of(file), "run `carprice transform` first")
    features, log_price = read_features(file)
    market = Market.from_json(read_json(workspace.market, made_by="ingest"))
    report = read_json(workspace.report, made_by="ingest")
    trust = trust_of(file)
    if trust is None and len(log_price) > MANY_PRICES and _all_believed(report):
        trust = np.ones(len(log_price))
    model = train_model(
        *(features, log_price, market, settings, report["columns"], progress),
        known=report.get("known", ()),
        trust=trust,
        each=each,
    )
    progress("writing the model folder")
    model.save(workspace.model)
    return model


def _all_believed(report: Mapping[str, Any]) -> bool:
    """Whether ingest judged the prices, and doubts none; reports of before do not tell."""
    junk = report.get("junk", {})
    return bool(junk.get("rule") == "discount" and junk.get("rows") == 0)
