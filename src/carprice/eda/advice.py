"""What to know before a model is trained: the findings that matter, in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from carprice.eda.drift import Drift, DriftVerdict
from carprice.eda.findings import Findings, MarketFindings
from carprice.listings.cars import Repeats
from carprice.schema import alias

_LARGE_SHARE: Final = 0.2
_CAREFUL_SHARE: Final = 0.02
_UNSEEN_SHARE: Final = 0.005
_RELISTED_SHARE: Final = 0.001
_MONTH_SCATTER: Final = 0.005  # standard deviation of ln(price)
_HEAVY_SHARE: Final = 0.1  # of the squared error
_SKEWED: Final = 2.0
_FEW_ROWS: Final = 1000
_TOO_FEW_ROWS: Final = 50
_UNEVEN: Final = 1.5  # variance / mean of the daily counts


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
    found = [*_rows(findings), *_leaks(findings)]
    if market := findings.market:
        found += [
            *_suspects(market),
            *_known(market),
            *_noise(market),
            *_dates(market.drift, findings.valuation_date),
            *_prices(market, findings.currency, findings.rows_kept),
            *_junk(market, findings.currency),
            *_contradictions(market),
            *_copies(findings, market.repeats),
            *_gaps(market, findings.rows_kept),
            *_names(market),
        ]
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


def _rows(findings: Findings) -> Iterator[Advice]:
    read, kept = findings.rows_read, findings.rows_kept
    rejected, share = read - kept, (read - kept) / read
    reasons = "; ".join(f"{why} ({rows:,})" for why, rows in [*findings.rejected.items()][:4])
    if not kept:
        title = "No listing is left"
        text = (
            f"All {read:,} rows are rejected: {reasons}. "
            "Correct ingest.columns or ingest.price_range."
        )
        yield Advice(Severity.STOP, title, text, "assessment")
    elif kept < _TOO_FEW_ROWS:
        title = "Too few listings to learn from"
        text = (
            f"{kept:,} of {read:,} rows are kept; training needs {_TOO_FEW_ROWS}, and a thousand "
            "to be worth it."
        )
        yield Advice(Severity.STOP, title, text, "assessment")
    elif kept < _FEW_ROWS:
        text = f"{kept:,} listings: the errors of two models will differ mostly by chance."
        yield Advice(Severity.CAREFUL, "Few listings", text, "assessment")
    if rejected and kept:
        text = f"{percent(share)} of {read:,}: {reasons}."
        yield Advice(_severity_of(share), f"{rejected:,} rows are rejected", text, "assessment")


def _severity_of(share: float) -> Severity:
    return Severity.CAREFUL if share >= _CAREFUL_SHARE else Severity.NOTE


def _leaks(findings: Findings) -> Iterator[Advice]:
    names = [column.name for column in findings.leaks]
    if names:
        title = "A column looks" if len(names) == 1 else f"{len(names)} columns look"
        text = (
            f"{', '.join(names)}. No field reads them, and none must: a model that learns from an "
            "instalment or a deposit knows the price before it is asked."
        )
        yield Advice(Severity.CAREFUL, f"{title} computed from the price", text, "suspicious")
    for name in findings.list_prices:
        title = f"{name} is a list price when new, and is not read"
        text = (
            "Whoever asks knows it of any car, and little tells more of what a car is worth: "
            f"map it, as newPrice: {name} in ingest.columns."
        )
        yield Advice(Severity.NOTE, title, text, "suspicious")


def _columns(findings: Findings) -> Iterator[Advice]:
    columns = findings.columns
    constant = ", ".join(one.name for one in columns if one.is_constant)
    copies = ", ".join(f"{one.name} (as {one.same_as})" for one in columns if one.same_as)
    identifiers = ", ".join(one.name for one in columns if one.is_identifier)
    read = ", ".join(one.name for one in columns if one.is_identifier and one.fields)
    if constant:
        text = f"{constant}: empty, or the same in every row."
        yield Advice(Severity.NOTE, "Columns that say nothing", text, "columns")
    if copies:
        text = f"{copies}: both columns group the rows in the same way."
        yield Advice(Severity.NOTE, "Columns that repeat another", text, "columns")
    if identifiers:
        text = f"{identifiers}: nearly every row has a value of its own."
        if read:
            text += f" A field reads {read}: a model can only learn it by heart."
        severity = Severity.CAREFUL if read else Severity.NOTE
        yield Advice(severity, "Columns that look like identifiers", text, "columns")


def _suspects(market: MarketFindings) -> Iterator[Advice]:
    origin = {field.name: field.origin for field in market.fields}
    for one in market.suspects:
        name = alias(one.field)
        remedy = f"write '{name}: null' in ingest.columns"
        if name not in market.prices:
            remedy += (
                ", or map it as newPrice if it is a list price when new; anything else that is "
                "known of any car before there is a price takes known: true in its rule"
            )
        text = (
            f"{name} (column {origin.get(name, '?')}) explains {percent(one.explained)} of how the "
            "prices of like cars differ. A value computed from the price does that. Training "
            f"will stop: {remedy}."
        )
        yield Advice(Severity.STOP, f"{name} knows the price", text, "suspicious")


def _known(market: MarketFindings) -> Iterator[Advice]:
    names = [name for name in market.known if name not in market.prices]
    if names:
        text = (
            f"{', '.join(names)}: learned from, however much it explains. Whoever asks must give "
            "what was known before there was a price."
        )
        yield Advice(Severity.NOTE, "Fields that are known of any car", text, "suspicious")


def _prices(market: MarketFindings, currency: str, rows: int) -> Iterator[Advice]:
    outliers, worst, price = market.outliers, market.outliers.largest_error, market.numbers[0]
    if market.has_one_price:
        text = f"Every listing asks {price.values[0]:,.0f} {currency}: there is nothing to learn."
        yield Advice(Severity.STOP, "All prices are equal", text, "distributions")
        return
    if worst is not None and worst.of_squared_error >= _HEAVY_SHARE and outliers.model_explodes:
        text = (
            f"The hedonic ridge expects {outliers.expected_of_largest:,.0f} {currency} for a "
            f"{worst.make} {worst.model} that asks {worst.price:,.0f}, which makes "
            f"{percent(worst.of_squared_error)} of its squared error over all {rows:,} cars. The "
            "car is not to blame where the ridge extrapolates: an age, distance or name that few "
            "others have. Compare models by MAPE, MdAPE, the share within ±10 % and RMSLE."
        )
        yield Advice(Severity.CAREFUL, "One estimate decides squared errors", text, "outliers")
    elif worst is not None and worst.of_squared_error >= _HEAVY_SHARE:
        text = (
            f"A {worst.make} {worst.model} at {worst.price:,.0f} {currency} makes "
            f"{percent(worst.of_squared_error)} of the squared error of the hedonic ridge "
            f"over all {rows:,} cars. R² and RMSE of raw prices jump with the fold that it falls "
            "into: compare models by MAPE, MdAPE, the share within ±10 % and RMSLE."
        )
        yield Advice(Severity.CAREFUL, "One car decides squared errors", text, "outliers")
    if price.skew >= _SKEWED:
        text = (
            f"Prices are skewed by {price.skew:.1f}, their logarithms by {outliers.log_skew:.2f}."
        ).replace("-", "−")
        yield Advice(Severity.NOTE, "Learn ln(price), not the price", text, "distributions")
    if far := outliers.far_below + outliers.far_above:
        title = "Prices far from what like cars cost"
        text = (
            f"{outliers.far_below:,} listings ask less than half, {outliers.far_above:,} more than "
            f"twice: {percent(far / rows)} of all. Deposits, damaged cars, typing errors, or "
            "something that no column tells."
        )
        yield Advice(_severity_of(far / rows), title, text, "outliers")


def _junk(market: MarketFindings, currency: str) -> Iterator[Advice]:
    told = [*market.junk.told(currency, distance_unit=None)]
    if told:
        text = (
            f"{'. '.join(told)}. They stay in the listings, and count neither in "
            "training nor in the figures; ingest.junk: believe has them count like all others."
        )
        title = f"{market.junk.rows:,} prices look like no car's price"
        severity = _severity_of(market.junk.rows / market.junk.of)
        yield Advice(severity, title, text, "outliers")


def _contradictions(market: MarketFindings) -> Iterator[Advice]:
    for one in market.contradictions:
        text = (
            f"{one.in_words()}. Mistyped or registered anew, or the price is of something else: an "
            "instalment, another currency, damage. A model learns that such cars cost so; correct "
            "these rows, or leave them out."
        )
        title = f"Prices of {one.field} {one.value} contradict those of like cars"
        yield Advice(Severity.CAREFUL, title, text, "outliers")


def _noise(market: MarketFindings) -> Iterator[Advice]:
    noise = market.noise
    if market.has_one_price:
        return
    if noise.mdape is None or noise.mape is None:
        text = (
            f"Only {noise.pairs:,} pairs of cars are alike in all that is known; thirty are needed "
            "to tell how much prices differ for no reason."
        )
        yield Advice(Severity.NOTE, "The noise floor is not known", text, "twins")
        return
    title = (
        f"Noise floor: like cars differ as by an MdAPE of {noise.mdape:.1f} %, "
        f"a MAPE of {noise.mape:.1f} %"
    )
    text = (
        f"That is the error of a model that knew what each car is worth, estimated from "
        f"{noise.pairs:,} pairs of cars alike in every mapped field but color, equipment and up to "
        "10 % of distance. It is no limit; but a model with half of it has learned from a column "
        "that knows the price."
    )
    yield Advice(Severity.CAREFUL if noise.mdape >= 15 else Severity.NOTE, title, text, "twins")


def _copies(findings: Findings, repeats: Repeats) -> Iterator[Advice]:
    share = repeats.listings / findings.rows_kept
    if share >= _RELISTED_SHARE:
        title = f"{repeats.listings:,} listings are of {repeats.repeated:,} cars listed repeatedly"
        text = (
            f"{percent(share)} of the listings equal another in all but price, day and region, or "
            f"have its id: {repeats.cars:,} cars differ. "
        )
        text += (
            "With ingest.repeats: ignore a split puts such a car on both sides, and the test then "
            "flatters the model."
            if repeats.rule == "ignore"
            else "All listings of a car are on one side of the split, so that figures are those "
            "of cars that the model has not seen."
        )
        yield Advice(_severity_of(share), title, text, "twins")
    if repeats.under_other_ids:
        title = f"{repeats.under_other_ids:,} listings equal another but for their id"
        text = (
            "The same car, distance and all else under several ids. If the column is a listing's "
            "number and not a car's, leave id out of ingest.columns."
        )
        yield Advice(Severity.CAREFUL, title, text, "twins")


def _gaps(market: MarketFindings, rows: int) -> Iterator[Advice]:
    missing = {field.name: field.missing / rows for field in market.fields}
    for name, severity, why in (
        (
            "odometer",
            Severity.CAREFUL,
            "what a car has driven is worth a lot, and every range will be wide",
        ),
        ("variant", Severity.NOTE, "trims of one model are priced alike"),
        ("fuelType", Severity.NOTE, "petrol, diesel and electric cars are priced alike"),
    ):
        if missing[name] == 1:
            yield Advice(severity, f"No {name}", f"No listing has one: {why}.", "missing")
    often = ", ".join(
        f"{name} {percent(share)}" for name, share in missing.items() if _LARGE_SHARE <= share < 1
    )
    if often:
        text = f"{often}. The model has to do without them there."
        yield Advice(Severity.NOTE, "Often missing", text, "missing")


def _names(market: MarketFindings) -> Iterator[Advice]:
    if any(one.name == "make" and one.distinct == 1 for one in market.categories):
        text = "A model of these listings prices no other make; any other is unseen to it."
        yield Advice(Severity.CAREFUL, "One make only", text, "relations")
    rare, models = market.rare_models
    if rare >= _LARGE_SHARE * models and models > 1:
        unseen = "; ".join(
            f"{percent(share)} of a random test split's rows have a {name} that no training row has"
            for name, share in market.unseen.items()
            if share >= _UNSEEN_SHARE
        )
        text = "What a rare name is worth must be borrowed from its make."
        if unseen:
            text = f"{unseen[0].upper()}{unseen[1:]}. {text}"
        title = f"{rare:,} of {models:,} models have fewer than five cars"
        yield Advice(Severity.NOTE, title, text, "relations")


def _dates(drift: Drift, valuation_date: str) -> Iterator[Advice]:
    if drift.verdict is DriftVerdict.NO_DATES:
        text = (
            f"Every price is taken to be one of {valuation_date}. Whether prices move cannot be "
            "told, and a split by time is not possible."
        )
        yield Advice(Severity.NOTE, "No dates", text, "drift")
    elif drift.verdict is DriftVerdict.TOO_FEW:
        text = f"{drift.dated:,} dated listings from {drift.first} to {drift.last} are too few."
        yield Advice(Severity.NOTE, "Drift cannot be told", text, "drift")
    else:
        severity, title = {
            DriftVerdict.NO_DRIFT: (Severity.CAREFUL, "No drift over its dates: are they real?"),
            DriftVerdict.DRIFT: (Severity.CAREFUL, "Prices drift over time"),
            DriftVerdict.STEADY: (Severity.NOTE, "Prices are steady over time"),
        }[drift.verdict]
        yield Advice(severity, title, drift_in_words(drift), "drift")


def drift_in_words(drift: Drift) -> str:
    """Write how prices move over the dates, or why dates without drift may be invented."""
    text = (
        f"From {drift.first} to {drift.last}, cars of one model year and distance change their "
        f"price by {change(drift.slope)} a year"
    )
    ageing = f"a year of age costs like cars {percent(-np.expm1(-(drift.loss or 0.0)))}"
    if drift.verdict is DriftVerdict.NO_DRIFT:
        low, high = map(change, drift.between)
        text += f" (95 %: {low} to {high}){f', although {ageing}' if drift.loss else ''}. "
        text += (
            f"Months differ no more than by chance (p = {drift.p_value:.2f}) and explain "
            f"{percent(drift.explained)} of what is left of the price. "
        )
        if drift.evenness < _UNEVEN:
            text += "The days of the listings look drawn at random: no weekends, no batches. "
        return text + (
            "If the dates are invented, neither a split by time nor a trend means anything."
        )
    if drift.market is not None:
        text += f", while {ageing}: the market itself about {change(drift.market)} a year"
    text += (
        f". Around that trend, months scatter by {percent(drift.apart)} more than chance makes "
        "them."
        if drift.apart >= _MONTH_SCATTER
        else ". Months follow that trend."
    )
    if drift.verdict is DriftVerdict.DRIFT:
        text += " Test on the newest listings (ingest.split.method: time) and train anew often."
    return text
