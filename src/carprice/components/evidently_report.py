"""Evidently's report of data drift, for those who know it: nothing here decides by it."""

import importlib
from pathlib import Path
from typing import Any, Final

import pandas as pd

from carprice.arrays import Progress
from carprice.components.workspace import Workspace, read_json
from carprice.errors import InputError
from carprice.files import check_writable, writing
from carprice.model import PriceModel
from carprice.monitoring.words import plain
from carprice.schema import FIELDS, NUMERIC, FieldKind, kind_of, own_of

_MOST_VALUES: Final = 50
_FEWEST_ROWS: Final = 30
_OTHERS: Final = "(others)"
# Evidently writes names into its page's script as they are.
_HARMLESS: Final = str.maketrans({"<": "‹", ">": "›", "&": "+", "\\": "/", "`": "'"})


def check_target(out: Path, log: str) -> None:
    """Find out before any work that the report cannot be made.

    Raises
    ------
    InputError
        If Evidently is not installed or cannot be used, the ending is wrong, or there is no log.
    RefusedError
        If the file cannot be written.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--evidently {out}: the ending must be .html")
    if not log:
        raise InputError("--evidently needs a prediction log; name it with --log")
    check_writable(out)
    _evidently()


def write_report(
    model: PriceModel, log: pd.DataFrame, workspace: Workspace, out: Path, progress: Progress
) -> str:
    """Write the report of the listings that were priced; return what they are compared with.

    That is what the model learned from, where the working folder has it; else the earlier half of
    the log is compared with the later one.

    Raises
    ------
    InputError
        If there are fewer than 30 listings to compare, or Evidently cannot be used.
    RefusedError
        If the file cannot be written.
    """
    evidently = _evidently()
    progress("Evidently's report")
    learned = _learned_from(model, workspace)
    if learned is not None:
        before, after, against = learned, log, "what the model learned from"
    else:
        half = len(log) // 2
        before, after, against = log.iloc[:half], log.iloc[half:], "the earlier half of the log"
    if min(len(before), len(after)) < _FEWEST_ROWS:
        raise InputError(
            f"--evidently has {len(before):,} listings to compare with and {len(after):,} to "
            f"compare, and needs {_FEWEST_ROWS} of each; give a longer log"
        )
    numbers, texts = _columns(before, after)
    kinds = evidently.DataDefinition(numerical_columns=numbers, categorical_columns=texts)
    tables = [
        evidently.Dataset.from_pandas(one, data_definition=kinds)
        for one in _comparable(after, before, numbers, texts)
    ]
    preset = importlib.import_module("evidently.presets").DataDriftPreset
    with writing(out) as path:
        evidently.Report([preset()]).run(*tables).save_html(str(path))
    return against


def _evidently() -> Any:
    try:
        importlib.import_module("evidently.presets")
        return importlib.import_module("evidently")
    except ModuleNotFoundError:
        raise InputError(
            "--evidently needs Evidently, which is not installed; run "
            "pip install 'carprice[evidently]'"
        ) from None
    except ImportError as error:
        raise InputError(
            f"Evidently cannot be used with the other packages here ({error}); run "
            "pip install 'carprice[evidently]'"
        ) from None


def _learned_from(model: PriceModel, workspace: Workspace) -> pd.DataFrame | None:
    """Return the listings that a model learned from, if the working folder has just these."""
    if not (workspace.train_listings.is_file() and workspace.market.is_file()):
        return None
    digest = read_json(workspace.market, made_by="ingest")["data_digest"]
    if digest != model.market.data_digest:
        return None
    return pd.read_parquet(workspace.train_listings)


def _columns(before: pd.DataFrame, after: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the numbers and the texts that both tables know some of."""
    numbers, texts = [], []
    for name in (*FIELDS, *own_of(after.columns)):
        if not all(name in one and one[name].notna().any() for one in (before, after)):
            continue
        if (kind := kind_of(name)) in NUMERIC:
            numbers.append(name)
        elif kind in (FieldKind.TEXT, FieldKind.FLAG):
            texts.append(name)
    return numbers, texts


def _comparable(
    after: pd.DataFrame, before: pd.DataFrame, numbers: list[str], texts: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both tables with the commonest texts, of which none can be anything but a text."""
    tables = after[numbers].astype(float), before[numbers].astype(float)
    for name in texts:
        common = before[name].astype("string").value_counts().index[:_MOST_VALUES]
        for table, source in zip(tables, (after, before), strict=True):
            values = source[name].astype("string")
            shown = values.where(values.isin(common) | values.isna(), _OTHERS)
            table[name] = shown.map(_harmless, na_action="ignore").astype(object)
    return tables


def _harmless(text: str) -> str:
    return plain(text)[:100].translate(_HARMLESS)
