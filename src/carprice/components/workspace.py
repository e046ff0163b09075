"""Where the pipeline's files stand below its working folder."""

import json
from pathlib import Path
from typing import Any

from carprice.errors import InputError


class Workspace:
    """The pipeline's files in a folder: each stage writes its own and reads those before it.

    Attributes
    ----------
    root : the folder that all of them are in.
    snapshot : the raw source as ingest read it, byte for byte.
    train_listings, test_listings : clean listings to learn from, and to test on.
    market : currency, distance unit, valuation date and digest of the listings.
    report, data_card : what ingest read, rejected and repaired; the same for people.
    train_features : features and target of the training rows.
    model : the candidate's model folder.
    metrics, plots, picture : figures of the candidate, the tables behind the plots, all plots.
    backtest : errors by horizon, of ``carprice experiments backtest``; no stage writes it.
    registration : what the registry made of the candidate.
    model_tests : what the model tests leave: JUnit XML and the model card.
    monitoring, monitoring_page : what the last look at the model in use found, for machines and for
        people.
    model_cache : model folders fetched from the registry.
    """

    def __init__(self, root: Path) -> None:
        data, reports = root / "data", root / "reports"
        self.root = root
        self.snapshot = data / "snapshot"
        self.train_listings = data / "listings" / "train.parquet"
        self.test_listings = data / "listings" / "test.parquet"
        self.market = data / "listings" / "market.json"
        self.report = data / "report.json"
        self.data_card = data / "data_card.md"
        self.train_features = data / "features" / "train.parquet"
        self.model = root / "models" / "candidate"
        self.metrics = reports / "metrics.json"
        self.plots = reports / "plots"
        self.picture = reports / "evaluation.png"
        self.backtest = reports / "backtest.json"
        self.registration = reports / "registration.json"
        self.model_tests = reports / "model-tests"
        self.monitoring = reports / "monitoring.json"
        self.monitoring_page = reports / "monitoring.html"
        self.model_cache = root / ".carprice" / "models"

    def beside(self, name: str) -> "Workspace":
        """Return the same data, with a model, figures and registration in places of their own."""
        other, reports = Workspace(self.root), self.root / "reports" / name
        other.model = self.root / "models" / name
        other.metrics = reports / "metrics.json"
        other.plots = reports / "plots"
        other.picture = reports / "evaluation.png"
        other.registration = reports / "registration.json"
        return other


def read_json(path: Path, made_by: str) -> Any:
    """Read a JSON file of an earlier stage.

    Raises
    ------
    InputError
        If the file is missing or damaged; the message names the stage that writes it.
    """
    require_output(path, made_by)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path} is not readable JSON; run `carprice {made_by}` again") from None


def refuse_other_listings(workspace: Workspace, made: Path, digest: str, remedy: str) -> None:
    """Raise an InputError if something was made of other listings than ingest's last ones.

    Parameters
    ----------
    digest : of the listings that ``made`` is of; empty if unknown.
    """
    last = read_json(workspace.market, made_by="ingest")["data_digest"]
    if digest and digest != last:
        raise InputError(
            f"{made} is of other listings (data digest {digest[:12]}) than "
            f"{workspace.market.parent} ({last[:12]}), which ingest has written since; {remedy}"
        )


def require_output(path: Path, made_by: str) -> Path:
    """Return a path that an earlier stage must have written.

    Raises
    ------
    InputError
        If it is not there.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; run `carprice {made_by}` first")
    return path
