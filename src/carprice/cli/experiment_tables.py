"""What the experiments' commands print."""

import math
from typing import TYPE_CHECKING

from rich.markup import escape

from carprice.cli.terminal import say, table

if TYPE_CHECKING:
    from carprice.experiments.comparison import ComparisonReport
    from carprice.experiments.ranking import Result
    from carprice.experiments.tuning_report import Search, TuningReport


def show_ranking(report: "ComparisonReport", metric: str, currency: str) -> None:
    """Print the ranking, what failed and why, and what the log of the price changes."""
    from carprice.experiments.pictures import title_of

    if report.resumed:
        say("Went on from where the same experiment was left.")
    error = title_of(metric, currency)
    rows, failed = [], []
    for row in report.ranking.to_dict("records"):
        name = escape(row["candidate"])
        if row["reason"]:
            failed.append((name, escape(row["reason"])))
            continue
        half = (row[f"{metric}_behind_high"] - row[f"{metric}_behind_low"]) / 2
        mark = " =" if row["as_good_as_the_best"] else ""
        rows.append(
            (
                name,
                f"{row[metric]:,.4g} ± {row[f'{metric}_se']:.2g}",
                "" if row["place"] == 1 else f"{_change(row[f'{metric}_behind'], half)}{mark}",
                f"{row['within_10']:.1f}",
                f"{row['fit_seconds']:.2g}",
            )
        )
    header = ("candidate", error, "behind the best", "±10 %", "fit s")
    table(
        "Mean over the folds ± standard error; behind the best ± 95 %, = where not told from it",
        header,
        rows,
    )
    if failed:
        table("Failed", ("candidate", "reason"), failed)
    targets = report.choices[report.choices["choice"] == "target"]
    if len(targets):
        changes = [
            (
                f"{row['all_else'].replace('/raw', '')}",
                _change(row["change"], (row["high"] - row["low"]) / 2),
                "" if row["distinct"] else "=",
            )
            for row in targets.to_dict("records")
        ]
        table(
            f"Log price instead of raw, change of {error}",
            ("all else", "change ± 95 %", ""),
            changes,
        )


def _change(mean: float, half: float) -> str:
    """Return a difference and half its interval, both to the second digit of that.

    Examples
    --------
    >>> _change(1.062, 0.47), _change(-0.0123, 0.0045), _change(12345.6, 789), _change(1.0, 0.0)
    ('+1.06 ± 0.47', '-0.0123 ± 0.0045', '+12,346 ± 789', '+1 ± 0')
    """
    decimals = max(0, 1 - math.floor(math.log10(half))) if half else 0
    return f"{mean:+,.{decimals}f} ± {half:,.{decimals}f}"


def show_study(report: "TuningReport", search: "Search") -> None:
    """Print how the best trial compares with the present values, and both."""
    counts, metric = report.counts, search.how.metric
    if report.resumed:
        say("Went on with the trials that the study had.")
    say(f"Study {report.name}: {counts['counted']} of {search.trials} trials.")
    if counts["others"]:
        say(f"{counts['others']} more are being run by other processes.")
    figures = [(f"best, trial {report.best_number}", _figure(report.best_result, metric))]
    if report.present_result is not None:
        figures.append(("present values", _figure(report.present_result, metric)))
    if report.gain is not None:
        half = (report.gain.high - report.gain.low) / 2
        mark = "" if report.gain.is_distinct else " ="
        figures.append(("gain ± 95 %", f"{report.gain.mean:.3g} ± {half:.2g}{mark}"))
    figures += [
        ("measured on all folds", str(counts["complete"])),
        ("pruned", str(counts["pruned"])),
        ("failed", str(counts["fail"])),
    ]
    table("Trials", ("", metric), figures)
    rows = [
        (name.removeprefix("train."), f"{report.present[name]:g}", f"{value:g}")
        for name, value in report.best.items()
    ]
    table("Values", ("parameter", "present", "best"), rows)


def _figure(result: "Result", metric: str) -> str:
    return f"{result.mean(metric):,.4g} ± {result.standard_error(metric):.2g}"
