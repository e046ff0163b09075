"""The challenger beside production: what is known of it, and what is done about it.

Two contests there may be at a time: the version under ``challenger`` against production, and
production, if a challenge brought it there, against the version before. Nothing is written but by
:func:`act`.
"""

import contextlib
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from carprice.arrays import Progress, quiet
from carprice.errors import CorruptModelError, InputError
from carprice.model import PriceModel
from carprice.monitoring.challenge import Decision, Served, Step, decide, to_json, watch
from carprice.monitoring.pairs import COUNTED, NO_PAIRS, Pairs, paired, served
from carprice.monitoring.records import LISTED, OBSERVED_ON, SOURCE
from carprice.monitoring.sequential import Difference, end_of_steps
from carprice.registry.challenge import (
    CHALLENGER_SINCE,
    beaten_by,
    clear,
    drop,
    go_back,
    since_of,
    win,
)
from carprice.registry.promotion import champion_of, finish
from carprice.registry.versions import (
    CHALLENGER,
    PRODUCTION,
    Registry,
    Version,
    production_version,
)
from carprice.settings import ChallengeSettings, Settings

_DAY: Final = datetime.timedelta(days=1)
_NEVER: Final = datetime.datetime.fromtimestamp(0, datetime.UTC)
_WITHOUT_LISTINGS: Final = 3 * _DAY
"""How long after a challenge began its first listing may be: a weekend."""


@dataclass(frozen=True)
class Evidence:
    """What was answered and what was seen, as :mod:`carprice.monitoring.observations` has it."""

    log: pd.DataFrame = field(default_factory=pd.DataFrame)
    observed: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class Contest:
    """A newer model against an older one, and what it comes to.

    Attributes
    ----------
    older, newer : production and challenger; or the version before production, and production.
    since : when the evidence begins.
    found : how the errors of the newer one differ from those of the older.
    by_source : the same of sales and of fresh listings alone.
    left_out : how many observations do not count, by why.
    notes : what else is to be said of them.
    is_watch : whether it is about production, and the version before it.
    """

    older: Version
    newer: Version
    since: datetime.datetime
    decision: Decision
    found: Difference
    by_source: dict[str, Difference]
    served: Served
    left_out: dict[str, int]
    notes: tuple[str, ...] = ()
    is_watch: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            "kind": "watch" if self.is_watch else "challenge",
            "newer": {"version": self.newer.number, "digest": self.newer.digest},
            "older": {"version": self.older.number, "digest": self.older.digest},
            "since": self.since.isoformat(timespec="seconds"),
            **to_json(self.decision, self.found, self.served),
            "bySource": {
                name: to_json(self.decision, one, self.served)["difference"]
                for name, one in self.by_source.items()
            },
            "leftOut": self.left_out,
            "notes": [*self.notes],
        }


def contests(
    registry: Registry,
    settings: Settings,
    cache: Path,
    evidence: Callable[[], Evidence],
    now: datetime.datetime,
    progress: Progress = quiet,
) -> list[Contest]:
    """Return what there is to decide; the one about production first. None where nothing is tried.

    Parameters
    ----------
    cache : folder of models that were fetched before.
    evidence : is asked for log and observations only where there is a contest.

    Raises
    ------
    NoProductionModelError
        If nothing is in production.
    InputError
        If the fresh listings begin after what is to be decided: earlier looks had more.
    CorruptModelError
        If the bytes of production are damaged: then nothing can be compared.
    """
    production, challenger = production_version(registry), registry.at(CHALLENGER)
    if challenger is not None and challenger.digest == production.digest:
        challenger = None  # a command that was broken off left it
    before, limits = beaten_by(registry, production), settings.challenge
    since, last = since_of(production) or _NEVER, now.astimezone(datetime.UTC)
    if (last - since) / _DAY >= limits.watch_days:
        before = None  # it was watched, and stays
    if before is None and challenger is None:
        return []
    progress("reading log, outcomes and listings")
    seen, found = evidence(), []
    progress("pricing what was seen")

    def load(version: Version) -> PriceModel:
        return PriceModel.load(registry.fetch(version, cache))

    champion = load(production)
    until = end_of_steps(last.date(), limits.step_days)
    learned_until = champion.market.valuation_date
    if before is not None:
        _must_reach_back(seen.observed, max(since.date(), learned_until))
        with contextlib.suppress(CorruptModelError):  # there is nothing to go back to
            pairs = paired(load(before), champion, seen.observed, since.date(), until)
            decision = watch(pairs.difference(limits), limits)
            contest = _contest(before, production, since, decision, pairs, Served(), limits)
            found.append(replace(contest, is_watch=True))
    if challenger is not None:
        since = max(since, since_of(challenger, CHALLENGER_SINCE) or _NEVER)
        _must_reach_back(seen.observed, max(since.date(), learned_until))
        told = served(seen.log, production.digest, challenger.digest, since)
        passed = (last - since) / _DAY
        try:
            pairs = paired(champion, load(challenger), seen.observed, since.date(), until)
            decision = decide(pairs.difference(limits), told, limits, passed)
        except (CorruptModelError, InputError) as error:
            pairs, decision = NO_PAIRS, Decision(Step.DROP, f"it cannot be tried: {error}")
        if decision.step is Step.PROMOTE and challenger.tags.get("gate_champion") != champion_of(
            production
        ):
            decision = _not_judged(decision, passed < limits.longest_days)
        found.append(_contest(production, challenger, since, decision, pairs, told, limits))
    return found


def _contest(
    older: Version,
    newer: Version,
    since: datetime.datetime,
    decision: Decision,
    pairs: Pairs,
    told: Served,
    limits: ChallengeSettings,
) -> Contest:
    by_source = {name: pairs.difference(limits, name) for name in COUNTED}
    found, left_out = pairs.difference(limits), dict(pairs.left_out)
    return Contest(older, newer, since, decision, found, by_source, told, left_out, pairs.notes)


def _must_reach_back(observed: pd.DataFrame, first: datetime.date) -> None:
    """Refuse fresh listings that do not begin with what is to be decided, such as the last week's.

    What holds at all times of looking together holds where each look has all that those before had.
    """
    days = pd.to_datetime(observed.loc[observed[SOURCE] == LISTED, OBSERVED_ON])
    if len(days) and days.min() > pd.Timestamp(first + _WITHOUT_LISTINGS):
        raise InputError(
            f"the fresh listings begin on {days.min():%Y-%m-%d}, and what is to be decided on "
            f"{first}: each look needs all that the looks before had; name listings that are kept "
            "since then, those too that are no longer offered, or leave --listings out"
        )


def _not_judged(decision: Decision, is_in_time: bool) -> Decision:
    """Return what becomes of a challenger that is better than what came to production meanwhile."""
    step = Step.WAIT if is_in_time else Step.DROP
    told = "but the gate compared it with another production model; run `carprice register` again"
    return Decision(step, f"{decision.why}, {told}")


def settle(registry: Registry, say: Progress = quiet) -> None:
    """Finish what was broken off: promotions, rollbacks, and the alias of a challenger that won."""
    finish(registry, say)
    production, challenger = registry.at(PRODUCTION), registry.at(CHALLENGER)
    if production and challenger and challenger.number == production.number:
        clear(registry, challenger)


def act(
    registry: Registry,
    contest: Contest,
    settings: Settings,
    now: datetime.datetime,
    say: Progress = quiet,
) -> str:
    """Do what was decided; return what was done, in one sentence.

    Raises
    ------
    RefusedError
        If the registry does not allow it: the version may not go to production, or that is not any
        more what it was when it was decided.
    """
    newer, older, why = contest.newer, contest.older, contest.decision.why
    match contest.decision.step:
        case Step.PROMOTE:
            win(registry, newer, older, now, f"challenge: {why}", settings.register_, say)
            return f"Version {newer.number} is in production."
        case Step.DROP:
            drop(registry, newer, now, why)
            return f"Version {newer.number} is no challenger any more."
        case Step.GO_BACK:
            back = go_back(registry, newer, now, f"after its challenge: {why}", say)
            return f"Version {back.number} is in production again."
    return ""


def next_of(found: Sequence[Contest]) -> Contest | None:
    """Return the contest of which something is to be done first; None where all is to wait."""
    return next((one for one in found if one.decision.step is not Step.WAIT), None)
