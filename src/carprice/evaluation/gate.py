"""The gate before ``staging``: decide from figures alone whether a candidate may pass, and why."""

import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from carprice.evaluation.ageing import Ageing
from carprice.metrics import bias_beyond_doubt
from carprice.model.correction import HeldOut, read_correction
from carprice.settings import GateSettings

_MOST_NAMED: Final = 5
_EVENNESS: Final = ("cod", "prd", "prb", "prb_low", "prb_high")
_ONE_IN_A_HUNDRED: Final = -statistics.NormalDist().inv_cdf(0.01)

Measured = Mapping[str, tuple[int, float]]
"""Name of a segment → its rows and a figure of it."""


@dataclass(frozen=True)
class Candidate:
    """What a candidate is judged by; errors, shares and coverages in per cent.

    Attributes
    ----------
    mape, within_10, coverage : on all test rows; coverage of the 90 % range.
    naive_mape : of :func:`carprice.evaluation.measurement.naive_prices`, on the same rows.
    band_coverage : coverage of the 90 % range in each age band.
    segment_mape : MAPE in each segment.
    megabytes : size of the model folder.
    data_digest : of the listings that it was trained and tested on.
    note : a remark on the cars that the figures are of; may be empty.
    evenness : of :func:`carprice.metrics.equity_metrics`; metrics of before lack it.
    corrected : what its correction does to later cars than those it was learned from; None of a
        model without one.
    ageing : how old it is; None where listings have no dates.
    """

    mape: float
    within_10: float
    coverage: float
    naive_mape: float
    band_coverage: Measured
    segment_mape: Measured
    megabytes: float
    data_digest: str = ""
    note: str = ""
    evenness: Mapping[str, float] = field(default_factory=dict)
    corrected: HeldOut | None = None
    ageing: Ageing | None = None

    @classmethod
    def of(
        cls,
        metrics: Mapping[str, Any],
        folder: Path,
        data_digest: str = "",
        ageing: Ageing | None = None,
    ) -> Self:
        """Return the candidate of evaluated figures (as in ``metrics.json``) and a model folder."""
        by, correction = metrics["by"], read_correction(folder)
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
            data_digest=data_digest,
            note="; ".join(filter(None, (_of_few_cars(metrics), _without_junk(metrics)))),
            evenness={name: metrics[name] for name in _EVENNESS if name in metrics},
            corrected=None if correction is None else correction.held_out,
            ageing=ageing,
        )


def _of_few_cars(metrics: Mapping[str, Any]) -> str:
    """Tell of which cars the figures are, where test cars alone are too few."""
    held_out = metrics.get("cars_held_out")
    if not held_out:
        return ""
    cars, margin = metrics["cars"], metrics["margin"]
    return (
        f"the figures are of {cars:,} cars: {cars - held_out:,} test cars, which are few, and "
        f"{held_out:,} training cars, cross-validated; chance makes ± {margin['mape']:.1f} % of "
        f"the MAPE and ± {margin['coverage']:.1f} % of the coverage"
    )


def _without_junk(metrics: Mapping[str, Any]) -> str:
    """Tell how many test rows the figures leave out, and what they are with them."""
    junk = metrics.get("junk")
    if not junk:
        return ""
    every = junk["every"]
    return (
        f"the figures are without {junk['rows']:,} test rows whose price is no car's (ingest.junk);"
        f" of all test rows, MAPE {every['mape']:.2f} %, MdAPE {every['mdape']:.2f} % "
        f"and coverage {every['coverage']:.1f} %"
    )


@dataclass(frozen=True)
class Pair:
    """Two models on the same rows; figures come in pairs, the candidate's first.

    Attributes
    ----------
    rows : how many rows both were scored on.
    fold_mape : MAPE in each fold of them, per cent.
    microseconds : time of a single prediction.
    note : a remark on the rows, such as how many were left out; may be empty.
    """

    rows: int
    fold_mape: tuple[Sequence[float], Sequence[float]]
    microseconds: tuple[float, float]
    note: str = ""


@dataclass(frozen=True)
class Champion:
    """The production model, measured beside the candidate.

    Attributes
    ----------
    version : its number in the registry.
    data_digest : of the listings that it was trained and tested on.
    """

    version: int
    data_digest: str
    pair: Pair


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
    """One criterion of the gate: what was found, what is needed, and whether it passed."""

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
    """Whether a candidate was accepted, by which checks, and remarks."""

    accepted: bool
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """One sentence for each check, then the notes."""
        return (*map(str, self.checks), *(f"note: {note}" for note in self.notes))


def decide(candidate: Candidate, champion: Champion | None, thresholds: GateSettings) -> Decision:
    """Judge a candidate by its own figures, and in comparison with the production model.

    Errors of both are paired by fold, on the same rows: a fold that is hard for one is hard for the
    other, so that the differences vary less than the errors. The mean of the relative differences
    may not exceed the margin.

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
    notes = [candidate.note] if candidate.note else []
    if champion is None:
        notes.append("no production model to compare with")
    else:
        checks += _relative(champion, thresholds)
        if champion.data_digest != candidate.data_digest:
            own, other = (one.data_digest[:12] or "unknown" for one in (candidate, champion))
            notes.append(
                f"the data are not those of version {champion.version} in production "
                f"({own}, there {other}); both models were scored on the same "
                f"{champion.pair.rows:,} rows of the new test data"
            )
        if champion.pair.note:
            notes.append(champion.pair.note)
    return Decision(all(check.passed for check in checks), tuple(checks), tuple(notes))


def _absolute(candidate: Candidate, thresholds: GateSettings) -> Iterator[Check]:
    mape, within_10, coverage = candidate.mape, candidate.within_10, candidate.coverage
    if thresholds.max_mape is not None:
        needed = f"at most {thresholds.max_mape:g} %"
        yield Check("MAPE", f"{mape:.2f} %", needed, mape <= thresholds.max_mape)
    limit = thresholds.naive_factor * candidate.naive_mape
    yield Check(
        "MAPE beside a model of medians",
        f"{mape:.2f} %",
        f"at most {limit:.2f} %, {thresholds.naive_factor:g} times its "
        f"{candidate.naive_mape:.2f} %",
        mape <= limit,
    )
    if thresholds.min_within_10 is not None:
        needed = f"at least {thresholds.min_within_10:g} %"
        passed = within_10 >= thresholds.min_within_10
        yield Check("share within 10 %", f"{within_10:.1f} %", needed, passed)
    yield from _evenness(candidate.evenness, thresholds)
    low, high = (100 * share for share in thresholds.coverage)
    passed = low <= coverage <= high
    yield Check("coverage of the 90 % range", f"{coverage:.1f} %", f"{low:g}–{high:g} %", passed)
    yield _bands(candidate, thresholds)
    yield _segments(candidate, thresholds)
    if candidate.corrected is not None:
        yield from _corrected(candidate.corrected, thresholds)
    if candidate.ageing is not None and thresholds.max_mape_of_age is not None:
        yield judge_age(candidate.ageing, thresholds.max_mape_of_age)
    size, limit = candidate.megabytes, thresholds.max_megabytes
    yield Check("model size", f"{size:.1f} MB", f"at most {limit:.1f} MB", size <= limit)


def _corrected(found: HeldOut, thresholds: GateSettings) -> Iterator[Check]:
    """Judge a correction on later cars than those it was learned from; test rows are of before."""
    (none, error, *present), (was, covered, *_) = found.error, found.coverage
    least = min([none, *present])
    most, which = (1 + thresholds.champion_margin) * least, "that without"
    if least < none:
        which = "that with the correction the model had"
    yield Check(
        "error of later cars with the correction",
        f"{error:.2f} % of ln(price), {found.rows:,} cars",
        f"at most {most:.2f} %, {1 + thresholds.champion_margin:g} times {which}",
        error <= most,
    )
    low, high = thresholds.coverage
    chance = [abs(share - _chance_floor(share, found.rows)) for share in (low, high)]
    yield Check(
        "coverage of later cars with the correction",
        f"{covered:.1f} %, without {was:.1f} %",
        f"{100 * low:g}–{100 * high:g} %, give or take the sampling error of {found.rows:,} cars",
        100 * (low - chance[0]) <= covered <= 100 * (high + chance[1]),
    )


def judge_age(ageing: Ageing, limit: float) -> Check:
    """Refuse a model that is older than the horizon at which a backtest's error passes a limit."""
    months, name = ageing.months, "age of the model"
    told = f"{months:.1f} months (learned to {ageing.learned_to}, listings to {ageing.known_to})"
    if not ageing.mape:
        unfit = f"{ageing.unfit}; " if ageing.unfit else ""
        command = "run `carprice experiments backtest`"
        needed = f"a backtest, for a MAPE of {limit:g} %: {unfit}{command}"
        return Check(name, told, needed, passed=False)
    most = ageing.months_below(limit)
    if most is not None:
        passed_at = f"the MAPE of a backtest passes {limit:g} % in month {most + 1}"
        needed = f"at most {most} months: {passed_at} ({ageing.mape[most + 1]:.1f} %)"
        return Check(name, told, needed, months <= most)
    longest = max(ageing.mape)
    needed = (
        f"at most {longest} months, which a backtest has measured (MAPE up to "
        f"{max(ageing.mape.values()):.1f} %, at most {limit:g} %)"
    )
    return Check(name, told, needed, ageing.is_measured)


def _evenness(found: Mapping[str, float], thresholds: GateSettings) -> Iterator[Check]:
    """Judge COD, PRD and PRB where there are limits; a figure that is not known passes none."""
    if thresholds.max_cod is not None:
        cod, needed = found.get("cod", math.nan), f"at most {thresholds.max_cod:g} %"
        yield Check("COD", f"{cod:.1f} %", needed, cod <= thresholds.max_cod)
    if thresholds.prd is not None:
        (low, high), prd = thresholds.prd, found.get("prd", math.nan)
        yield Check("PRD", f"{prd:.3f}", f"{low:g}–{high:g}", low <= prd <= high)
    if thresholds.max_prb is not None:
        limit, is_known, told = thresholds.max_prb, "prb" in found, "not known"
        if is_known:
            told = f"{found['prb']:+.3f} ({found['prb_low']:+.3f} to {found['prb_high']:+.3f})"
        needed = f"a 95 % interval that reaches into ±{limit:g}"
        yield Check("PRB", told, needed, is_known and bias_beyond_doubt(found) <= limit)


def _bands(candidate: Candidate, thresholds: GateSettings) -> Check:
    share = thresholds.band_coverage
    judged = {
        name: (rows, covered, 100 * _chance_floor(share, rows))
        for name, (rows, covered) in candidate.band_coverage.items()
        if rows >= thresholds.segment_rows
    }
    low = [name for name, (_, covered, floor) in judged.items() if not covered >= floor]
    lowest = sorted(judged, key=lambda name: judged[name][1] - judged[name][2])[:1]
    told = [
        f"{judged[name][1]:.1f} % in {name} ({judged[name][0]:,} rows: {judged[name][2]:.1f} %)"
        for name in low or lowest
    ]
    return Check(
        "coverage in every age band",
        ", ".join(told) or f"no band of {thresholds.segment_rows} rows",
        f"at least {100 * share:g} %, minus the sampling error of the band's rows",
        not low,
    )


def _chance_floor(share: float, rows: int) -> float:
    """Return the 0.01 quantile of the share observed in n rows whose true share is ``share``.

    The normal approximation of the binomial distribution.
    """
    return share - _ONE_IN_A_HUNDRED * math.sqrt(share * (1 - share) / rows)


def _segments(candidate: Candidate, thresholds: GateSettings) -> Check:
    judged = {
        name: (rows, mape / candidate.mape if candidate.mape else 0.0)
        for name, (rows, mape) in candidate.segment_mape.items()
        if rows >= thresholds.segment_rows
    }
    bad = [name for name, (_, times) in judged.items() if not times <= thresholds.segment_factor]
    worst = sorted(judged, key=lambda name: -judged[name][1])[:1]
    told = [
        f"{judged[name][1]:.2f} times that of all in {name} ({judged[name][0]:,} rows)"
        for name in bad or worst
    ]
    if len(told) > _MOST_NAMED:
        told[_MOST_NAMED:] = [f"{len(told) - _MOST_NAMED} more"]
    return Check(
        "MAPE of the worst segment",
        ", ".join(told) or f"none of {thresholds.segment_rows} rows",
        f"at most {thresholds.segment_factor:g} times",
        not bad,
    )


def _relative(champion: Champion, thresholds: GateSettings) -> list[Check]:
    production, pair = f"production (version {champion.version})", champion.pair
    differences = [
        100 * (own / other - 1) if other else math.inf
        for own, other in zip(*pair.fold_mape, strict=True)
    ]
    folds, finite = len(differences), all(map(math.isfinite, differences))
    mean, own, other = map(_mean, (differences, *pair.fold_mape))
    error = math.nan
    if folds > 1 and finite:
        error = statistics.stdev(differences) / math.sqrt(folds)
    margin = 100 * thresholds.champion_margin
    own_time, other_time = pair.microseconds
    ratio = own_time / other_time if other_time else math.inf
    return [
        Check(
            f"MAPE beside {production}",
            f"{own:.2f} % and {other:.2f} %, {mean:+.1f} ± {error:.1f} % in {folds} folds of "
            f"{pair.rows:,} rows",
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


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan
