from pathlib import Path
from typing import Any

import pytest

from carprice.model import PriceModel


@pytest.fixture(scope="session")
def good(finished: Any) -> Path:
    """The folder of a small model, which nobody may change."""
    folder: Path = finished[0].model
    return folder


@pytest.fixture(scope="session")
def model(good: Path) -> PriceModel:
    return PriceModel.load(good)
