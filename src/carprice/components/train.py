"""Train: features → a model folder."""

from collections.abc import Callable

from carprice.frames import read_features
from carprice.market import Market
from carprice.model import PriceModel
from carprice.settings import TrainSettings
from carprice.workspace import Workspace, need, read_json


def train(
    settings: TrainSettings, workspace: Workspace, progress: Callable[[str], None]
) -> PriceModel:
    """Fit the model and write its folder."""
    features, log_price = read_features(need(workspace.train_features, made_by="transform"))
    market = Market.from_json(read_json(workspace.market, made_by="ingest"))
    model = PriceModel.fit(
        features,
        log_price,
        market,
        booster=settings.booster.model_dump(),
        folds=settings.folds,
        shrinkage=settings.shrinkage,
        seed=settings.seed,
        progress=progress,
    )
    progress("writing the model folder")
    model.save(workspace.model)
    return model
