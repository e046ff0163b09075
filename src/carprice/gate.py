"""The gate before ``staging``: a pure decision with its reasons, apart from what carries it out."""

from collections.abc import Mapping
from dataclasses import dataclass

from carprice.settings import GateSettings

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Decision:
    """Whether a candidate was accepted, and why: one sentence for each check."""

    accepted: bool
    reasons: tuple[str, ...]


def decide(
    candidate: Figures, champion: Figures | None, naive: Figures, thresholds: GateSettings
) -> Decision:
    """Judge a candidate by its figures on the test rows.

    Parameters
    ----------
    candidate : its ``mape`` and ``coverage`` (of the 90 % range), in per cent.
    champion : the same of the production model on the same rows; None without one.
    naive : the ``mape`` of a model that knows each make's and model's median price only.
    thresholds : what must be reached.

    Examples
    --------
    >>> figures = {"mape": 12.0, "coverage": 90.0}
    >>> decision = decide(figures, None, {"mape": 60.0}, GateSettings())
    >>> decision.accepted, decision.reasons[-1]
    (True, 'passed: no production model to compare with')
    """
    mape = candidate["mape"]
    checks = []
    if thresholds.max_mape is not None:
        checks.append(
            (mape <= thresholds.max_mape, f"MAPE {mape:.2f} % against {thresholds.max_mape:g} %")
        )
    limit = thresholds.naive_factor * naive["mape"]
    checks.append(
        (
            mape <= limit,
            f"MAPE {mape:.2f} % against {limit:.2f} %, {thresholds.naive_factor:g} times that of "
            "the median model",
        )
    )
    low, high = (100 * share for share in thresholds.coverage)
    coverage = candidate["coverage"]
    checks.append(
        (
            low <= coverage <= high,
            f"the 90 % range covers {coverage:.1f} % against {low:g}–{high:g} %",
        )
    )
    if champion is None:
        checks.append((True, "no production model to compare with"))
    else:
        limit = champion["mape"] * (1 + thresholds.champion_margin)
        checks.append(
            (
                mape <= limit,
                f"MAPE {mape:.2f} % against {champion['mape']:.2f} % of production, on the same "
                f"rows, with {100 * thresholds.champion_margin:g} % margin",
            )
        )
    return Decision(
        all(passed for passed, _ in checks),
        tuple(f"{'passed' if passed else 'failed'}: {reason}" for passed, reason in checks),
    )
