"""The model card: what a model is, was made of, can do and cannot; every figure is computed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from carprice.model import DEFAULT_CONFIDENCE, PriceModel
from carprice.model_tests.figures import Figures
from carprice.model_tests.outcomes import Outcome, Verdict
from carprice.registry.versions import Version
from carprice.schema import REQUIRED, alias
from carprice.settings import GateSettings

_WORST: Final = 5
_SHOWN_MAKES: Final = 20
_SHOWN_NUMBERS: Final = {
    "age": "age, years",
    "odometer": "distance",
    "ownership": "owner",
    "litres": "engine, litres",
    "power_bhp": "power, bhp",
    "seats": "seats",
    "cylinders": "cylinders",
}
_MARKUP: Final = re.compile(r"([\\`*_\[\]<>|~&]|:(?=//)|^[#+-])")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")
_RESULTS: Final = {
    Verdict.PASSED: "passed",
    Verdict.FAILED: "**failed**",
    Verdict.NOT_RUN: "**not run**",
}

Lines = list[str]


@dataclass(frozen=True)
class Subject:
    """A version of the registry, and what is known of it.

    Attributes
    ----------
    name : of the registered model.
    model, libraries : its folder, and the versions of the libraries that made it; None where its
        bytes are wrong.
    figures : measured on the test listings; None where they could not be had.
    report : what ingest reported of the same data; None where that is not to be had.
    parameters : of the run that made it.
    """

    name: str
    version: Version
    outcomes: Sequence[Outcome]
    gate: GateSettings
    model: PriceModel | None = None
    libraries: Mapping[str, str] | None = None
    figures: Figures | None = None
    report: Mapping[str, Any] | None = None
    parameters: Mapping[str, str] | None = None


def model_card(subject: Subject) -> str:
    """Return the card as Markdown."""
    sections = (
        _head(subject),
        _purpose(subject),
        _data(subject),
        _figures(subject),
        _segments(subject),
        _ranges(subject),
        _limits(subject),
        _lineage(subject),
        _tests(subject),
        _gate(subject),
    )
    return "\n".join(line for section in sections for line in [*section, ""]).rstrip() + "\n"


def plain(value: object) -> str:
    r"""Return a text of the data such that Markdown shows it as it is, on one line.

    Examples
    --------
    >>> print(plain("<b>|a_b https://example.com"))
    \<b\>\|a\_b https\://example.com
    """
    return _MARKUP.sub(r"\\\1", _CONTROL.sub(" ", str(value)))


def _head(subject: Subject) -> Lines:
    failed = sum(one.verdict is not Verdict.PASSED for one in subject.outcomes)
    total = len(subject.outcomes)
    verdict = (
        f"**{failed} of {total} model tests not passed.**"
        if failed
        else (f"All {total} model tests passed.")
    )
    return [f"# Model card: {plain(subject.name)}, version {subject.version.number}", "", verdict]


def _purpose(subject: Subject) -> Lines:
    needed = ", ".join(f"`{alias(field)}`" for field in REQUIRED)
    lines = ["## What it is for", ""]
    lines += [
        f"Tells what a used car is asked for in a listing, from {needed} and whatever else is "
        "known: a price, a range with its confidence, and warnings. It is a hedonic ridge with "
        "gradient-boosted trees on what the ridge leaves, and conformal ranges.",
    ]
    if subject.model is not None:
        market = subject.model.market
        lines += [
            "",
            f"Prices are in {plain(market.currency)}, distances in {plain(market.distance_unit)}; "
            f"a listing without a date of its own is valued for {market.valuation_date}.",
        ]
    return [
        *lines,
        "",
        "Not for: what a car sells for in the end, other markets or currencies, days far from the "
        "data's, damage and condition beyond the fields of a listing, loans or insurance without a "
        "person's look at the car.",
    ]


def _data(subject: Subject) -> Lines:
    report = subject.report
    if report is None:
        return ["## Data", "", "Ingest's report of this model's data is not to be had here."]
    read, kept = report["rows_read"], report["rows_kept"]
    facts = {
        "source": f"`{_code(report['source'])}`",
        "digest of the raw source": f"`{_code(report.get('raw_digest') or 'not recorded')}`",
        "digest of the listings": f"`{_code(report['data_digest'])}`",
        "rows read, kept": f"{read:,}, {kept:,}",
        "rows to learn from, to test on": f"{report['rows_train']:,}, {report['rows_test']:,} "
        f"({plain(report['split']['method'])} split)",
        "valuation date": plain(report["valuation_date"]),
        "days of the test listings": _days(subject.figures),
        "market": f"{plain(report['currency'])}, {plain(report['distance_unit'])}",
    }
    lines = ["## Data", "", *_table(("", ""), facts.items())]
    rejected = [(plain(reason), f"{rows:,}") for reason, rows in report["rejected"].items()]
    if rejected:
        lines += ["", *_table(("rejected rows", "rows"), rejected)]
    return lines


def _days(figures: Figures | None) -> str:
    if figures is None:
        return "not known"
    days = figures.test["listed_on"].dropna()
    if days.empty:
        return "no dates of their own"
    return f"{days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}"


def _figures(subject: Subject) -> Lines:
    head = ["## Figures", ""]
    figures, model = subject.figures, subject.model
    if figures is None or model is None:
        return [*head, "Not measured: see the tests below."]
    own, naive, validated = figures.measured.overall, figures.measured.naive, model.metrics
    rows = [
        (name, *(form.format(one[key]) if key in one else "–" for one in (own, naive, validated)))
        for name, key, form in (
            ("MAPE", "mape", "{:.2f} %"),
            ("MdAPE", "mdape", "{:.2f} %"),
            ("within ±10 %", "within_10", "{:.1f} %"),
            ("RMSLE", "rmsle", "{:.3f}"),
            (f"MAE, {plain(model.market.currency)}", "mae", "{:,.0f}"),
            ("R²", "r2", "{:.3f}"),
        )
    ]
    return [
        *head,
        f"On {len(figures.test):,} test rows that it did not learn from; beside a model that knows "
        "each model's median price only, and cross-validated on its own "
        f"{figures.rows_train:,} training rows.",
        "",
        *_table(("", "this model", "medians", "cross-validated"), rows),
    ]


def _segments(subject: Subject) -> Lines:
    if subject.figures is None:
        return []
    lines = ["## Figures by segment"]
    for kind, segments in subject.figures.measured.segments.items():
        rows = [(plain(name), *_segment(one)) for name, one in segments.items()]
        if kind == "make":
            largest = sorted(segments, key=lambda name: (-segments[name]["rows"], name))
            rows = [(plain(name), *_segment(segments[name])) for name in largest[:_SHOWN_MAKES]]
        name = kind.replace("_", " ")
        header = (name, "rows", "MAPE", "MdAPE", "within ±10 %", "90 % range covers")
        lines += ["", *_table(header, rows)]
        left_out = len(segments) - len(rows)
        if left_out:
            lines += ["", f"{left_out:,} makes of fewer rows are left out."]
    return lines


def _segment(one: Mapping[str, float]) -> tuple[str, ...]:
    return (
        f"{one['rows']:,.0f}",
        f"{one['mape']:.1f} %",
        f"{one['mdape']:.1f} %",
        f"{one['within_10']:.0f} %",
        f"{one['coverage']:.0f} %",
    )


def _ranges(subject: Subject) -> Lines:
    figures = subject.figures
    if figures is None:
        return []
    overall = figures.measured.overall
    rows = [
        (f"{100 * asked:g} %", f"{covered:.1f} %") for asked, covered in figures.covered.items()
    ]
    return [
        "## Ranges",
        "",
        *_table(("confidence asked for", "test prices inside"), rows),
        "",
        f"The {100 * DEFAULT_CONFIDENCE:g} % range is {overall['median_width']:.0f} % of the price "
        f"wide in the middle, {overall['mean_width']:.0f} % on average.",
    ]


def _limits(subject: Subject) -> Lines:
    lines = ["## Limits"]
    if subject.figures is not None:
        lines += ["", *_bullets(_what_segments_say(subject.figures, subject.gate))]
    if subject.model is not None:
        bounds = subject.model.trained_on
        rows = [
            (told, *map(_number, bounds[name]))
            for name, told in _SHOWN_NUMBERS.items()
            if name in bounds
        ]
        lines += ["", "Values outside of these are priced with a warning:", ""]
        lines += _table(("trained on", "least", "most"), rows)
        makes = subject.model.vocabulary.makes
        models = [variants for own in makes.values() for variants in own.values()]
        low, high = bounds["price"]
        lines += [
            "",
            f"It learned from prices of {_number(low)} to {_number(high)}, and knows "
            f"{len(makes):,} makes, {len(models):,} models and {sum(map(len, models)):,} variants; "
            "any other is priced like what it belongs to, on average, with a warning.",
        ]
    return lines


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def _what_segments_say(figures: Figures, gate: GateSettings) -> Iterable[str]:
    large = [
        (f"{kind.replace('_', ' ')} {name}", one)
        for kind, segments in figures.measured.segments.items()
        for name, one in segments.items()
        if one["rows"] >= gate.segment_rows
    ]
    worst = sorted(large, key=lambda pair: -pair[1]["mape"])[:_WORST]
    if worst:
        told = ", ".join(f"{plain(name)} ({one['mape']:.1f} %)" for name, one in worst)
        yield f"Largest MAPE of a segment of {gate.segment_rows} rows or more: {told}."
    least = sorted(large, key=lambda pair: pair[1]["coverage"])[:1]
    for name, one in least:
        yield f"The 90 % range covers least in {plain(name)}: {one['coverage']:.0f} %."
    unseen = figures.measured.segments["cars_of_model"].get("0")
    if unseen:
        yield (
            f"{unseen['rows']:,.0f} test cars are of models that it never saw: MAPE "
            f"{unseen['mape']:.1f} %, the 90 % range covers {unseen['coverage']:.0f} %."
        )
    else:
        yield "No test car is of a model that it never saw; what it does there is not measured."
    noise = figures.measured.noise
    if noise.mape is None:
        yield f"Only {noise.pairs} near-twins in the data: its own noise is not known."
    else:
        yield (
            f"Near-twins in the data differ so that no model can be better than a MAPE of "
            f"{noise.mape:.1f} % and an MdAPE of {noise.mdape:.1f} % ({noise.pairs:,} pairs)."
        )


def _lineage(subject: Subject) -> Lines:
    tags = subject.version.tags
    facts = {
        "version": str(subject.version.number),
        "digest": f"`{_code(tags.get('digest', ''))}`",
        "digest of the listings": f"`{_code(tags.get('data_digest', ''))}`",
        "digest of the raw source": f"`{_code(_raw_digest(subject))}`",
        "git commit": f"`{_code(tags.get('git_commit') or 'none')}`",
        "run": f"`{_code(subject.version.run or 'none')}`",
        "libraries": ", ".join(
            f"{plain(name)} {plain(version)}" for name, version in (subject.libraries or {}).items()
        ),
    }
    lines = ["## Lineage", "", *_table(("", ""), facts.items())]
    parameters = [
        (f"`{_code(name)}`", plain(value)) for name, value in (subject.parameters or {}).items()
    ]
    return [*lines, "", *_table(("parameter", "value"), parameters)] if parameters else lines


def _raw_digest(subject: Subject) -> str:
    reported = (subject.report or {}).get("raw_digest")
    return subject.version.tags.get("raw_digest") or reported or "not recorded"


def _tests(subject: Subject) -> Lines:
    rows = [
        (plain(one.suite), plain(one.name), _RESULTS[one.verdict], plain(one.message))
        for one in subject.outcomes
    ]
    return ["## Model tests", "", *_table(("of", "test", "result", "found"), rows)]


def _gate(subject: Subject) -> Lines:
    version = subject.version
    gate = version.tags.get("gate", "")
    verdict = {"accepted": "accepted it", "refused": "refused it"}.get(gate, "")
    lines = ["## Gate", "", f"The gate before staging {verdict or 'has not judged it'}."]
    if version.gate_reasons:
        lines += ["", *_bullets(map(plain, version.gate_reasons))]
    return lines


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Lines:
    return [
        f"| {' | '.join(header)} |",
        f"|{' --- |' * len(header)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _bullets(lines: Iterable[str]) -> Lines:
    return [f"- {line}" for line in lines]


def _code(text: object) -> str:
    """Return a text fit to stand between backticks in a table."""
    return _CONTROL.sub(" ", str(text)).replace("`", "'").replace("|", "\\|")
