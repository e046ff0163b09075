"""Train: features → a model folder, unless a feature knows the price."""

from collections.abc import Callable

from carprice.components.workspace import Workspace, read_json, require_output
from carprice.errors import InputError
from carprice.listings.frames import read_features
from carprice.listings.leaking_fields import is_below_floor, named, refuse_leaks, suspects
from carprice.listings.market import Market
from carprice.listings.noise import noise_floor
from carprice.model import PriceModel
from carprice.settings import TrainSettings


def train(
    settings: TrainSettings, workspace: Workspace, progress: Callable[[str], None]
) -> PriceModel:
    """Fit the model and write its folder.

    Raises
    ------
    InputError
        If a feature explains the price as only a column computed from it can.
    """
    features, log_price = read_features(
        require_output(workspace.train_features, made_by="transform")
    )
    market = Market.from_json(read_json(workspace.market, made_by="ingest"))
    columns = read_json(workspace.report, made_by="ingest")["columns"]
    progress("looking for columns that know the price")
    refuse_leaks(features, log_price, columns)
    model = PriceModel.fit(
        features,
        log_price,
        market,
        scales=settings.hedonic.model_dump(),
        booster=settings.booster.model_dump(),
        patience=settings.patience,
        folds=settings.folds,
        seed=settings.seed,
        progress=progress,
    )
    if is_below_floor(model.metrics["mdape"], noise_floor(features, log_price)):
        closest = named(suspects(features, log_price, explaining=0.0)[:3], columns)
        raise InputError(
            f"the cross-validated MdAPE of {model.metrics['mdape']:.2f} % is below half of what "
            f"like cars differ by: a column must know the price; closest to it: {closest} of it"
        )
    progress("writing the model folder")
    model.save(workspace.model)
    return model
