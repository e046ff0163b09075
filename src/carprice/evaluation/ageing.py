"""How a model's error grows with its age, as a backtest found it, and how old a candidate is."""

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import pandas as pd

from carprice.errors import InputError
from carprice.model import PriceModel

_DAYS_A_MONTH: Final = 365.25 / 12
_REMEDY: Final = "run `carprice experiments backtest` again, or delete it"


@dataclass(frozen=True)
class Ageing:
    """How old a candidate is beside its data, and what a backtest says of such an age.

    The age is counted in the data, never by a clock: from the newest listing that the model learned
    from to the newest that is known, among the pipeline's listings or the prices that its
    correction was learned from.

    Attributes
    ----------
    learned_to, known_to : those days.
    mape : months after the last one that was learned from → MAPE in per cent; empty without a
        backtest of the model's own data.
    unfit : why a backtest that is there tells nothing of the model; may be empty.
    """

    learned_to: datetime.date
    known_to: datetime.date
    mape: Mapping[int, float] = field(default_factory=dict)
    unfit: str = ""

    @classmethod
    def of(
        cls, model: PriceModel, listings: pd.DataFrame, backtest: Path | None = None
    ) -> Self | None:
        """Return that of a model, by the pipeline's listings; None where these have no dates.

        Parameters
        ----------
        backtest : its report, which may not be there; None: it is not read.

        Raises
        ------
        InputError
            If the report is damaged.
        """
        days = listings["listed_on"].dropna()
        if days.empty:
            return None
        known_to = max(model.learned_to, days.max().date())
        if model.correction is not None:
            known_to = max(known_to, model.correction.until)
        report = read_backtest(backtest) if backtest else None
        if report is None:
            return cls(model.learned_to, known_to)
        if unfit := why_unfit(report, model.market.data_digest):
            return cls(model.learned_to, known_to, unfit=unfit)
        by_horizon = {int(one["horizon"]): float(one["mape"]) for one in report["by_horizon"]}
        return cls(model.learned_to, known_to, by_horizon)

    @property
    def months(self) -> float:
        """The candidate's age in months."""
        return (self.known_to - self.learned_to).days / _DAYS_A_MONTH

    def months_below(self, limit: float) -> int | None:
        """Return for how many months the MAPE is at most a limit; None where it is to the end.

        Examples
        --------
        >>> day = datetime.date(2025, 1, 1)
        >>> found = Ageing(day, day, {1: 10.0, 2: 12.0, 3: 11.0})
        >>> found.months_below(11), found.months_below(9), found.months_below(12)
        (1, 0, None)
        """
        passed = [horizon for horizon, mape in sorted(self.mape.items()) if mape > limit]
        return passed[0] - 1 if passed else None

    @property
    def is_measured(self) -> bool:
        """Whether the backtest tells of so old a model."""
        return math.ceil(self.months) <= max(self.mape, default=0)


def why_unfit(report: Mapping[str, Any], data_digest: str) -> str:
    """Return why a backtest tells nothing of models of some data; empty where it does.

    Examples
    --------
    >>> why_unfit({"data_digest": "aa", "quick": False}, "aa")
    ''
    >>> why_unfit({"data_digest": "aa", "quick": True}, "aa")
    'the report is of --quick, whose models are worse'
    """
    if report.get("data_digest") != data_digest:
        return "the report is of other listings"
    return "the report is of --quick, whose models are worse" if report.get("quick") else ""


def read_backtest(path: Path) -> dict[str, Any] | None:
    """Return what the report of a backtest says; None where there is none.

    Raises
    ------
    InputError
        If it is damaged.
    """
    if not path.is_file():
        return None
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for row in report["by_horizon"]:
            int(row["horizon"]), float(row["mape"])
    except (ValueError, TypeError, KeyError, OSError, RecursionError):
        raise InputError(f"{path} is no report of a backtest; {_REMEDY}") from None
    return report
