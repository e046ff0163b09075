"""Columns beside prices, odometers, engines and power that tell their currencies and units."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pandas as pd

from carprice.errors import InputError
from carprice.listings.cells import Cells, as_text
from carprice.listings.notation import OWN_UNITS, is_nearly
from carprice.listings.numbers import FACTORS, codes_in_name, codes_of, unit_in_name, unit_of
from carprice.listings.remedies import flow, rule_of, written
from carprice.schema import PRICE, alias
from carprice.settings import ColumnRule, IngestSettings

_MOST_VALUES: Final = 50
_SHOWN: Final = 5
_LOOKED_AT: Final = 1000
_CURRENCY: Final = re.compile(
    r"curr|ccy|w[äa]hrung|devise|moneda|mon[eè]da|moeda|valut|waluta|m[ěe]na$|валют|货币|币|通貨|통화",
    re.IGNORECASE,
)
_UNIT: Final = re.compile(
    r"unit|uom|einheit|unité|unite|unidad|unidade|unità|jednot|enhet|eenheid|единиц|单位|単位|단위",
    re.IGNORECASE,
)


class UnitsBeside:
    """Counts, chunk by chunk, what columns that no field reads tell of currencies and units."""

    def __init__(self, settings: IngestSettings, *, price_required: bool) -> None:
        """Start without a column; listings to be priced need no price, nor its currency."""
        self._settings = settings
        fields = [*([PRICE] if price_required else []), "odometer", *OWN_UNITS]
        self._rows: dict[str, dict[str, Counter[str]]] = {name: {} for name in fields}
        self._has_words: set[str] = set()
        self._others: dict[str, set[str]] = {name: set() for name in fields}

    def add(
        self, raw: pd.DataFrame, ignored: Sequence[str], origin: Mapping[str, tuple[str, ...]]
    ) -> None:
        """Count the raw rows of a chunk.

        Parameters
        ----------
        ignored : the columns that no field reads.
        origin : the columns that each field was read from.
        """
        names = [*map(str, raw.columns)]
        for field, counts in self._rows.items():
            if not (read := origin.get(field)):
                continue
            if field not in self._has_words and _has_words(raw[read[0]]):
                self._has_words.add(field)
            for name in ignored:
                if name in self._others[field]:
                    continue
                told = _counted(raw[name])
                if told is None or not all(_is_told(field, text) for text in told):
                    self._others[field].add(name)
                    counts.pop(name, None)
                elif told and _is_of(field, name, read, names, told):
                    counts.setdefault(name, Counter()).update(told)

    def plus(self, later: "UnitsBeside") -> None:
        """Add what another counted in the chunks after this one's."""
        self._has_words |= later._has_words
        for field, counts in self._rows.items():
            others = self._others[field]
            others |= later._others[field]
            for name, told in later._rows[field].items():
                counts.setdefault(name, Counter()).update(told)
            for name in others & {*counts}:
                del counts[name]

    def refuse(self, origin: Mapping[str, tuple[str, ...]], label: str) -> None:
        """Raise an InputError if a column tells several units, or one that the market has not.

        A rule of the field that says what its numbers are in is believed.

        Parameters
        ----------
        origin : the columns that each field was read from.
        """
        if problems := [*self._problems(origin)]:
            raise InputError(f"{label}: {'. Besides, '.join(problems)}")

    def _problems(self, origin: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
        for field, columns in self._rows.items():
            for name, told in columns.items():
                rule = rule_of(field, origin[field], self._settings)
                if problem := self._problem(field, name, told, rule):
                    yield problem

    def _problem(self, field: str, name: str, told: Counter[str], rule: ColumnRule) -> str:
        said: Mapping[str, float] | str | None
        units, told_by_name = self._settings.units, " ".join(rule.columns)
        if field == PRICE:
            key, own, said = "currency", units.currency, rule.currencies
            is_in_name = bool(codes_in_name(told_by_name))
            meant = {text: _code(text, own) for text in told}
        else:
            key, said = "distance", rule.unit
            own = OWN_UNITS.get(field, units.distance)
            is_in_name = bool(unit_in_name(field, told_by_name))
            meant = {text: unit_of(field, text.casefold()) for text in told}
        names = {*meant.values()}
        is_said = is_in_name or (rule.multiply is not None and len(names) == 1)
        if isinstance(said, Mapping):  # it converts what the numbers' own texts tell
            is_said |= field in self._has_words or [*said] == [own]
        elif said is not None:
            is_said = True
        if is_said or names == {own} or (field == PRICE and not codes_of(own)):
            return ""
        if field != PRICE and all(is_nearly(field, one, own) for one in names):
            return ""
        counts = ", ".join(f"{text} in {rows:,}" for text, rows in told.most_common(_SHOWN))
        kept = "" if field in OWN_UNITS else f" (ingest.units.{key})"
        problem = (
            f"{alias(field)} is read in {own}{kept}, and the column {name!r} tells {counts} rows"
        )
        is_price = field == PRICE
        most = own if own in names else meant[told.most_common(1)[0][0]]
        if len(names) > 1 and field in OWN_UNITS:
            problem += f"; bring them to one, or write '{alias(field)}: null'"
        elif len(names) > 1:
            keep = flow({name: [text for text in told if meant[text] == most]})[1:-1]
            also = f", and correct ingest.units.{key} to {most}" if most != own else ""
            problem += f"; to keep the rows of one, add {keep} to ingest.rows.keep{also}"
        elif is_price:
            problem += (
                f"; correct ingest.units.currency to {most}, or write multiply: <what one {most} "
                f"is in {own}> in ingest.columns.price"
            )
        else:
            problem += f"; write {written(field, rule, unit=most)}"
        known = written(field, rule, **({"currencies": {own: 1}} if is_price else {"unit": own}))
        return f"{problem}, or, if all of {alias(field)} is in {own}, write {known}"


def _code(text: str, own: str) -> str:
    """Return the market's currency if a text may mean it, else the usual one that it means."""
    codes = codes_of(text)
    return own if codes & codes_of(own) else "USD" if "USD" in codes else min(codes)


def _has_words(values: pd.Series) -> bool:
    """Whether numbers are told with a word or a currency sign."""
    texts = values.dropna().head(_LOOKED_AT).astype(str)
    return bool(texts.str.contains(r"[^\W\d_]|[$€£¥₹₽₩฿₺₴₫₱₪]", regex=True).mean() > 0.5)


def _counted(values: pd.Series) -> Counter[str] | None:
    """Return in how many rows each text stands; None if the values are many, or no texts."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return None
    cells = Cells.of(values)
    if len(cells.values) > _MOST_VALUES or not all(isinstance(one, str) for one in cells.values):
        return None
    counts: Counter[str] = Counter()
    for text, rows in zip(cells.values, cells.rows().tolist(), strict=True):
        if as_text(text):
            counts[as_text(text)] += rows
    return counts


def _is_told(field: str, text: str) -> bool:
    """Whether a text is a currency, or a unit of distances."""
    if field == PRICE:
        return bool(codes_of(text))
    return unit_of(field, text.casefold()) in FACTORS[field]


def _is_named(field: str, name: str) -> bool:
    return bool((_CURRENCY if field == PRICE else _UNIT).search(name))


def _is_of(
    field: str, name: str, read: Sequence[str], names: Sequence[str], told: Counter[str]
) -> bool:
    """Whether a column of units or currencies is that of a field.

    Those of engines and power are at their sides and named so: ``km`` is power in Poland.
    """
    is_named, is_near = _is_named(field, name), _is_near(name, read, names, told)
    if field not in OWN_UNITS:
        return is_named or is_near
    return is_named and (is_near or any(one.casefold() in name.casefold() for one in read))


def _is_near(name: str, read: Sequence[str], names: Sequence[str], told: Counter[str]) -> bool:
    """Whether a column stands next to one that a field reads, and its texts are no initials."""
    places = [names.index(one) for one in read if one in names]
    is_next = name in names and any(abs(names.index(name) - place) == 1 for place in places)
    return is_next and not any(len(text) == 1 and text.isalpha() for text in told)
