"""Try a proposal on the rows that it was made of, as ingest reads them, and mend what it can."""

from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.errors import InputError
from carprice.listings.car_ids import CarIds
from carprice.listings.cars import car_digests
from carprice.listings.cells import as_text
from carprice.listings.cleaning import (
    Counts,
    clean,
    default_price_range,
    find_valuation_date,
)
from carprice.listings.column_map import MappedChunk, map_chunks
from carprice.listings.mapping.layout import Opened
from carprice.listings.mapping.proposal import PLACEHOLDER, Proposal
from carprice.listings.plausibility import refuse_implausible
from carprice.schema import CAR_ID, FIELDS, PRICE, REQUIRED, alias
from carprice.settings import IngestSettings

ORDER: Final = tuple(dict.fromkeys((PRICE, *REQUIRED, *FIELDS, CAR_ID)))
"""The fields as a params file names them."""
_MOST_KEPT: Final = 0.95
_ROUNDS: Final = 6
_MOST_MARKS: Final = 12
_STAND_INS: Final = {PRICE: 10_000, "make": "?", "model": "?", "year": 2015}
"""What is read for a field without a column, so that the others can be tried."""


def ingest_keys(proposal: Proposal, opened: Opened, source: str) -> dict[str, Any]:
    """Return what the section ``ingest`` of params.yaml says of a proposal."""
    keys: dict[str, Any] = {"source": source, **opened.keys}
    keys["units"] = {"currency": proposal.currency or "XXX", "distance": proposal.distance}
    if proposal.decimal:
        keys["decimal"] = proposal.decimal
    keys["columns"] = {
        alias(name): _short(proposal.rules[name]) for name in ORDER if name in proposal.rules
    }
    return keys


def _short(rule: dict[str, Any] | None) -> dict[str, Any] | str | None:
    return rule["from"] if rule is not None and rule.keys() == {"from"} else rule


def try_out(proposal: Proposal, opened: Opened, source: str) -> None:
    """Read the first rows by a proposal; note and mend what cannot be read."""
    for _ in range(_ROUNDS):
        settings = _runnable(proposal, opened, source)
        try:
            mapped = [one for _, one in map_chunks(opened.chunks, settings, price_required=True)]
        except InputError as error:
            proposal.hints.append(f"? as it stands, a run would be refused: {error}")
            return
        mended = [_mend(name, proposal, mapped, settings) for name in _unread(mapped)]
        if True not in mended:
            break
    for name in _unread(mapped):
        _tell(name, proposal, mapped)
    if all(name in proposal.rules for name in _STAND_INS):
        frame = pd.concat([one.frame for one in mapped], ignore_index=True)
        if CAR_ID not in proposal.rules:
            _find_id(proposal, frame, opened)
        _tell_kept(proposal, frame, settings)


def _find_id(proposal: Proposal, frame: pd.DataFrame, opened: Opened) -> None:
    """Take a column that seems to name cars for their id."""
    car_ids = CarIds()
    car_ids.add(opened.frame[[name for name in proposal.ignored if name in opened.frame]])
    if found := car_ids.best(frame, car_digests(frame)):
        proposal.rules[CAR_ID] = {"from": found.name}
        proposal.doubt(CAR_ID, f"names a car, not a listing? {found.in_words()}")
        proposal.ignored.remove(found.name)


def _tell_kept(proposal: Proposal, frame: pd.DataFrame, settings: IngestSettings) -> None:
    """Note what of the rows would be rejected, or why all of them would be."""
    counts = Counts()
    rules = {name: rule for name, rule in settings.columns.items() if rule is not None}
    try:
        if not _is_asked_for_currencies(proposal):
            refuse_implausible(frame, settings, "as it stands, a run would be refused", rules)
        prices = default_price_range(frame[PRICE])
        day = find_valuation_date(frame)
        kept = clean(frame, day, prices, settings.units.distance, counts)
    except InputError as error:
        proposal.hints.append(f"? {error}")
        return
    if len(kept) < _MOST_KEPT * len(frame):
        reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in counts.rejected.most_common())
        proposal.hints.append(f"? of {len(frame):,} rows {len(kept):,} would be kept: {reasons}")


def _is_asked_for_currencies(proposal: Proposal) -> bool:
    """Whether prices are not known before somebody says what currencies are worth."""
    return PLACEHOLDER in ((proposal.rules.get(PRICE) or {}).get("currencies") or {}).values()


def _runnable(proposal: Proposal, opened: Opened, source: str) -> IngestSettings:
    keys = ingest_keys(proposal, opened, source)
    columns = keys["columns"]
    for name, value in _STAND_INS.items():
        columns.setdefault(alias(name), {"constant": value})
    columns.setdefault("odometer", None)
    price = columns["price"]
    if isinstance(price, dict) and "currencies" in price:
        factors = {
            name: 1 if one == PLACEHOLDER else one for name, one in price["currencies"].items()
        }
        columns["price"] = {**price, "currencies": factors}
    return IngestSettings.model_validate(keys)


def _unread(mapped: list[MappedChunk]) -> list[str]:
    return [*dict.fromkeys(name for one in mapped for name in one.unreadable)]


def _values(name: str, mapped: list[MappedChunk]) -> pd.Series:
    """Return the values of a field that cannot be read, and in how many rows each is."""
    found = [one.raw_unreadable[name] for one in mapped if name in one.raw_unreadable]
    return pd.concat(found).map(as_text).value_counts()


def _mend(
    name: str, proposal: Proposal, mapped: list[MappedChunk], settings: IngestSettings
) -> bool:
    """Take marks of missing values for missing, or leave a field out; False if nothing is done."""
    rows = sum(len(one.frame) for one in mapped)
    values = _values(name, mapped)
    allowed = settings.max_unreadable * rows
    rule = proposal.rules.get(name)
    if int(values.sum()) <= allowed or (name in proposal.rules and rule is None):
        return False
    marks = values.index[:_MOST_MARKS]
    rest = int(values.iloc[_MOST_MARKS:].sum())
    if rule is not None and "values" not in rule and rest <= allowed and "flags" not in rule:
        proposal.rules[name] = {**rule, "values": dict.fromkeys(map(str, marks))}
        proposal.doubt(
            name, f"{int(values.sum() - rest):,} of {rows:,} rows were taken for missing"
        )
        return True
    if name in _STAND_INS or name == "odometer":
        return False
    proposal.rules[name] = None
    share = int(values.sum()) / rows
    proposal.doubt(name, f"left out: {share:.0%} cannot be read, such as {values.index[0]!r}")
    return True


def _tell(name: str, proposal: Proposal, mapped: list[MappedChunk]) -> None:
    rows, values = sum(len(one.frame) for one in mapped), _values(name, mapped)
    count = int(np.sum(values))
    proposal.doubt(name, f"{count:,} of {rows:,} rows cannot be read, such as {values.index[0]!r}")
