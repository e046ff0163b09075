"""Pictures of an experiment, one PNG each."""

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib import ticker
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from carprice.evaluation.fonts import drawable
from carprice.evaluation.plots import BLUE, GREY, write_png
from carprice.experiments.ranking import Ranking
from carprice.files import writing

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study

_LIGHT: Final = "#e2e8f0"
_UNITS: Final = {"mape": "MAPE, %", "mdape": "MdAPE, %", "rmsle": "RMSLE"}
_MUCH_QUICKER: Final = 0.5
_FEWEST_TRIALS: Final = 4
_SLICES: Final = 4
_LAYOUT: Final = {"figure.constrained_layout.use": True}
"""Set before a picture is begun: matplotlib cannot change the layout after a colour bar."""
_MARKS: Final = {"raw": "o", "log": "s"}
_TICKS: Final = (1.0, 2.0, 5.0)


def title_of(metric: str, currency: str) -> str:
    """Return the title of an axis that shows an error, with its unit.

    Examples
    --------
    >>> title_of("mape", "INR"), title_of("mae", "INR")
    ('MAPE, %', 'MAE, INR')
    """
    return _UNITS.get(metric, f"{metric.upper()}, {currency}")


def _axis_title(metric: str, currency: str) -> str:
    """Return the same for a picture, whose font may lack the currency's letters."""
    return title_of(metric, drawable(currency, "the market's currency"))


def draw_error_and_time(ranked: Ranking, metric: str, currency: str, path: Path) -> None:
    """Draw errors against the time of a fit; name the best, and what is twice as quick."""
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    axes = figure.subplots()
    algorithms = [*dict.fromkeys(one.model.algorithm for one, _ in ranked)]
    quickest = math.inf
    for one, _ in ranked:
        point = (one.mean("fit_seconds"), one.mean(metric))
        axes.errorbar(
            *point,
            yerr=one.standard_error(metric),
            fmt=_MARKS[one.model.target],
            color=f"C{algorithms.index(one.model.algorithm)}",
            markersize=7,
            alpha=0.85,
        )
        if point[0] < _MUCH_QUICKER * quickest:
            quickest = point[0]
            axes.annotate(one.name, point, (6, 6), textcoords="offset points", fontsize=8)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="seconds of one fit",
        ylabel=_axis_title(metric, currency),
    )
    axes.set_title(
        "Error against time; named: the best, and what is much quicker. ○ raw, □ log price"
    )
    _label(axes.xaxis, ticker.LogLocator(subs=_TICKS))
    _label(axes.yaxis, ticker.MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(visible=True, color=_LIGHT)
    for number, name in enumerate(algorithms):
        axes.plot([], [], "s", color=f"C{number}", label=name)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    write_png(figure, path, dpi=90)


def _label(axis: Axis, locator: ticker.Locator) -> None:
    axis.set_major_locator(locator)
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter("{x:,.6g}")


def draw_ranking(ranked: Ranking, metric: str, currency: str, path: Path) -> None:
    """Draw how far each model is behind the best, fold by fold, with 95 % intervals."""
    figure = Figure(figsize=(10, 1.5 + 0.3 * len(ranked)), layout="constrained")
    axes = figure.subplots()
    best = ranked[0][0]
    axes.plot(0, 0, "D", color=BLUE, markersize=6)
    for place, (one, behind) in enumerate(ranked[1:], start=1):
        colour = GREY if behind.is_distinct else BLUE
        differences = one.values(metric) - best.values(metric)
        axes.plot(differences, [place] * len(differences), "|", color=colour, markersize=9)
        axes.plot([behind.low, behind.high], [place] * 2, color=colour, linewidth=1.2)
        axes.plot(behind.mean, place, "o", color=colour, markersize=6)
    axes.axvline(0, color=GREY, linestyle="--", linewidth=1)
    names = [f"{one.name}  {one.mean(metric):,.4g}" for one, _ in ranked]
    axes.set_yticks(range(len(ranked)), names, fontsize=8)
    axes.invert_yaxis()
    threshold = float(np.median([behind.mean for _, behind in ranked])) or 1.0
    axes.set_xscale("symlog", linthresh=threshold)
    _label(axes.xaxis, ticker.SymmetricalLogLocator(base=10, linthresh=threshold, subs=_TICKS))
    axes.set_xlabel(
        f"{_axis_title(metric, currency)} more than {best.name}; | folds, – 95 % interval"
    )
    axes.set_title("Behind the best; blue: the folds cannot tell it from the best")
    axes.grid(visible=True, axis="x", color=_LIGHT)
    write_png(figure, path, dpi=90)


def draw_horizons(table: "pd.DataFrame", path: Path) -> None:
    """Draw errors and coverage by horizon, each with its interval over the origins.

    Parameters
    ----------
    table : of :func:`carprice.experiments.backtest.by_horizon`.
    """
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    errors, covered = figure.subplots(1, 2)
    for axes, names in ((errors, ("mape", "mdape")), (covered, ("coverage",))):
        for name, colour in zip(names, (BLUE, GREY), strict=False):
            reach = (table[f"{name}_high"] - table[name]).fillna(0)
            label = {**_UNITS, "coverage": "prices in the 90 % range, %"}[name]
            axes.errorbar(
                table["horizon"], table[name], yerr=reach, fmt="o-", color=colour, label=label
            )
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axes.set_xlabel("months after the last one that the model learned from")
        axes.grid(visible=True, color=_LIGHT)
        axes.legend(fontsize=8, loc="lower left")
    errors.set_ylim(bottom=0)
    covered.axhline(90, color=GREY, linestyle="--", linewidth=1)
    errors.set_title("Error by horizon; bars: 95 % over the origins")
    covered.set_title("What the range covers")
    write_png(figure, path, dpi=90)


def draw_study(study: "Study", metric: str, out: Path) -> list[Path]:
    """Draw a study with Optuna's own plots: history, importances, slices; return the files.

    Importances, and slices of the most important parameters, need trials of different errors.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from optuna.exceptions import ExperimentalWarning
    from optuna.importance import get_param_importances
    from optuna.trial import TrialState
    from optuna.visualization import matplotlib as plots

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    with warnings.catch_warnings(), plt.style.context(["default", _LAYOUT]):
        warnings.simplefilter("ignore", ExperimentalWarning)
        drawings: dict[str, Any] = {"history": (plots.plot_optimization_history, {}, (9, 5))}
        if len({trial.value for trial in complete}) >= _FEWEST_TRIALS:
            names = [*get_param_importances(study)][:_SLICES]
            width = 3.2 * max(len(names), 2)
            drawings["importances"] = (plots.plot_param_importances, {}, (9, 6))
            drawings["slices"] = (plots.plot_slice, {"params": names}, (width, 4.5))
        for name, (draw, options, inches) in drawings.items():
            draw(study, target_name=_UNITS.get(metric, metric.upper()), **options)
            figure = plt.gcf()
            figure.set_size_inches(*inches)
            figure.set_layout_engine("constrained")
            for axes in figure.axes:
                if axes.get_xscale() == "log":
                    _label(axes.xaxis, ticker.LogLocator(subs=_TICKS))
                    axes.tick_params(axis="x", labelsize=8)
            with writing(out / f"{name}.png") as path:
                write_png(figure, path, dpi=90)
            plt.close(figure)
    return [out / f"{name}.png" for name in drawings]
