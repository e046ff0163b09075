"""The gate before ``staging``: decide from figures alone whether a candidate may pass, and why."""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from carprice.settings import GateSettings

_NAMED: Final = 5
_ONE_IN_A_HUNDRED: Final = -statistics.NormalDist().inv_cdf(0.01)

Measured = Mapping[str, tuple[int, float]]
"""Name of a segment → its rows and a figure of it."""


@dataclass(frozen=True)
class Candidate:
    """What a candidate is judged by; errors, shares and coverages in per cent.

    Attributes
    ----------
    mape, within_10, coverage : on all test rows; coverage of the 90 % range.
    naive_mape : of a model that knows each make's and model's median price only, on the same rows.
    band_coverage : coverage of the 90 % range in each age band.
    segment_mape : MAPE in each segment.
    megabytes : size of the model folder.
    data_digest : names the listings that it learned from and was tested on.
    fold_mape : MAPE in each fold of the rows that it shares with the champion.
    microseconds : time of a single prediction.
    """

    mape: float
    within_10: float
    coverage: float
    naive_mape: float
    band_coverage: Measured
    segment_mape: Measured
    megabytes: float
    data_digest: str = ""
    fold_mape: Sequence[float] = ()
    microseconds: float = math.nan

    @classmethod
    def of(cls, metrics: Mapping[str, Any], folder: Path, **others: Any) -> Self:
        """Return the candidate of evaluated figures (as in ``metrics.json``) and a model folder."""
        by = metrics["by"]
        return cls(
            **{name: metrics[name] for name in ("mape", "within_10", "coverage")},
            naive_mape=metrics["naive"]["mape"],
            band_coverage={
                f"{band} years": (int(one["rows"]), one["coverage"])
                for band, one in by["age_band"].items()
            },
            segment_mape={
                f"{kind.replace('_', ' ')} {name}": (int(one["rows"]), one["mape"])
                for kind, segments in by.items()
                for name, one in segments.items()
            },
            megabytes=sum(path.stat().st_size for path in folder.iterdir()) / 1e6,
            **others,
        )


@dataclass(frozen=True)
class Champion:
    """The production model, measured on the candidate's rows and machine.

    Attributes
    ----------
    version : its number in the registry.
    data_digest : names the listings that it learned from and was tested on.
    rows : test rows of the candidate that both were scored on.
    fold_mape : MAPE in each fold of these rows, the folds those of the candidate.
    microseconds : time of a single prediction.
    note : a remark on the rows, such as how many were left out; may be empty.
    """

    version: int
    data_digest: str
    rows: int
    fold_mape: Sequence[float]
    microseconds: float
    note: str = ""


_SEPARATOR: Final = " | "
_OLDER_SEPARATOR: Final = re.compile(r"; (?=(?:passed|failed|note): )")


def reasons_to_tag(reasons: Sequence[str]) -> str:
    """Return the gate's reasons as the tag ``gate_reasons`` holds them."""
    return _SEPARATOR.join(reasons)


def reasons_from_tag(tag: str) -> tuple[str, ...]:
    """Return the reasons in a tag ``gate_reasons``, of versions of an older carprice too.

    Examples
    --------
    >>> reasons_from_tag("passed: MAPE 12 %; needs at most 30 % | note: no production model")
    ('passed: MAPE 12 %; needs at most 30 %', 'note: no production model')
    >>> reasons_from_tag("failed: MAPE 45 %; note: no production model")
    ('failed: MAPE 45 %', 'note: no production model')
    """
    parts = tag.split(_SEPARATOR) if _SEPARATOR in tag else _OLDER_SEPARATOR.split(tag)
    return tuple(filter(None, parts))


def failed_reasons(reasons: Sequence[str]) -> str:
    """Return what speaks against a candidate, in one text.

    Examples
    --------
    >>> failed_reasons(["passed: MAPE 12 %", "failed: model size 120 MB", "note: the first"])
    'failed: model size 120 MB'
    """
    return "; ".join(reason for reason in reasons if reason.startswith("failed"))


@dataclass(frozen=True)
class Check:
    """One thing that the gate looked at: what was found, what is needed, and whether that is so."""

    name: str
    found: str
    needed: str
    passed: bool

    def __str__(self) -> str:
        """Say the check in one sentence."""
        verdict = "passed" if self.passed else "failed"
        return f"{verdict}: {self.name} {self.found}; needs {self.needed}"


@dataclass(frozen=True)
class Decision:
    """Whether a candidate was accepted, by which checks, and what else is to be said."""

    accepted: bool
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """One sentence for each check, then the notes."""
        return (*map(str, self.checks), *(f"note: {note}" for note in self.notes))


def decide(candidate: Candidate, champion: Champion | None, thresholds: GateSettings) -> Decision:
    """Judge a candidate by its own figures, and in comparison with the production model.

    Beside production its error is compared in pairs, fold by fold on the same rows: whatever makes
    a fold hard for one makes it hard for the other, so that the differences are steadier than the
    errors. The mean of the relative differences may not exceed the margin.

    Raises
    ------
    ValueError
        If candidate and champion were not scored on the same folds.

    Examples
    --------
    >>> candidate = Candidate(12.0, 56.0, 90.0, 30.0, {}, {}, 0.6)
    >>> decision = decide(candidate, None, GateSettings())
    >>> decision.accepted, decision.notes
    (True, ('no production model to compare with',))
    >>> print(decision.checks[0])
    passed: MAPE 12.00 %; needs at most 30 %
    """
    checks = [*_absolute(candidate, thresholds)]
    if champion is None:
        notes = ["no production model to compare with"]
    else:
        checks += _relative(candidate, champion, thresholds)
        notes = [champion.note] if champion.note else []
        if champion.data_digest != candidate.data_digest:
            notes.insert(
                0,
                f"the data are not those of version {champion.version} in production "
                f"({_short(candidate.data_digest)}, there {_short(champion.data_digest)}); both "
                f"models were scored on the same {champion.rows:,} rows of the new test data",
            )
    return Decision(all(check.passed for check in checks), tuple(checks), tuple(notes))


def _absolute(candidate: Candidate, thresholds: GateSettings) -> list[Check]:
    low, high = (100 * share for share in thresholds.coverage)
    naive_limit = thresholds.naive_factor * candidate.naive_mape
    checks = []
    if thresholds.max_mape is not None:
        checks.append(_at_most("MAPE", candidate.mape, thresholds.max_mape, "{:.2f} %", "{:g} %"))
    checks.append(
        Check(
            "MAPE beside a model of medians",
            f"{candidate.mape:.2f} %",
            f"at most {naive_limit:.2f} %, {thresholds.naive_factor:g} times its "
            f"{candidate.naive_mape:.2f} %",
            candidate.mape <= naive_limit,
        )
    )
    if thresholds.min_within_10 is not None:
        checks.append(
            Check(
                "share within 10 %",
                f"{candidate.within_10:.1f} %",
                f"at least {thresholds.min_within_10:g} %",
                candidate.within_10 >= thresholds.min_within_10,
            )
        )
    checks.append(
        Check(
            "coverage of the 90 % range",
            f"{candidate.coverage:.1f} %",
            f"{low:g}–{high:g} %",
            low <= candidate.coverage <= high,
        )
    )
    return [
        *checks,
        _bands(candidate, thresholds),
        _segments(candidate, thresholds),
        _at_most("model size", candidate.megabytes, thresholds.max_megabytes, "{:.1f} MB"),
    ]


def _bands(candidate: Candidate, thresholds: GateSettings) -> Check:
    share = thresholds.band_coverage
    counted = _large(candidate.band_coverage, thresholds)
    floors = {name: 100 * _by_chance(share, rows) for name, (rows, _) in counted.items()}
    low = {name: one for name, one in counted.items() if not one[1] >= floors[name]}
    shown = low or dict(sorted(counted.items(), key=lambda item: item[1][1] - floors[item[0]])[:1])
    told = [
        f"{covered:.1f} % in {name} ({rows:,} rows: {floors[name]:.1f} %)"
        for name, (rows, covered) in shown.items()
    ]
    return Check(
        "coverage in every age band",
        ", ".join(told) or f"no band of {thresholds.segment_rows} rows",
        f"at least {100 * share:g} %, less what chance does to so many rows",
        not low,
    )


def _by_chance(share: float, rows: int) -> float:
    """Return the share that a true share falls below in one of a hundred samples of n rows.

    The normal approximation of the binomial distribution.
    """
    return share - _ONE_IN_A_HUNDRED * math.sqrt(share * (1 - share) / rows)


def _segments(candidate: Candidate, thresholds: GateSettings) -> Check:
    counted = {
        name: (rows, mape / candidate.mape if candidate.mape else 0.0)
        for name, (rows, mape) in _large(candidate.segment_mape, thresholds).items()
    }
    bad = {name: one for name, one in counted.items() if not one[1] <= thresholds.segment_factor}
    shown = bad or _worst(counted, 1)
    return Check(
        "MAPE of the worst segment",
        _listed(shown, "{:.2f} times that of all") or f"none of {thresholds.segment_rows} rows",
        f"at most {thresholds.segment_factor:g} times",
        not bad,
    )


def _relative(candidate: Candidate, champion: Champion, thresholds: GateSettings) -> list[Check]:
    production = f"production (version {champion.version})"
    pairs = zip(candidate.fold_mape, champion.fold_mape, strict=True)
    differences = [100 * (own / other - 1) if other else math.inf for own, other in pairs]
    folds = len(differences)
    mean = statistics.fmean(differences) if folds else math.nan
    is_spread = folds > 1 and all(map(math.isfinite, differences))
    error = statistics.stdev(differences) / math.sqrt(folds) if is_spread else math.nan
    own, other = map(_mean, (candidate.fold_mape, champion.fold_mape))
    margin = 100 * thresholds.champion_margin
    own_time, other_time = candidate.microseconds, champion.microseconds
    ratio = own_time / other_time if other_time else math.inf
    return [
        Check(
            f"MAPE beside {production}",
            f"{own:.2f} % and {other:.2f} %, {mean:+.1f} ± {error:.1f} % in {folds} folds of "
            f"{champion.rows:,} rows",
            f"at most {margin:+g} %",
            mean <= margin,
        ),
        Check(
            f"time of one price beside {production}",
            f"{ratio:.2f} times its {other_time:.0f} µs",
            f"at most {thresholds.latency_factor:g} times",
            ratio <= thresholds.latency_factor,
        ),
    ]


def _at_most(name: str, found: float, limit: float, form: str, limit_form: str = "") -> Check:
    needed = (limit_form or form).format(limit)
    return Check(name, form.format(found), f"at most {needed}", found <= limit)


def _large(figures: Measured, thresholds: GateSettings) -> dict[str, tuple[int, float]]:
    return {name: one for name, one in figures.items() if one[0] >= thresholds.segment_rows}


def _worst(figures: Measured, sign: int) -> dict[str, tuple[int, float]]:
    return dict(sorted(figures.items(), key=lambda item: -sign * item[1][1])[:1])


def _listed(figures: Measured, form: str) -> str:
    told = [
        f"{form.format(figure)} in {name} ({rows:,} rows)"
        for name, (rows, figure) in figures.items()
    ]
    more = [f"{len(told) - _NAMED} more"] if len(told) > _NAMED else []
    return ", ".join([*told[:_NAMED], *more])


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def _short(digest: str) -> str:
    return digest[:12] or "unknown"
