"""How a source writes its numbers: which sign is the decimal sign, which units and currencies.

Each column is judged by all of its values. What may be meant in two ways stops the run, and the
message names the setting that says which.
"""

import datetime
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from carprice.errors import InputError
from carprice.listings.cells import UNREADABLE, Cells, as_text
from carprice.listings.numbers import (
    CODES,
    FACTORS,
    PRICED,
    Decimal,
    Quantity,
    codes_of,
    plain,
    read_number,
    read_quantity,
    sign_in,
    unit_of,
)
from carprice.schema import FieldKind, alias, kind_of, parse_ordinal
from carprice.settings import ColumnRule, IngestSettings

_OWN_UNITS: Final = {"engine_cc": "cc", "power_bhp": "bhp"}
_LEAST_EVIDENCE: Final = 0.05
"""A decimal sign is taken from a column where this share of its signs shows it."""


@dataclass
class Notation:
    """How the numbers of one source are written, as far as its chunks have shown.

    Attributes
    ----------
    decimals : the decimal sign of each field's column, once it is known.
    notes : what was assumed of a column, one sentence for each.
    """

    settings: IngestSettings
    decimals: dict[str, Decimal] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _seen: dict[str, dict[str, tuple[int, str]]] = field(default_factory=dict)
    _plain: dict[str, float] = field(default_factory=dict)

    def settle(self, columns: Mapping[str, tuple[Cells, ColumnRule]], label: str) -> None:
        """Find the decimal sign of each numeric column of texts.

        A column shows it where its values can be meant in one way only, such as ``1.5`` or
        ``1.234.567``. Where they do not, such as ``18.900``, the other columns decide.

        Raises
        ------
        InputError
            If nothing shows it, and more values than ``max_unreadable`` hang on it.
        """
        if self.settings.decimal is not None:
            self.decimals.update(dict.fromkeys(columns, self.settings.decimal))
            return
        doubted: dict[str, str] = {}
        for name, (cells, rule) in columns.items():
            if name in self.decimals:
                continue
            rows, example = _signs(cells, inside=rule.number)
            sign: Decimal = "." if rows["."] >= rows[","] else ","
            if rows[sign] > _LEAST_EVIDENCE * rows["?"]:
                self.decimals[name] = sign
            elif kind_of(name) is FieldKind.INTEGER and example:  # it has no decimals
                self.decimals[name] = "." if "," in example else ","
            elif rows["?"] > self.settings.max_unreadable * rows.total():
                doubted[name] = example
        shown = {sign: alias(name) for name, sign in self.decimals.items()}
        for name, example in doubted.items():
            if len(shown) != 1:
                meant = [_read(name, example, columns[name][1], sign) for sign in (".", ",")]
                point, comma = (f"{one.number:.10g}" if one else "nothing" for one in meant)
                raise InputError(
                    f"{label}: {alias(name)} is {example!r} and the like, which may be "
                    f"{point} or {comma}; set ingest.decimal to '.' or ',': the "
                    "sign before decimals in this file"
                )
            ((sign, other),) = shown.items()
            self.decimals[name] = sign
            self.note(
                f"{alias(name)} is {example!r} and the like; {sign!r} was taken for the sign "
                f"before decimals, as in {other}"
            )

    def read(
        self, name: str, cells: Cells | np.ndarray, rule: ColumnRule, label: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read a numeric column of n rows, in the units and the currency of the market.

        Returns
        -------
        What each of the n rows holds (NaN if missing), and which cells cannot be read.

        Raises
        ------
        InputError
            If the column has several units or currencies, or one that the market has not.
        """
        multiply = 1.0 if rule.multiply is None else rule.multiply
        add = 0.0 if rule.add is None else rule.add
        if isinstance(cells, np.ndarray):
            factor = self._ratio(name, rule.unit) if isinstance(rule.unit, str) else 1.0
            return (cells * multiply + add) * factor, np.zeros(len(cells), dtype=bool)
        decimal = self.decimals.get(name)
        quantities = [_quantity(name, value, rule, decimal) for value in cells.values]
        factors = self._factors(name, quantities, cells, rule, label)
        numbers: list[Any] = [
            (one.number * multiply + add) * factors[one.name] if isinstance(one, Quantity) else one
            for one in quantities
        ]
        return cells.spread(numbers, np.nan)

    def _factors(
        self, name: str, quantities: Sequence[Any], cells: Cells, rule: ColumnRule, label: str
    ) -> dict[str, float]:
        """Return, by unit or currency, what one of it is in the market's; "" where none is told."""
        seen = self._seen.setdefault(name, {})
        for value, one, rows in zip(cells.values, quantities, cells.rows(), strict=True):
            if isinstance(one, Quantity):
                before, example = seen.get(one.name, (0, as_text(value)))
                seen[one.name] = (before + int(rows), example)
        named = [text for text in seen if text]
        if name in PRICED:
            factors = self._of_currencies(named, rule)
        else:
            factors = self._of_units(name, named, rule)
        plain_factor = self._plain.setdefault(name, factors.get("", 1.0))
        if not factors.keys() >= seen.keys() or plain_factor != factors[""]:
            raise InputError(f"{label}: {self._mixed(name, seen)}")
        return factors

    def _of_units(self, name: str, named: Sequence[str], rule: ColumnRule) -> dict[str, float]:
        if isinstance(rule.unit, Mapping):
            return {unit_of(name, unit): factor for unit, factor in rule.unit.items()} | {"": 1.0}
        units = {*named, *([rule.unit] if rule.unit else [])}
        if len(units) > 1:
            return {}
        factor = self._ratio(name, *units) if units else 1.0
        if named and factor != 1.0:
            self.note(f"{alias(name)} is told in {named[0]}, and was made {self.own_unit(name)}")
        return dict.fromkeys(["", *named], factor)

    def _of_currencies(self, named: Sequence[str], rule: ColumnRule) -> dict[str, float]:
        if rule.currencies is None:
            market = codes_of(self.settings.units.currency)
            is_one = not named or frozenset.intersection(*map(codes_of, named), market or CODES)
            return dict.fromkeys(["", *named], 1.0) if is_one else {}
        factors = {"": 1.0}
        for text in named:
            for given, factor in rule.currencies.items():
                if plain(given) == text or (codes_of(given) and codes_of(given) <= codes_of(text)):
                    factors.setdefault(text, factor)
        return factors

    def own_unit(self, name: str) -> str:
        """Return the unit that a field is kept in; empty where it is the market's usual one."""
        return self.settings.units.distance if name == "odometer" else _OWN_UNITS.get(name, "")

    def _ratio(self, name: str, unit: str) -> float:
        own = self.own_unit(name)
        return FACTORS[name][unit] / FACTORS[name][own] if own and unit != own else 1.0

    def _mixed(self, name: str, seen: Mapping[str, tuple[int, str]]) -> str:
        """Return what to say of several units or currencies, or of one that the market has not."""
        field_key = f"ingest.columns.{alias(name)}"
        found = ", ".join(
            f"{text or 'nothing'} in {rows:,} rows ({example!r})"
            for text, (rows, example) in seen.items()
        )
        if name not in PRICED:
            own = self.own_unit(name)
            factors = FACTORS[name]
            said = ", ".join(f"{u}: {f / factors.get(own, 1.0):.6g}" for u, f in factors.items())
            return (
                f"{alias(name)} has {found} beside the number; say what one of each is in "
                f"{own or 'the unit of the market'}: unit: {{{said}}} in {field_key}"
            )
        currency = self.settings.units.currency
        signs = ", ".join(
            f"'{text}': {1 if codes_of(text) & codes_of(currency) else '...'}"
            for text in seen
            if text
        )
        return (
            f"{alias(name)} has {found} beside the number, and ingest.units.currency is "
            f"{currency}; correct ingest.units.currency, or say what one of each is in {currency}: "
            f"currencies: {{{signs}}} in {field_key}"
        )

    def note(self, text: str) -> None:
        """Keep a sentence on what was assumed, once."""
        if text not in self.notes:
            self.notes.append(text)


def _signs(cells: Cells, *, inside: bool) -> tuple[Counter[str], str]:
    """Return how many rows show which decimal sign ("?": either), and the first of either."""
    rows: Counter[str] = Counter()
    example = ""
    for value, count in zip(cells.values, cells.rows(), strict=True):
        sign = sign_in(value, inside=inside) if isinstance(value, str) else None
        rows[sign or "none"] += int(count)
        if sign == "?" and not example:
            example = as_text(value)
    return rows, example


def _quantity(name: str, value: Any, rule: ColumnRule, decimal: Decimal | None) -> Any:
    """Read one value: a Quantity, None if it is empty, or :data:`UNREADABLE`.

    Where the decimal sign is not known, a number that hangs on it is not read.
    """
    if value is None:  # as a rule's values, match or words made it
        return None
    if not isinstance(value, str):
        number = plain_number(value)
        return Quantity(number) if isinstance(number, float) else number
    if not value.strip():
        return None
    if decimal is None and sign_in(value, inside=rule.number) == "?":
        return UNREADABLE
    read = _read(name, value, rule, decimal or ".")
    if read is None and name == "ownership":
        ordinal = parse_ordinal(value)
        read = Quantity(float(ordinal)) if isinstance(ordinal, int) else None
    return UNREADABLE if read is None else read


def _read(name: str, text: str, rule: ColumnRule, decimal: Decimal) -> Quantity | None:
    if rule.number:
        return read_quantity(text, name, decimal)
    number = read_number(text, decimal)
    return None if number is None else Quantity(number)


def plain_number(value: Any) -> Any:
    """Return a float for a value that is no text; None for NaN, UNREADABLE for no number."""
    if isinstance(value, datetime.date | np.datetime64):
        return UNREADABLE
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return UNREADABLE
    return None if math.isnan(number) else number
