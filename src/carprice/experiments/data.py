"""The training listings of a params file, as the pipeline would learn from them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from carprice.arrays import Floats, Progress
from carprice.components.ingest import ingest
from carprice.components.transform import transform
from carprice.components.workspace import Workspace, read_json
from carprice.listings.believed import believed_rows
from carprice.listings.features import Features
from carprice.listings.frames import read_features, trust_of, write_features
from carprice.listings.leaks import refuse_leaks
from carprice.listings.market import Market
from carprice.settings import Settings


@dataclass(frozen=True)
class Data:
    """Cleaned training listings; the pipeline's test rows are not among them, unless asked for.

    Attributes
    ----------
    source : where the listings are from, without a login.
    features, log_price : parsed listings, n rows, and their ln(price); ``file`` holds them too.
    market : what the numbers mean; its digest is that of the pipeline on the same settings.
    raw_digest : names the raw data.
    junk : number of rows whose price is taken for no car's; all models may learn from them, and no
        error is of them.
    """

    source: str
    features: Features
    log_price: Floats
    market: Market
    raw_digest: str
    file: Path
    junk: int = 0
    has_all_rows: bool = False

    @property
    def short_source(self) -> str:
        """The last part of the source's path."""
        return self.source.rstrip("/").rpartition("/")[2] or self.source

    @property
    def makes(self) -> list[str]:
        """The makes that there are."""
        return sorted(set(self.features.texts["make"]))


def read_data(
    settings: Settings,
    folder: Path,
    progress: Progress,
    most_rows: int | None = None,
    passed_over: Path | None = None,
    *,
    all_rows: bool = False,
) -> Data:
    """Ingest and transform into a folder of the experiment's own, and read the training rows.

    Parameters
    ----------
    most_rows : with more rows than that, so many are chosen at random, by ``train.seed``.
    passed_over : the snapshot of the pipeline, which a pattern from outside does not match.
    all_rows : whether the test rows follow them.

    Raises
    ------
    InputError
        If the source cannot be read, leaves too few listings, or a column knows the price.
    """
    workspace = Workspace(folder)
    report = ingest(settings.ingest, workspace, progress, passed_over)
    progress("features")
    if all_rows:
        parts = (workspace.train_listings, workspace.test_listings)
        whole = pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
        whole.to_parquet(workspace.train_listings, index=False)
    transform(workspace)
    features, log_price = read_features(workspace.train_features)
    progress("looking for columns that know the price")
    trust = trust_of(workspace.train_features)
    trust = np.ones(len(log_price)) if trust is None else trust
    rows = believed_rows(trust)
    refuse_leaks(features.take(rows), log_price[rows], report["columns"], report["known"])
    if most_rows is not None and len(log_price) > most_rows:
        chosen = np.random.default_rng(settings.train.seed).permutation(len(log_price))[:most_rows]
        chosen.sort()
        features, log_price, trust = features.take(chosen), log_price[chosen], trust[chosen]
        write_features(workspace.train_features, features, log_price, trust=trust)
    return Data(
        source=report["source"],
        features=features,
        log_price=log_price,
        market=Market.from_json(read_json(workspace.market, made_by="ingest")),
        raw_digest=report["raw_digest"],
        file=workspace.train_features,
        junk=len(trust) - len(believed_rows(trust)),
        has_all_rows=all_rows,
    )
