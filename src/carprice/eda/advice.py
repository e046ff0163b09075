"""What to know before a model is trained: the findings that matter, in words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from carprice.eda.drift import Drift, DriftVerdict
from carprice.eda.findings import Findings, MarketFindings
from carprice.schema import alias

_MANY: Final = 0.2
_SOME: Final = 0.02
_HEAVY: Final = 0.1
_SKEWED: Final = 2.0
_FEW_ROWS: Final = 1000
_TOO_FEW_ROWS: Final = 50
_UNEVEN: Final = 1.5


class Severity(StrEnum):
    """How severe a finding is."""

    STOP = "stop"
    CAREFUL = "careful"
    NOTE = "note"


@dataclass(frozen=True)
class Advice:
    """One thing to know: how severe it is, what, why, and the section of the page that shows it."""

    severity: Severity
    title: str
    text: str
    section: str


def advise(findings: Findings) -> list[Advice]:
    """Return what to know, the most severe first."""
    found = [*_of_the_file(findings), *_leaks(findings)]
    if findings.market is not None:
        for ask in _OF_THE_MARKET:
            found += ask(findings, findings.market)
    found += _columns(findings)
    order = list(Severity)
    return sorted(found, key=lambda one: order.index(one.severity))


def percent(share: float) -> str:
    """Write a share in per cent, with decimals where it is small.

    Examples
    --------
    >>> percent(0.5431), percent(0.0123), percent(0.00004), percent(0.0)
    ('54 %', '1.2 %', '< 0.01 %', '0 %')
    """
    if 0 < share < 0.0001:
        return "< 0.01 %"
    digits = 0 if abs(share) >= 0.1 or not share else 1 if abs(share) >= 0.001 else 2
    return f"{100 * share:.{digits}f} %"


def change(logarithm: float) -> str:
    """Write a difference of logarithms as a change in per cent.

    Examples
    --------
    >>> change(-0.1), change(0.02)
    ('−9.5 %', '+2.0 %')
    """
    return f"{100 * np.expm1(logarithm):+.1f} %".replace("-", "−")


def _of_the_file(findings: Findings) -> Iterator[Advice]:
    if not findings.rows_kept:
        yield Advice(
            Severity.STOP,
            "No listing is left",
            f"All {findings.rows_read:,} rows are rejected: {_reasons(findings)}. "
            "Correct ingest.columns or ingest.price_range.",
            "assessment",
        )
    elif findings.rows_kept < _TOO_FEW_ROWS:
        yield Advice(
            Severity.STOP,
            "Too few listings to learn from",
            f"{findings.rows_kept:,} of {findings.rows_read:,} rows are kept; training needs "
            f"{_TOO_FEW_ROWS}, and a thousand to be worth it.",
            "assessment",
        )
    elif findings.rows_kept < _FEW_ROWS:
        yield Advice(
            Severity.CAREFUL,
            "Few listings",
            f"{findings.rows_kept:,} listings: figures of a test split will move by chance more "
            "than by what the model does.",
            "assessment",
        )
    lost = findings.rows_read - findings.rows_kept
    if lost and findings.rows_kept:
        share = lost / findings.rows_read
        yield Advice(
            Severity.CAREFUL if share >= _SOME else Severity.NOTE,
            f"{lost:,} rows are rejected",
            f"{percent(share)} of {findings.rows_read:,}: {_reasons(findings)}.",
            "assessment",
        )


def _leaks(findings: Findings) -> Iterator[Advice]:
    if leaks := findings.leaks:
        names = ", ".join(column.name for column in leaks)
        yield Advice(
            Severity.CAREFUL,
            f"{len(leaks)} columns look computed from the price"
            if len(leaks) > 1
            else "A column looks computed from the price",
            f"{names}. No field reads them, and none must: a model that learns from an instalment "
            "or a deposit knows the price before it is asked.",
            "suspicious",
        )


def _columns(findings: Findings) -> Iterator[Advice]:
    constant = [column.name for column in findings.columns if column.is_constant]
    copies = [
        f"{column.name} (as {column.same_as})" for column in findings.columns if column.same_as
    ]
    identifiers = [column.name for column in findings.columns if column.is_identifier]
    read = [column.name for column in findings.columns if column.is_identifier and column.fields]
    if constant:
        text = f"{', '.join(constant)}: empty, or the same in every row."
        yield Advice(Severity.NOTE, "Columns that say nothing", text, "columns")
    if copies:
        text = f"{', '.join(copies)}: they tell the same rows apart in the same way."
        yield Advice(Severity.NOTE, "Columns that repeat another", text, "columns")
    if identifiers:
        text = f"{', '.join(identifiers)}: nearly every row has a value of its own."
        if read:
            text += f" A field reads {', '.join(read)}: a model can only learn it by heart."
        severity = Severity.CAREFUL if read else Severity.NOTE
        yield Advice(severity, "Columns that look like identifiers", text, "columns")


def _reasons(findings: Findings) -> str:
    return "; ".join(f"{reason} ({rows:,})" for reason, rows in [*findings.rejected.items()][:4])


def _suspects(_: Findings, market: MarketFindings) -> Iterator[Advice]:
    origin = {field.name: field.origin for field in market.fields}
    for one in market.suspects:
        name = alias(one.field)
        yield Advice(
            Severity.STOP,
            f"{name} knows the price",
            f"{name} (column {origin.get(name, '?')}) explains {percent(one.explained)} of how the "
            "prices of like cars differ, as only what is computed from the price can. Training "
            f"will stop: write '{name}: null' in ingest.columns.",
            "suspicious",
        )


def _prices(findings: Findings, market: MarketFindings) -> Iterator[Advice]:
    outliers, currency = market.outliers, findings.currency
    if market.has_one_price:
        highest = market.numbers[0].quantiles[-1]
        yield Advice(
            Severity.STOP,
            "All prices are equal",
            f"Every listing asks {highest:,.0f} {currency}: there is nothing to learn.",
            "distributions",
        )
        return
    worst = outliers.largest_error
    if worst is not None and (worst.of_squared_error or 0) >= _HEAVY:
        yield Advice(
            Severity.CAREFUL,
            "One car decides squared errors",
            f"A {worst.make} {worst.model} at {worst.price:,.0f} {currency} makes "
            f"{percent(worst.of_squared_error or 0)} of the squared error of the hedonic ridge "
            f"over all {findings.rows_kept:,} cars. R² and RMSE of raw prices jump with the fold "
            "that it falls into: compare models by MAPE, MdAPE, the share within ±10 % and RMSLE.",
            "outliers",
        )
    if outliers.skew >= _SKEWED:
        yield Advice(
            Severity.NOTE,
            "Learn ln(price), not the price",
            f"Prices are skewed by {outliers.skew:.1f}, their logarithms by "
            f"{outliers.log_skew:.2f}.".replace("-", "−"),
            "distributions",
        )
    far = outliers.far_below + outliers.far_above
    if far:
        yield Advice(
            Severity.CAREFUL if far >= _SOME * findings.rows_kept else Severity.NOTE,
            "Prices far from what like cars cost",
            f"{outliers.far_below:,} listings ask less than half, {outliers.far_above:,} more than "
            f"twice: {percent(far / findings.rows_kept)} of all. Deposits, damaged cars, typing "
            "errors, or something that no column tells.",
            "outliers",
        )


def _noise(_: Findings, market: MarketFindings) -> Iterator[Advice]:
    noise = market.noise
    if market.has_one_price:
        return
    if noise.mdape is None or noise.mape is None:
        yield Advice(
            Severity.NOTE,
            "The noise floor is not known",
            f"Only {noise.pairs:,} pairs of cars are alike in all that is known; thirty are needed "
            "to tell how much prices differ for no reason.",
            "twins",
        )
        return
    yield Advice(
        Severity.CAREFUL if noise.mdape >= 15 else Severity.NOTE,
        f"Noise floor: no model can be better than MdAPE {noise.mdape:.1f} %, "
        f"MAPE {noise.mape:.1f} %",
        f"So far is the price of one car from what such a car is worth, by {noise.pairs:,} pairs "
        "of near-twins. A model that is much better has seen the price.",
        "twins",
    )


def _copies(findings: Findings, market: MarketFindings) -> Iterator[Advice]:
    share = market.relisted / findings.rows_kept
    if share >= _SOME / 20:
        yield Advice(
            Severity.CAREFUL if share >= _SOME else Severity.NOTE,
            f"{market.relisted:,} listings repeat another in every field that is read",
            f"{percent(share)} of the listings have the same car, distance and price as an earlier "
            "one: some are one car listed twice. A random split puts such pairs on both sides, "
            "and the test then flatters the model.",
            "twins",
        )


def _gaps(findings: Findings, market: MarketFindings) -> Iterator[Advice]:
    absent = {field.name for field in market.fields if field.missing == findings.rows_kept}
    for name, why in (
        ("odometer", "what a car has driven is worth a lot, and every range will be wide"),
        ("variant", "trims of one model are priced alike"),
        ("fuelType", "petrol, diesel and electric cars are priced alike"),
    ):
        if name in absent:
            severity = Severity.CAREFUL if name == "odometer" else Severity.NOTE
            yield Advice(severity, f"No {name}", f"No listing has one: {why}.", "missing")
    often = [
        f"{field.name} {percent(field.missing / findings.rows_kept)}"
        for field in market.fields
        if _MANY <= field.missing / findings.rows_kept < 1
    ]
    if often:
        text = f"{', '.join(often)}. The model has to do without them there."
        yield Advice(Severity.NOTE, "Often missing", text, "missing")


def _names(_: Findings, market: MarketFindings) -> Iterator[Advice]:
    make = next((one for one in market.categories if one.name == "make"), None)
    if make is not None and make.distinct == 1:
        yield Advice(
            Severity.CAREFUL,
            "One make only",
            "A model of these listings prices no other make; any other is unseen to it.",
            "relations",
        )
    rare, models = market.rare_models
    if rare >= _MANY * models and models > 1:
        unseen = "; ".join(
            f"{percent(share)} of a random test split's rows have a {name} that no training row has"
            for name, share in market.unseen.items()
            if share >= _SOME / 4
        )
        yield Advice(
            Severity.NOTE,
            f"{rare:,} of {models:,} models have fewer than five cars",
            (unseen[:1].upper() + unseen[1:] + ". " if unseen else "")
            + "What a rare name is worth must be borrowed from its make.",
            "relations",
        )


def _dates(findings: Findings, market: MarketFindings) -> Iterator[Advice]:
    drift = market.drift
    if drift.verdict is DriftVerdict.NO_DATES:
        text = (
            f"Every price is taken to be one of {findings.valuation_date}. Whether prices move "
            "cannot be told, and a split by time is not possible."
        )
        yield Advice(Severity.NOTE, "No dates", text, "drift")
    elif drift.verdict is DriftVerdict.TOO_FEW:
        text = f"{drift.dated:,} dated listings from {drift.first} to {drift.last} are too few."
        yield Advice(Severity.NOTE, "Drift cannot be told", text, "drift")
    elif drift.verdict is DriftVerdict.NO_DRIFT:
        yield Advice(
            Severity.CAREFUL,
            "No drift over its dates: are they real?",
            no_drift_in_words(drift),
            "drift",
        )
    elif drift.verdict is DriftVerdict.DRIFT:
        yield Advice(Severity.CAREFUL, "Prices drift over time", drift_in_words(drift), "drift")
    else:
        yield Advice(Severity.NOTE, "Prices are steady over time", drift_in_words(drift), "drift")


def no_drift_in_words(drift: Drift) -> str:
    """Write why dates without drift may be invented."""
    low, high = drift.between
    ageing = (
        f", although a year of age costs like cars {percent(-np.expm1(-drift.loss))}"
        if drift.loss
        else ""
    )
    even = (
        " The days of the listings look drawn at random: no weekends, no batches."
        if drift.evenness < _UNEVEN
        else ""
    )
    return (
        f"From {drift.first} to {drift.last}, cars of one model year and distance change their "
        f"price by {change(drift.slope)} a year (95 %: {change(low)} to {change(high)})"
        f"{ageing}. Months differ no more than by chance (p = {drift.p_value:.2f}) and explain "
        f"{percent(drift.explained)} of what is left of the price.{even} If the dates are "
        "invented, neither a split by time nor a trend means anything."
    )


def drift_in_words(drift: Drift) -> str:
    """Write how prices move."""
    market = drift.market
    itself = f": the market itself about {change(market)} a year" if market is not None else ""
    loss = (
        f", while a year of age costs like cars {percent(-np.expm1(-drift.loss))}{itself}"
        if drift.loss is not None
        else ""
    )
    advice = (
        " Test on the newest listings (ingest.split.method: time) and train anew often."
        if drift.verdict is DriftVerdict.DRIFT
        else ""
    )
    months = (
        f"Around that trend, months scatter by {percent(drift.apart)} more than chance makes them."
        if drift.apart >= _SOME / 4
        else "Months follow that trend."
    )
    return (
        f"From {drift.first} to {drift.last}, cars of one model year and distance change their "
        f"price by {change(drift.slope)} a year{loss}. {months}{advice}"
    )


_OF_THE_MARKET: Final[tuple[Callable[[Findings, MarketFindings], Iterator[Advice]], ...]] = (
    _suspects,
    _noise,
    _dates,
    _prices,
    _copies,
    _gaps,
    _names,
)
