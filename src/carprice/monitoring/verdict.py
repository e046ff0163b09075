"""The verdict: market, mix or decay, from all that is known of a model in use.

A market that moves takes all cars with it; a model that decays is wrong of some of them, or of all
of them more than it was; another mix of cars is neither, as long as like cars cost what they did.
"""

import datetime
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.arrays import Progress, quiet
from carprice.model import PriceModel
from carprice.model.reference import Reference, numbers_of
from carprice.monitoring import accuracy, inputs, level
from carprice.monitoring.checks import Cause, Chart, Check, Level, Monitored
from carprice.monitoring.inputs import Cars, Change
from carprice.monitoring.level import Market, Shift
from carprice.monitoring.observed import Observed, price_observations
from carprice.monitoring.records import LISTED
from carprice.settings import MonitorSettings

PARTS: Final = 6
"""Families of checks that share the false alarms: names and missing values, mix, level, segments
that stand apart, scatter, and what was answered. Any of them is wrong with the sum of their chances
at most."""
_SAMPLES: Final = 2
"""Answers and fresh listings, whose mixes are judged by themselves."""
_SEED: Final = 0

Finding = tuple[Level, Cause, str]
Findings = list[Finding]


def look(
    model: PriceModel,
    log: pd.DataFrame,
    observations: pd.DataFrame,
    settings: MonitorSettings,
    progress: Progress = quiet,
    today: datetime.date | None = None,
    left_out: Mapping[str, int] | None = None,
) -> Monitored:
    """Judge a model by what it answered, and by prices that were seen.

    Of both, the last ``settings.days`` days that there are are judged; charts show all. Prices are
    computed again with this model, on the day of each observed price.

    Parameters
    ----------
    log : answers, columns :data:`carprice.monitoring.records.ANSWER_COLUMNS` and the listing's
        fields; may be empty.
    observations : prices that were seen, :data:`carprice.monitoring.records.OBSERVATION_COLUMNS`
        and the listing's fields; may be empty.
    today : where no price was seen in the last ``settings.days`` days up to it, the verdict is of
        long ago, and only asks for a look.
    left_out : numbers of what does not count already, by reason.

    Returns
    -------
    Monitored
        Where a model folder has no reference, being one of before, less is judged.
    """
    random, chance = np.random.default_rng(_SEED), settings.false_alarms / PARTS
    checks: list[Check] = []
    charts: list[Chart] = []
    found: Findings = []
    progress("answers")
    answers = inputs.read_answers(model, log, settings.days)
    progress("observed prices")
    seen = price_observations(model, observations, settings)
    recent = seen.since(settings.days)
    fresh = _fresh(model, recent)
    progress("what comes in")
    reference = model.reference
    if reference is not None and len(answers) >= settings.fewest:
        mix = inputs.mix_of(model, reference, answers, random)
        others = inputs.told_of(model, reference, answers, random)
        sure = inputs.sure_changes(mix, settings, chance / _SAMPLES)
        # Half of the chance is for the warnings.
        sure_others = inputs.sure_changes(others, settings, chance / 2)
        both = (*mix, *others), (*sure, *sure_others)
        checks += inputs.input_checks(*both, answers, reference, settings, chance / 2)
        charts += inputs.input_charts(answers, reference)
        found += [_of_change(one, reference, "answers") for one in both[1]]
        if checks[-1].level is Level.LOOK:
            found.append((Level.LOOK, Cause.INPUT, checks[-1].told))
    if reference is not None and len(fresh) >= settings.fewest:
        mix = inputs.mix_of(model, reference, fresh, random)
        sure = inputs.sure_changes(mix, settings, chance / _SAMPLES)
        checks.append(inputs.mix_of_fresh(mix, sure, fresh, reference))
        found += [_of_change(one, reference, "fresh listings") for one in sure]
    has_input = max(len(answers), len(fresh)) >= settings.fewest
    is_judged = len(recent) >= settings.fewest
    if is_judged:
        progress("the market and the model")
        market = level.find_market(recent, model.reference, settings, chance)
        scatter, grown = accuracy.find_scatter(recent, market, model.reference, settings, chance)
        checks += level.level_checks(market, settings)
        checks += accuracy.model_checks(recent, scatter, grown, settings)
        found += _of_prices(market, grown, settings)
        answered = accuracy.answered_checks(recent, model.reference, settings, chance)
        checks += answered
        found += [(one.level, Cause.DECAY, one.told) for one in answered if one.level]
        charts += level.level_charts(seen, recent, model.reference)
        charts += accuracy.model_charts(seen, recent)
    cause, grade, why = _judged(found, is_judged, settings)
    why += _beside(model, recent, settings, is_judged, has_input)
    if is_judged and today and (old := _long_ago(recent, settings.days, today)):
        cause, grade, why = Cause.TOO_FEW, Level.LOOK, [old, *why]
    facts = _facts(model, answers, seen, recent)
    every = Counter(left_out or {}) + Counter(facts["left_out"])
    return Monitored(cause, grade, why, checks, charts, facts | {"left_out": dict(every)})


def _fresh(model: PriceModel, recent: Observed) -> Cars:
    """Return the cars that were listed."""
    rows = np.flatnonzero(np.array([one == LISTED for one in recent.source], dtype=bool))
    own = recent.take(rows)
    numbers = numbers_of(own.features, own.plain, model.market)
    return Cars(own.features, numbers, np.zeros(len(own)))


def _long_ago(recent: Observed, days: int, today: datetime.date) -> str:
    """Tell that no price was seen in so many days; empty where one was."""
    newest = recent.day.max()
    if newest > np.datetime64(today) - np.timedelta64(days, "D"):
        return ""
    return (
        f"no price was seen in the {days} days up to {today}, the newest is of {newest}: what "
        "follows is of then, and nothing to train again for; name newer listings with --listings, "
        "or tell outcomes"
    )


def _of_change(change: Change, reference: Reference, where: str) -> Finding:
    cause = Cause.MIX if change.what == "mix" else Cause.INPUT
    return Level.LOOK, cause, f"{where}: {inputs.told_change(change, reference)}"


def _of_prices(market: Market, grown: Sequence[Shift], settings: MonitorSettings) -> Findings:
    """Tell market and decay apart: the weightier comes first.

    A level counts without the segments that stand apart; what these weigh is how far they moved
    times their share of the cars.
    """
    found: Findings = []
    if market.rest_is_sure:
        is_grave = abs(market.rest.by) > settings.level
        told = (
            f"like cars cost {100 * math.expm1(market.rest.by):+.1f} % beside what the model says, "
            f"in all segments alike ({market.rest.rows:,} cars)"
        )
        if market.apart:
            told = told.replace("in all segments alike", "beside the segments that stand apart")
        found.append((Level.RETRAIN if is_grave else Level.LOOK, Cause.MARKET, told))
    decay: Findings = [
        (
            level.grade_of(one, settings),
            Cause.DECAY,
            f"{one.told}: {100 * math.expm1(one.by):+.1f} % beside all other cars "
            f"({one.rows:,} cars)",
        )
        for one in market.apart
    ]
    decay += [
        (
            accuracy.grade_of_scatter(one, settings),
            Cause.DECAY,
            f"prices of {one.told} scatter {100 * math.expm1(one.by):.0f} % more than in training "
            f"({one.rows:,} cars)",
        )
        for one in grown
    ]
    weight = max(
        (abs(one.by) * one.rows / max(market.whole.rows, 1) for one in market.apart), default=0.0
    )
    is_market = found and abs(market.rest.by) > weight
    return found + decay if is_market else decay + found


def _judged(
    found: Findings, is_judged: bool, settings: MonitorSettings
) -> tuple[Cause, Level, list[str]]:
    """Return the verdict: the gravest finding, of these the first; prices before the mix."""
    order = [*Level][::-1]
    kinds = (Cause.MARKET, Cause.DECAY), (Cause.MIX,), (Cause.INPUT,)
    for grade in order:
        for causes in kinds:
            own = [one for one in found if one[0] is grade and one[1] in causes]
            if own:
                told = [*own, *(one for one in found if one not in own)]
                return own[0][1], grade, [words for _, _, words in told]
    if not is_judged:
        few = f"fewer than {settings.fewest} observed prices in the last {settings.days} days"
        return Cause.TOO_FEW, Level.FINE, [f"{few}: market and model cannot be judged"]
    return Cause.NONE, Level.FINE, ["nothing differs from training by more than is put up with"]


def _beside(
    model: PriceModel,
    recent: Observed,
    settings: MonitorSettings,
    is_judged: bool,
    has_input: bool,
) -> list[str]:
    """Tell what could not be judged, and what to know of what was."""
    told = []
    if model.reference is None:
        told.append(
            "the model folder keeps no reference of training, being one of before: mix, segments "
            "and scatter are not judged until the model is trained again"
        )
    elif not has_input:
        told.append(f"fewer than {settings.fewest} cars came in: what comes in is not judged")
    is_mixed = settings.prices == "asked" and LISTED not in recent.source
    if is_judged and is_mixed and recent.gap is None:
        told.append(
            "prices that cars were sold for are compared with what was asked in training: what is "
            "negotiated counts as the market's level (askingPrice in requests parts them; if the "
            "model learned from sales, set monitor.prices: sold)"
        )
    return told


def _facts(model: PriceModel, answers: Cars, seen: Observed, recent: Observed) -> dict[str, Any]:
    days = [str(day) for day in ((seen.day.min(), seen.day.max()) if len(seen) else ())]
    judged = [str(day) for day in ((recent.day.min(), recent.day.max()) if len(recent) else ())]
    reference = model.reference
    return {
        "model_digest": model.digest,
        "trained_from": reference.first if reference else None,
        "trained_to": reference.last if reference else None,
        "training_cars": reference.rows if reference else None,
        "answers": answers.answers,
        "cars_answered": len(answers),
        "answers_from": answers.first,
        "answers_to": answers.last,
        "observed": len(seen),
        "outcomes": sum(one != LISTED for one in seen.source),
        "fresh_listings": sum(one == LISTED for one in seen.source),
        "observed_from": days[0] if days else None,
        "observed_to": days[1] if days else None,
        "judged": len(recent),
        "judged_from": judged[0] if judged else None,
        "judged_to": judged[1] if judged else None,
        "left_out": {**seen.left_out, "answers in another currency": answers.elsewhere},
    }
