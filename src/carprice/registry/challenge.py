"""The alias ``challenger``: which version is tried beside production, and how that ends.

A challenge is against the version in production. Its evidence begins when the challenger was set,
or when that version came to production, whichever was later. Every write may be done again: a
command that was broken off is run again, and ends as if it had not been.
"""

import datetime
from typing import Final

from carprice.arrays import Progress, quiet
from carprice.errors import RefusedError
from carprice.registry.promotion import (
    Happening,
    event_tag,
    events_of,
    finish,
    objections_to,
    promote,
    rollback,
    why_withdrawn,
)
from carprice.registry.record import SINCE
from carprice.registry.versions import (
    CHALLENGER,
    PREVIOUS,
    PRODUCTION,
    STAGING,
    Registry,
    Version,
    production_version,
)
from carprice.settings import RegisterSettings

CHALLENGER_SINCE: Final = f"{CHALLENGER}_since"
WON_AGAINST: Final = "challenge_won_against"
"""Tag of a version that a challenge brings to production: the digest that it was better than."""


def start(
    registry: Registry,
    now: datetime.datetime,
    why: str,
    number: int | None = None,
    settings: RegisterSettings | None = None,
    say: Progress = quiet,
) -> Version:
    """Point ``challenger`` at a version, the staging one by default; return it.

    One that is the challenger already stays so, since when it is. Another one gives way, which is
    recorded.

    Raises
    ------
    RefusedError
        If nothing is in production, or the version could not be promoted: the gate did not accept
        it beside production, it did not pass the model tests, its bytes are others, or it was
        withdrawn. Or if it is in production.
    """
    finish(registry, say)
    champion = registry.at(PRODUCTION)
    if champion is None:
        raise RefusedError(
            f"{registry.name} has nothing in production to challenge; run `carprice promote`"
        )
    version = registry.at(STAGING) if number is None else registry.numbered(number)
    if version is None:
        raise RefusedError(
            f"{registry.name} has no staging version; run the pipeline, or name a version"
        )
    if champion.digest == version.digest:
        raise RefusedError(f"version {version.number} of {registry.name} is in production itself")
    if objections := objections_to(registry, version, champion, settings):
        raise RefusedError(
            f"version {version.number} of {registry.name} does not challenge production: "
            f"{'; '.join(objections)}"
        )
    there = registry.at(CHALLENGER)
    if there is not None and there.number != version.number:
        drop(registry, there, now, f"version {version.number} challenges in its place")
    if there is None or there.number != version.number:
        registry.point(CHALLENGER, version.number, now)
    version = registry.numbered(version.number)
    since = since_of(version, CHALLENGER_SINCE) or now
    if not _is_told(version, Happening.CHALLENGING, since):
        registry.tag(version.number, event_tag(Happening.CHALLENGING, since, why))
    if withdrawn := why_withdrawn(registry.versions(), version):  # at the same time
        registry.clear(CHALLENGER)
        raise RefusedError(f"version {version.number} of {registry.name} was {withdrawn}")
    return version


def drop(registry: Registry, version: Version, now: datetime.datetime, why: str) -> None:
    """Record that a challenger is none any more, and clear the alias if it is still its."""
    since = since_of(version, CHALLENGER_SINCE) or now
    if not _is_told(version, Happening.CHALLENGER_DROPPED, since):
        registry.tag(version.number, event_tag(Happening.CHALLENGER_DROPPED, now, why))
    clear(registry, version)


def win(
    registry: Registry,
    challenger: Version,
    champion: Version,
    now: datetime.datetime,
    why: str,
    settings: RegisterSettings | None = None,
    say: Progress = quiet,
) -> Version:
    """Promote a challenger over the champion that it was better than; return it.

    Raises
    ------
    RefusedError
        As :func:`carprice.registry.promotion.promote` does, so also where another version came to
        production meanwhile: the gate compared the challenger with the champion.
    """
    finish(registry, say)
    standing = production_version(registry)
    if standing.number not in (challenger.number, champion.number):
        raise RefusedError(
            f"production of {registry.name} is version {standing.number} meanwhile, and not "
            f"version {champion.number} that version {challenger.number} was compared with"
        )
    registry.tag(challenger.number, {WON_AGAINST: champion.digest})
    promoted = promote(registry, now, why, settings, say, challenger.number)
    clear(registry, promoted)
    return promoted


def go_back(
    registry: Registry,
    champion: Version,
    now: datetime.datetime,
    why: str,
    say: Progress = quiet,
) -> Version:
    """Roll a champion back that proved worse than the one before it; return that one.

    Raises
    ------
    RefusedError
        As :func:`carprice.registry.promotion.rollback` does, and where production is another one.
    """
    return rollback(registry, now, why, say=say, only=champion.number)


def beaten_by(registry: Registry, champion: Version) -> Version | None:
    """Return the version that a challenge replaced by this champion; None if none did.

    Or where that one is not ``previous`` any more, or was withdrawn itself.
    """
    previous = registry.at(PREVIOUS)
    if previous is None or champion.tags.get(WON_AGAINST) != previous.digest:
        return None
    if previous.digest == champion.digest or why_withdrawn(registry.versions(), previous):
        return None
    return previous


def since_of(version: Version, tag: str = SINCE) -> datetime.datetime | None:
    """Return the moment that a tag of a version names; None if it names none."""
    try:
        return datetime.datetime.fromisoformat(version.tags[tag]).astimezone(datetime.UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def clear(registry: Registry, version: Version) -> None:
    """Clear the alias ``challenger`` where it is at this version."""
    there = registry.at(CHALLENGER)
    if there is not None and there.number == version.number:
        registry.clear(CHALLENGER)


def _is_told(version: Version, what: Happening, since: datetime.datetime) -> bool:
    return any(one.what is what and one.time >= since for one in events_of(version))
