"""What a look at a model in use may find, made by hand: with hostile names, gaps and intervals."""

from carprice.monitoring.checks import Cause, Chart, Check, Level, Monitored, Table

HOSTILE = "<script>alert('Kia')</script>&\"\u202e"
"""A make's name that someone sent."""
_MONTHS = [f"2026-{month:02}" for month in range(1, 10)]


def found(level: Level = Level.RETRAIN, cause: Cause = Cause.DECAY) -> Monitored:
    """Return what was found; the verdict and one check are of the level that is asked for."""
    checks = (
        Check(
            "unseen_makes",
            "input",
            Level.LOOK,
            f"2.1 % of 12,345 requests name a make that training had not, such as {HOSTILE}; "
            "training's own rate is 0.3 %.",
            {"share": 2.1, "interval": [1.8, 2.4]},
        ),
        Check("out_of_range", "input", Level.FINE, "0.4 % of the odometers are out of range."),
        Check(
            "level",
            "market",
            Level.FINE,
            "Like cars cost 1.2 % less than the model says (standard error 0.7 %).",
            {"shift_percent": -1.2, "standard_error": 0.007, "interval": [-2.6, 0.2]},
        ),
        Check(
            "errors_of_outcomes",
            "model",
            level,
            "Of 1,204 sales the median error is 12.1 % [11.4, 12.9], at training it was 8.4 %.",
            {"bias": -2.4, "mdape": 12.1, "within_10": 44.0, "coverage": 81.5},
        ),
    )
    return Monitored(
        cause=cause,
        level=level,
        why=(
            "The median error of 1,204 sales is 12.1 % [11.4, 12.9], beside 8.4 % at training.",
            f"The market's level explains 1.2 % of it; {HOSTILE} errs most.",
        ),
        checks=checks,
        charts=(_shares(), _level(), _error(), _nothing()),
        facts={
            "model_version": "7",
            "model_digest": "3f" * 32,
            "answers": 12_345,
            "outcomes": 1_204,
            "fresh_listings": None,
            "first_day": "2026-01-02",
            "last_day": "2026-09-28",
        },
    )


def _shares() -> Chart:
    rows = [
        ("Maruti Suzuki", 31.0, 30.2, 31.8, 34.5),
        (HOSTILE, 2.1, 1.8, 2.4, 0.0),
        ("Mercedes-Benz of the long name", 12.3, 11.8, 12.8, 9.1),
        ("Škoda", 4.4, None, None, 4.3),
        ("none of them", None, None, None, 1.0),
    ]
    table = Table(("make", "share", "from", "to", "in training"), rows)
    title = "Shares of makes among the requests"
    return Chart(
        *("makes", "input", title, "bar", table, "share", "from", "to"),
        reference="in training",
        unit="%",
    )


def _level() -> Chart:
    rows = [
        (month, -0.3 * place, -0.3 * place - 0.8, -0.3 * place + 0.8)
        for place, month in enumerate(_MONTHS)
    ]
    table = Table(("month", "level", "from", "to"), rows)
    return Chart(
        *("level", "market", "Level of fresh listings against the model", "line", table),
        *("level", "from", "to"),
        reference=0.0,
        unit="%",
    )


def _error() -> Chart:
    rows: list[tuple[str | float | None, ...]] = []
    for version, start, months in (("version 6", 8.0, _MONTHS[:5]), ("version 7", 9.0, _MONTHS)):
        for place, month in enumerate(months):
            value = None if month == "2026-04" else start + 0.4 * place
            ends = (None, None) if value is None else (value - 0.9, value + 1.1)
            rows.append((month, version, value, *ends, 8.4))
    table = Table(("month", "version", "MdAPE", "from", "to", "at training"), rows)
    return Chart(
        *("error", "model", "Median error of sales, by month and version", "line", table, "MdAPE"),
        *("from", "to", "version"),
        reference="at training",
        unit="%",
    )


def _nothing() -> Chart:
    table = Table(("age band", "coverage"), [])
    title = "Coverage of the range, by age"
    return Chart("coverage", "model", title, "bar", table, "coverage", unit="%")
