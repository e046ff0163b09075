"""Files whose cars are spelled, repeated or flagged as people have them."""

import datetime
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from odd_files import CARS, HEADER, MODELS, OddFile, changed, check, read, text, workbook

from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.listings.frames import read_features
from carprice.settings import IngestSettings

DAY = datetime.datetime(2024, 3, 9)
FLAGS = (*HEADER, "ABS", "Klima")
BY_FLAGS = {"features": {"flags": ["ABS", "Klima"]}}
YOUNG = (*CARS, *((*MODELS[n % 4], 2022, 3_001 + 97 * n, 25_000 + 71 * n) for n in range(40)))


def every_second(name: str, write: Callable[[Any], Any]) -> str:
    """Return each car twice as far, every second time with a value written in another way."""
    place = HEADER.index(name)
    other = [(*car[:place], write(car[place]), *car[place + 1 :]) for car in CARS]
    return text([car for pair in zip(CARS, other, strict=True) for car in pair])


def flags(yes: str, no: str) -> str:
    return text([(*car, (no, yes)[n % 2], no) for n, car in enumerate(CARS)], FLAGS)


def report_of(content: str | bytes, folder: Path, **keys: Any) -> dict[str, Any]:
    file = folder / ("cars.csv" if isinstance(content, str) else "cars.xlsx")
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    settings = IngestSettings.model_validate({"source": str(file), **keys})
    return ingest(settings, Workspace(folder / "work"), quiet)
