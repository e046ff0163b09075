"""Pictures of an experiment, one PNG each."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from carprice.experiments.ranking import Ranked
from carprice.files import writing

if TYPE_CHECKING:
    from optuna import Study

_BLUE: Final = "#2b6cb0"
_GREY: Final = "#718096"
_LIGHT: Final = "#e2e8f0"
_UNITS: Final = {"mape": "MAPE, %", "mdape": "MdAPE, %", "rmsle": "RMSLE"}
_MUCH_QUICKER: Final = 0.5
_FEWEST_TRIALS: Final = 4
_SLICES: Final = 4
_LAYOUT: Final = {"figure.constrained_layout.use": True}
"""From the start: a colour bar made for another layout cannot be laid out so."""
_MARKS: Final = {"raw": "o", "log": "s"}


def title_of(metric: str, currency: str) -> str:
    """Return what an axis of an error is called.

    Examples
    --------
    >>> title_of("mape", "INR"), title_of("mae", "INR")
    ('MAPE, %', 'MAE, INR')
    """
    return _UNITS.get(metric, f"{metric.upper()}, {currency}")


def draw_error_and_time(ranked: Sequence[Ranked], metric: str, currency: str, path: Path) -> None:
    """Draw errors against the time of a fit; name the best, and what is much quicker."""
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    axes = figure.subplots()
    algorithms = [*dict.fromkeys(one.result.model.algorithm for one in ranked)]
    quickest = math.inf
    for one in ranked:
        model, seconds = one.result.model, one.result.mean("fit_seconds")
        axes.errorbar(
            seconds,
            one.result.mean(metric),
            yerr=one.result.standard_error(metric),
            fmt=_MARKS[model.target],
            color=f"C{algorithms.index(model.algorithm)}",
            markersize=7,
            alpha=0.85,
        )
        if seconds < _MUCH_QUICKER * quickest:
            quickest, place = seconds, (seconds, one.result.mean(metric))
            axes.annotate(model.name, place, (6, 6), textcoords="offset points", fontsize=8)
    axes.set(
        xscale="log", yscale="log", xlabel="seconds of one fit", ylabel=title_of(metric, currency)
    )
    axes.set_title(
        "Error against time; named: the best, and what is much quicker. ○ raw, □ log price"
    )
    _label(axes.xaxis, _steps(*axes.get_xlim()))
    _label(axes.yaxis, MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]).tick_values(*axes.get_ylim()))
    axes.grid(visible=True, color=_LIGHT)
    for number, name in enumerate(algorithms):
        axes.plot([], [], "s", color=f"C{number}", label=name)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def _label(axis: Axis, ticks: Sequence[float]) -> None:
    low, high = axis.get_view_interval()
    axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _steps(low: float, high: float) -> list[float]:
    """Return 1, 2, 5, 10, 20 … between two positive numbers.

    Examples
    --------
    >>> _steps(0.3, 6)
    [0.5, 1.0, 2.0, 5.0]
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = (float(f"{step}e{decade}") for decade in decades for step in (1, 2, 5))
    return [step for step in every if low <= step <= high]


def draw_ranking(ranked: Sequence[Ranked], metric: str, currency: str, path: Path) -> None:
    """Draw how far each candidate is behind the best, fold by fold, with 95 % intervals."""
    figure = Figure(figsize=(10, 1.5 + 0.3 * len(ranked)), layout="constrained")
    axes = figure.subplots()
    best = ranked[0].result
    for place, one in enumerate(ranked):
        colour = _BLUE if one.is_as_good else _GREY
        if one.behind is not None:
            apart = one.result.values(metric) - best.values(metric)
            axes.plot(apart, [place] * len(apart), "|", color=colour, markersize=9)
            axes.plot([one.behind.low, one.behind.high], [place] * 2, color=colour, linewidth=1.2)
            axes.plot(one.behind.mean, place, "o", color=colour, markersize=6)
        else:
            axes.plot(0, place, "D", color=_BLUE, markersize=6)
    axes.axvline(0, color=_GREY, linestyle="--", linewidth=1)
    names = [f"{one.result.name}  {one.result.mean(metric):,.4g}" for one in ranked]
    axes.set_yticks(range(len(ranked)), names, fontsize=8)
    axes.invert_yaxis()
    behind = sorted(abs(one.behind.mean) for one in ranked if one.behind is not None)
    linear = (behind[len(behind) // 2] if behind else 0.0) or 1.0  # of the middle model
    axes.set_xscale("symlog", linthresh=linear)
    steps = _steps(linear / 2, max(*map(abs, axes.get_xlim()), linear))
    _label(axes.xaxis, [-step for step in steps] + [0.0, *steps])
    axes.set_xlabel(f"{title_of(metric, currency)} more than {best.name}; | folds, – 95 % interval")
    axes.set_title("Behind the best; blue: the folds cannot tell it from the best")
    axes.grid(visible=True, axis="x", color=_LIGHT)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, format="png", dpi=90, metadata={"Software": None})


def draw_study(study: "Study", metric: str, out: Path) -> list[Path]:
    """Draw a study with Optuna's own plots: history, importances, slices; return the files.

    Importances and slices, of the parameters that matter most, need trials that differ.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from optuna.exceptions import ExperimentalWarning
    from optuna.importance import get_param_importances
    from optuna.trial import TrialState
    from optuna.visualization import matplotlib as plots

    files = []
    with warnings.catch_warnings(), plt.style.context(["default", _LAYOUT]):
        warnings.simplefilter("ignore", ExperimentalWarning)
        label = _UNITS.get(metric, metric.upper())
        plots.plot_optimization_history(study, target_name=label)
        files.append(_save_current(out / "history.png", (9, 5)))
        whole = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        values = {trial.value for trial in whole}
        if len(values) >= _FEWEST_TRIALS:
            importances = get_param_importances(study)
            plots.plot_param_importances(study, target_name=label)
            files.append(_save_current(out / "importances.png", (9, 6)))
            names = [*importances][:_SLICES]
            plots.plot_slice(study, params=names, target_name=label)
            files.append(_save_current(out / "slices.png", (3.2 * max(len(names), 2), 4.5)))
    return files


def _save_current(path: Path, inches: tuple[float, float]) -> Path:
    from matplotlib import pyplot as plt

    figure = plt.gcf()
    figure.set_size_inches(*inches)
    figure.set_layout_engine("constrained")
    for axes in figure.axes:
        if axes.get_xscale() == "log":
            _label(axes.xaxis, _steps(*axes.get_xlim()))
            axes.tick_params(axis="x", labelsize=8)
    with writing(path) as target:
        _save(figure, target)
    plt.close(figure)
    return path
