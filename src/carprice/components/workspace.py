"""Where the pipeline's files stand below its working folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carprice.errors import InputError


@dataclass(frozen=True)
class Workspace:
    """The pipeline's files; each stage writes its own and reads those of the stages before."""

    root: Path

    @property
    def snapshot(self) -> Path:
        """The raw source as ingest read it, byte for byte."""
        return self.root / "data" / "snapshot"

    @property
    def train_listings(self) -> Path:
        """Clean listings to learn from."""
        return self.root / "data" / "listings" / "train.parquet"

    @property
    def test_listings(self) -> Path:
        """Clean listings to test on."""
        return self.root / "data" / "listings" / "test.parquet"

    @property
    def market(self) -> Path:
        """What the numbers mean."""
        return self.root / "data" / "listings" / "market.json"

    @property
    def report(self) -> Path:
        """What ingest read, rejected and repaired."""
        return self.root / "data" / "report.json"

    @property
    def data_card(self) -> Path:
        """The report for people."""
        return self.root / "data" / "data_card.md"

    @property
    def train_features(self) -> Path:
        """Features and target of the training rows."""
        return self.root / "data" / "features" / "train.parquet"

    @property
    def model(self) -> Path:
        """The candidate's model folder."""
        return self.root / "models" / "candidate"

    @property
    def metrics(self) -> Path:
        """Figures of the candidate."""
        return self.root / "reports" / "metrics.json"

    @property
    def plots(self) -> Path:
        """Tables behind the plots."""
        return self.root / "reports" / "plots"

    @property
    def picture(self) -> Path:
        """All plots in one picture."""
        return self.root / "reports" / "evaluation.png"

    @property
    def registration(self) -> Path:
        """What the registry made of the candidate."""
        return self.root / "reports" / "registration.json"

    @property
    def model_tests(self) -> Path:
        """What the model tests leave: JUnit XML and the model card."""
        return self.root / "reports" / "model-tests"

    @property
    def model_cache(self) -> Path:
        """Model folders fetched from the registry."""
        return self.root / ".carprice" / "models"


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
