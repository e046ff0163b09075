"""How a source writes its numbers: which sign is the decimal sign, which units and currencies.

Each column is judged by all of its values. What may be meant in two ways stops the run, and the
message names the setting that says which.
"""

import datetime
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Final

import numpy as np

from carprice.arrays import Floats
from carprice.errors import InputError
from carprice.listings.cells import UNREADABLE, Cells, as_text
from carprice.listings.numbers import (
    CODES,
    FACTORS,
    FEWEST_OF_A_SIGN,
    MOST_IN_A_SCALE,
    PRICED,
    Decimal,
    Quantity,
    are_apart,
    codes_in_name,
    codes_of,
    is_beyond,
    is_scale,
    plain,
    read_number,
    read_quantity,
    scale_in_name,
    sign_in,
    tells_cents,
    tells_mil,
    unit_in_name,
    unit_of,
)
from carprice.schema import PRICE, FieldKind, alias, kind_of, parse_ordinal
from carprice.settings import ColumnRule, IngestSettings

OWN_UNITS: Final = {"engine_cc": "cc", "power_bhp": "bhp"}
"""The units that fields are kept in whatever the market."""
_LEAST_EVIDENCE: Final = 0.05
"""A decimal sign is taken from a column where this share of its signs shows it."""
_SIGNS: Final[tuple[Decimal, ...]] = (".", ",")
LARGE: Final = (PRICE, "odometer", "engine_cc")
"""Fields of which hardly a number is below 1,000 and has three decimals."""
_OF_KILOMETRES: Final = re.compile(
    r"(?i)[kq]u?il[oóôò]m|recorrido|rodagem|hod[oô]metro|od[oó]metro"
)
"""Spanish and Portuguese names of distances, beside which ``miles`` may be thousands."""
_MOST_MIL: Final = 50_000.0
"""A median odometer above this is in kilometres, whatever the column's name says."""
_MUCH: Final = 1.05
"""Units whose ratio is nearer to 1 are taken for each other, such as PS and bhp."""


@dataclass
class Notation:
    """How the numbers of one source are written, as far as its chunks have shown.

    Attributes
    ----------
    known : the decimal signs of the listings that a model learned from, by field. They say what
        is meant where the source does not show it.
    decimals : the decimal sign of each field's column, once it is known.
    notes : what was assumed of a column, one sentence for each.
    """

    settings: IngestSettings
    known: Mapping[str, Decimal] = field(default_factory=dict)
    decimals: dict[str, Decimal] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _both_signs: set[str] = field(default_factory=set)
    _borrowed: set[str] = field(default_factory=set)
    _seen: dict[str, dict[str, tuple[int, str]]] = field(default_factory=dict)
    _logs: dict[str, dict[str, float]] = field(default_factory=dict)
    _plain: dict[str, float] = field(default_factory=dict)
    _rules: dict[str, ColumnRule] = field(default_factory=dict)

    def copy(self) -> "Notation":
        """Return the same, to be changed."""
        return replace(
            self,
            decimals={**self.decimals},
            notes=[*self.notes],
            _both_signs={*self._both_signs},
            _borrowed={*self._borrowed},
            _seen={name: {**seen} for name, seen in self._seen.items()},
            _logs={name: {**logs} for name, logs in self._logs.items()},
            _plain={**self._plain},
            _rules={**self._rules},
        )

    def begun(self) -> "Notation":
        """Return what decides how the next chunk is read, with nothing counted or noted."""
        begun = self.copy()
        begun.count_anew()
        return begun

    def count_anew(self) -> None:
        """Forget what was counted and noted, and keep what decides how the next chunk is read."""
        self.notes.clear()
        self._rules.clear()
        self._logs.clear()
        for seen in self._seen.values():
            seen.update({text: (0, example) for text, (_, example) in seen.items()})

    def reads_as(self, other: "Notation") -> bool:
        """Whether the next chunk is read by another in the same way."""
        return self.decided() == other.decided()

    def decided(self) -> tuple[Sequence[Any], ...]:
        """Return what decides how the next chunk is read, to be compared."""
        return (
            sorted(self.decimals.items()),
            sorted(self._both_signs),
            sorted(self._borrowed),
            sorted(self._plain.items()),
        )

    def plus(self, later: "Notation", label: str) -> None:
        """Add a later chunk, as read by one that has :meth:`begun` from where this one is.

        Raises
        ------
        InputError
            If the chunks so far have several units or currencies, or one that the market has not.
        """
        self.decimals, self._both_signs = later.decimals, later._both_signs
        self._borrowed, self._plain = later._borrowed, later._plain
        for text in later.notes:
            self.note(text)
        for name, rule in later._rules.items():
            seen, logs = self._seen.setdefault(name, {}), self._logs.setdefault(name, {})
            for text, (rows, example) in later._seen[name].items():
                before, first = seen.get(text, (0, example))
                seen[text] = (before + rows, first)
                if rows:
                    logs[text] = logs.get(text, 0.0) + later._logs[name][text]
            self._rules[name] = rule
            self._factors(name, label)

    def settle(self, columns: Mapping[str, tuple[Cells, ColumnRule]], label: str) -> None:
        """Find the decimal sign of each numeric column of texts.

        A column shows it where its values can be meant in one way only, such as ``1.5`` or
        ``1.234.567``. Where they do not, such as ``18.900``, the other columns decide, and the
        listings that the model learned from.

        Raises
        ------
        InputError
            If nothing shows it, or these contradict each other, and more values than
            ``max_unreadable`` hang on it.
        """
        doubted: dict[str, str] = {}
        for name, (cells, rule) in columns.items():
            rows, examples = _signs(name, cells, rule)
            if len(examples) == 2:
                self._both_signs.add(name)
            either, example = rows["?"], next(iter(examples.values()), "")
            sign: Decimal = "." if rows["."] >= rows[","] else ","
            allowed = self.settings.max_unreadable * rows.total()
            shows_it = rows[sign] > _LEAST_EVIDENCE * either
            three = None if shows_it else self._sign_under_scale(name, cells, rule)
            if given := rule.decimal or self.settings.decimal:
                self.decimals[name] = given
                if three not in (None, given) and either > allowed:
                    raise InputError(
                        f"{label}: {alias(name)} is {example!r} and the like, which "
                        f"ingest.decimal: {given!r} and multiply: {rule.multiply:.10g} make "
                        "more than any car has; "
                        f"set decimal to '.' or ',' in ingest.columns.{alias(name)}: the sign "
                        "before decimals in this column"
                    )
            elif three:
                self.decimals[name] = three
                self.note(
                    f"{alias(name)} is {example!r} and the like; {three!r} was taken for the sign "
                    f"before decimals, as multiply is {rule.multiply:.10g}"
                )
            elif shows_it:
                self.decimals[name] = sign
                self._borrowed.discard(name)
            elif name in self.decimals:  # as in the chunks before, which may be of another file
                self._borrowed.add(name)
            elif kind_of(name) is FieldKind.INTEGER and example:  # it has no decimals
                self.decimals[name] = "." if "," in example else ","
            elif either > allowed:
                doubted[name] = example
            if name in doubted and len(examples) == 2:
                both = " and ".join(map(repr, examples.values()))
                raise InputError(
                    f"{label}: {alias(name)} has numbers such as {both}; write all of them in one "
                    "way"
                )
        shown = {sign: alias(name) for name, sign in self.decimals.items()}
        for name, example in doubted.items():
            self._borrowed.add(name)
            signs = shown | dict.fromkeys(self._known_of(name), "training") | shown
            if len(signs) != 1 or self._is_doubtful(name, example, columns[name][1], *signs):
                meant = [_read(name, example, columns[name][1], sign) for sign in (".", ",")]
                point, comma = (f"{one.number:.10g}" if one else "nothing" for one in meant)
                setting = "ingest.decimal to" if not signs else "decimal to"
                where = f" in ingest.columns.{alias(name)}" if signs else ""
                raise InputError(
                    f"{label}: {alias(name)} is {example!r} and the like, which may be "
                    f"{point} or {comma}; set {setting} '.' or ','{where}: the "
                    f"sign before decimals in this {'column' if signs else 'file'}"
                )
            ((sign, other),) = signs.items()
            self.decimals[name] = sign
            self.note(
                f"{alias(name)} is {example!r} and the like; {sign!r} was taken for the sign "
                f"before decimals, as in {other}"
            )

    def _sign_under_scale(self, name: str, cells: Cells, rule: ColumnRule) -> Decimal | None:
        """Return the sign before three decimals where ``multiply`` is a scale such as lakh.

        It is None where these digits may be thousands: ``1,200`` of 10,000 won.
        """
        if rule.decimal or not is_scale(rule.multiply or 1.0):
            return None
        texts = [
            value
            for value in cells.values
            if isinstance(value, str) and sign_in(value, inside=rule.number) == "?"
        ]
        signs = {_sign_of_either(text) for text in texts}
        if len(signs) != 1:
            return None
        sign: Decimal = "." if "." in signs else ","
        read = [_read(name, text, rule, "," if sign == "." else ".") for text in texts]
        numbers = [one.number for one in read if one and not one.scaled]
        if not numbers:
            return None
        median = float(np.median(numbers)) * (rule.multiply or 1.0)
        return sign if is_beyond(name, median, self.settings.units.currency) else None

    def _is_strict(self, name: str, rule: ColumnRule) -> bool:
        """Whether a number such as ``12.990`` cannot be 12.99 in a field's column."""
        is_large = name in LARGE and rule.multiply is None and rule.unit != "l"
        return name in self._both_signs or (is_large and name in self._borrowed)

    def _is_doubtful(self, name: str, text: str, rule: ColumnRule, sign: Decimal) -> bool:
        """Whether a sign that other columns show makes three decimals where hardly any are."""
        return _quantity(name, text, rule, sign, self._is_strict(name, rule)) is UNREADABLE

    def _known_of(self, name: str) -> set[Decimal]:
        """Return the decimal signs that the listings of the training have shown for a field."""
        return {self.known[name]} if name in self.known else {*self.known.values()}

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
        self._refuse_cents(name, rule, label)
        multiply = 1.0 if rule.multiply is None else rule.multiply
        add = 0.0 if rule.add is None else rule.add
        if isinstance(cells, np.ndarray):
            self._refuse_scale(name, cells, rule, label)
            self._refuse_name(name, rule, label)
            factor = self._ratio(name, rule.unit) if isinstance(rule.unit, str) else 1.0
            factor *= _of_name(rule)
            return (cells * multiply + add) * factor, np.zeros(len(cells), dtype=bool)
        if cells.digits is not None and not rule.number:
            self._count_digits(name, cells, cells.digits, rule)
            factor = self._factors(name, label)[""]
            self._refuse_name(name, rule, label)
            self._refuse_scale(name, cells.digits, rule, label)
            found = np.append((cells.digits * multiply + add) * factor, np.nan)[cells.codes]
            return found, np.zeros(len(found), dtype=bool)
        decimal, is_strict = self.decimals.get(name), self._is_strict(name, rule)
        quantities = [_quantity(name, value, rule, decimal, is_strict) for value in cells.values]
        self._count(name, quantities, cells, rule)
        factors = self._factors(name, label)
        bare = [one for one in quantities if isinstance(one, Quantity) and not one.name]
        if bare:
            self._refuse_name(name, rule, label)
        unscaled = [
            one.number for one in quantities if isinstance(one, Quantity) and not one.scaled
        ]
        self._refuse_scale(name, np.array(unscaled), rule, label)
        if multiply != 1.0:
            self._refuse_twice(name, quantities, cells, rule, factors, label)
        numbers: list[Any] = [
            (one.number * (1.0 if one.scaled else multiply) + add) * factors[one.name]
            if isinstance(one, Quantity)
            else one
            for one in quantities
        ]
        return cells.spread(numbers, np.nan)

    def _refuse_twice(
        self,
        name: str,
        quantities: Sequence[Any],
        cells: Cells,
        rule: ColumnRule,
        factors: Mapping[str, float],
        label: str,
    ) -> None:
        """Refuse to multiply what a scale word or a unit in the text multiplies already.

        What ``multiply`` says of lakh and the like is of the numbers that tell no scale themselves.
        """
        means_scale = is_scale(rule.multiply or 1.0)
        for value, one in zip(cells.values, quantities, strict=True):
            if not isinstance(one, Quantity):
                continue
            is_given = isinstance(rule.unit, Mapping) or rule.currencies is not None
            converted = one.name and factors[one.name] != 1.0 and not (is_given and means_scale)
            if converted or (one.scaled and not means_scale):
                raise InputError(
                    f"{label}: {alias(name)} is {as_text(value)!r} and the like, which tells what "
                    f"it is in and is read so; multiply: {rule.multiply:.10g} would change it a "
                    f"second time: remove multiply from ingest.columns.{alias(name)}"
                )
        told = [one for one in quantities if isinstance(one, Quantity) and one.scaled]
        if told:
            self.note(
                f"multiply: {rule.multiply:.10g} of {alias(name)} was used for numbers without a "
                "word such as lakh only"
            )

    def _refuse_cents(self, name: str, rule: ColumnRule, label: str) -> None:
        """Refuse prices whose column's name tells cents and whose rule has no ``multiply``."""
        column = " ".join(rule.columns)
        if name in PRICED and rule.multiply is None and tells_cents(column):
            raise InputError(
                f"{label}: {alias(name)} is read from {column!r}, whose name tells hundredths; "
                f"write multiply: 0.01 in ingest.columns.{alias(name)}, or multiply: 1 if the name "
                "is wrong"
            )

    def _refuse_scale(self, name: str, numbers: np.ndarray, rule: ColumnRule, label: str) -> None:
        """Refuse numbers whose column's name tells a scale, and whose rule has no ``multiply``.

        Numbers that are too large for it are not in what the name tells.
        """
        column, positive = " ".join(rule.columns), numbers[numbers > 0]
        if rule.multiply is not None or not len(positive):
            return
        median = float(np.median(positive))
        told, remedy = "", ""
        if name == "odometer" and tells_mil(column) and median <= _MOST_MIL:
            told = "mil"
            remedy = "multiply: 10 for Swedish mil, or multiply: 1000 for thousands,"
        factor = scale_in_name(name, column)
        if factor != 1 and median <= MOST_IN_A_SCALE[name]:
            told, remedy = f"that it counts {factor:,.0f}", f"multiply: {factor:.0f}"
        if told:
            raise InputError(
                f"{label}: {alias(name)} is read from {column!r}, whose name tells {told}; write "
                f"{remedy} in ingest.columns.{alias(name)}, or multiply: 1 if the name is wrong"
            )

    def _refuse_name(self, name: str, rule: ColumnRule, label: str) -> None:
        """Refuse numbers whose column's name tells another unit or currency than is kept."""
        column = " ".join(rule.columns)
        is_iberian = bool(_OF_KILOMETRES.search(column))
        told, own = unit_in_name(name, column), self.own_unit(name)
        if rule.multiply is not None and (
            is_iberian
            or not is_scale(rule.multiply)
            or (told and math.isclose(rule.multiply, self._ratio(name, told), rel_tol=0.02))
        ):
            return
        key = f"ingest.columns.{alias(name)}"
        if told and own and rule.unit is None and not is_nearly(name, told, own):
            is_thousands = is_iberian and told == "miles"
            thousands = ", or multiply: 1000 if they are thousands" if is_thousands else ""
            raise InputError(
                f"{label}: {alias(name)} is read from {column!r}, whose name tells {told}, and is "
                f"kept in {own}; write unit: {told} in {key}, or unit: {own} if the name is wrong"
                + thousands
            )
        if rule.multiply is not None:  # it may be the rate of the currency
            return
        codes, currency = codes_in_name(column), self.settings.units.currency
        market = codes_of(currency)
        if name in PRICED and rule.currencies is None and market and codes and not codes & market:
            code = "USD" if "USD" in codes else min(codes)
            raise InputError(
                f"{label}: {alias(name)} is read from {column!r}, whose name tells {code}, "
                f"and ingest.units.currency is {currency}; correct ingest.units.currency, or say "
                f"what one {code} is in {currency}: currencies: {{{code}: ...}} in {key}"
            )

    def _count(self, name: str, quantities: Sequence[Any], cells: Cells, rule: ColumnRule) -> None:
        """Count the units or currencies that a column tells, "" where none is told."""
        self._rules[name] = rule
        seen, logs = self._seen.setdefault(name, {}), self._logs.setdefault(name, {})
        for value, one, rows in zip(cells.values, quantities, cells.rows(), strict=True):
            if isinstance(one, Quantity):
                before, example = seen.get(one.name, (0, as_text(value)))
                seen[one.name] = (before + int(rows), example)
                logs[one.name] = logs.get(one.name, 0.0) + int(rows) * math.log(
                    max(one.number, 1.0)
                )

    def _count_digits(self, name: str, cells: Cells, numbers: Floats, rule: ColumnRule) -> None:
        """Count numbers that tell no unit nor currency."""
        self._rules[name] = rule
        seen, logs = self._seen.setdefault(name, {}), self._logs.setdefault(name, {})
        before, example = seen.get("", (0, as_text(cells.values[0])))
        seen[""] = before + int(cells.rows().sum()), example
        amount = float(cells.rows() @ np.log(np.maximum(numbers, 1.0)))
        logs[""] = logs.get("", 0.0) + amount

    def _factors(self, name: str, label: str) -> dict[str, float]:
        """Return, by unit or currency, what one of it is in the market's; "" where none is told."""
        seen, rule = self._seen[name], self._rules[name]
        named = [text for text in seen if text]
        if name in PRICED:
            factors = self._of_currencies(name, named, rule)
        else:
            factors = self._of_units(name, named, rule, seen)
        plain_factor = self._plain.setdefault(name, factors.get("", 1.0))
        if not factors.keys() >= seen.keys() or plain_factor != factors[""]:
            raise InputError(f"{label}: {self._mixed(name, seen)}")
        return factors

    def _of_units(
        self,
        name: str,
        named: Sequence[str],
        rule: ColumnRule,
        seen: Mapping[str, tuple[int, str]],
    ) -> dict[str, float]:
        if isinstance(rule.unit, Mapping):
            return {unit_of(name, unit): factor for unit, factor in rule.unit.items()} | {"": 1.0}
        units = {*named, *([rule.unit] if rule.unit else [])}
        if len(units) > 1:
            return {}
        factor = self._ratio(name, *units) if units else 1.0
        bare, total = seen.get("", (0, ""))[0], sum(rows for rows, _ in seen.values())
        if factor != 1.0 and not rule.unit and bare > self.settings.max_unreadable * total:
            return {}
        if named and factor != 1.0:
            self.note(f"{alias(name)} is told in {named[0]}, and was made {self.own_unit(name)}")
        return dict.fromkeys(["", *named], factor)

    def _of_currencies(self, name: str, named: Sequence[str], rule: ColumnRule) -> dict[str, float]:
        if rule.currencies is None:
            typical = self._typical(name)
            if any(are_apart(one, other, typical) for one, other in combinations(named, 2)):
                return {}
            market = codes_of(self.settings.units.currency)
            is_one = not named or frozenset.intersection(*map(codes_of, named), market or CODES)
            return dict.fromkeys(["", *named], 1.0) if is_one else {}
        factors = {"": _of_name(rule)}
        given = {plain(text): factor for text, factor in rule.currencies.items()}
        for text in named:
            alike = (one for one in given if codes_of(one) and codes_of(one) <= codes_of(text))
            if (found := text if text in given else next(alike, None)) is not None:
                factors[text] = given[found]
        return factors

    def _typical(self, name: str) -> dict[str, float]:
        """Return what a field's amounts typically are by currency, of those in several rows."""
        return {
            text: math.exp(self._logs[name][text] / rows)
            for text, (rows, _) in self._seen[name].items()
            if rows >= FEWEST_OF_A_SIGN
        }

    def own_unit(self, name: str) -> str:
        """Return the unit that a field is kept in; empty where it is the market's usual one."""
        return self.settings.units.distance if name == "odometer" else OWN_UNITS.get(name, "")

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
            said = ", ".join(f"{u}: {f / factors.get(own, 1.0):.7g}" for u, f in factors.items())
            if not {*filter(None, seen)} <= factors.keys():
                return (
                    f"{alias(name)} has {found} beside the number, of which one is no multiple of "
                    f"the other; map a column in one unit, or '{alias(name)}: null' in "
                    "ingest.columns"
                )
            told = [text for text in seen if text]
            as_told = f", or unit: {told[0]} if the others are {told[0]} too" * (len(told) == 1)
            return (
                f"{alias(name)} has {found} beside the number; say what one of each is in "
                f"{own or 'the unit of the market'}: unit: {{{said}}} in {field_key}{as_told}"
            )
        currency = self.settings.units.currency
        named = [text for text in seen if text]
        ours = [text for text in named if codes_of(text) & codes_of(currency)]
        ours.sort(key=lambda text: len(codes_of(text)))
        ours = [text for text in ours if not are_apart(ours[0], text, self._typical(name))]
        signs = ", ".join(f"'{text}': {1 if text in ours else '...'}" for text in named)
        return (
            f"{alias(name)} has {found} beside the number, and ingest.units.currency is "
            f"{currency}; correct ingest.units.currency, or say what one of each is in {currency}: "
            f"currencies: {{{signs}}} in {field_key}"
        )

    def note(self, text: str) -> None:
        """Keep a sentence on what was assumed, once."""
        if text not in self.notes:
            self.notes.append(text)


def is_nearly(name: str, unit: str, other: str) -> bool:
    """Whether a unit of a field is as good as another: PS and bhp are.

    Examples
    --------
    >>> is_nearly("power_bhp", "PS", "bhp"), is_nearly("power_bhp", "kW", "bhp")
    (True, False)
    """
    ratio = FACTORS[name][unit] / FACTORS[name][other]
    return max(ratio, 1 / ratio) <= _MUCH


def _signs(name: str, cells: Cells, rule: ColumnRule) -> tuple[Counter[str], dict[str, str]]:
    """Return how many rows show which decimal sign ("?": either), and of these a value of each."""
    rows: Counter[str] = Counter()
    examples: dict[str, str] = {}
    if cells.digits is not None:
        return Counter(none=int(cells.rows().sum())), examples
    for value, count in zip(cells.values, cells.rows(), strict=True):
        sign = sign_in(value, inside=rule.number) if isinstance(value, str) else None
        if sign == "?" and rule.number and not any(_read(name, value, rule, s) for s in _SIGNS):
            sign = None
        rows[sign or "none"] += int(count)
        if sign == "?":
            examples.setdefault(_sign_of_either(value), as_text(value))
    return rows, examples


def _sign_of_either(value: str) -> str:
    """Return the sign of a number such as ``18.900``."""
    return "," if "," in plain(value) else "."


def _of_name(rule: ColumnRule) -> float:
    """Return what one of the currency in a column's name is in the market's, where it is said."""
    codes = codes_in_name(" ".join(rule.columns)) if rule.currencies else frozenset()
    given = (f for text, f in (rule.currencies or {}).items() if codes & codes_of(text))
    return next(given, 1.0)


def _quantity(
    name: str, value: Any, rule: ColumnRule, decimal: Decimal | None, is_strict: bool
) -> Any:
    """Read one value: a Quantity, None if it is empty, or :data:`UNREADABLE`.

    A number that hangs on the decimal sign is not read where that is not known.

    Parameters
    ----------
    is_strict : whether ``12.990`` is not read as 12.99: where the same column has ``12,990``, or
        a field of large numbers has its sign from elsewhere.
    """
    if value is None:  # as a rule's values, match or words made it
        return None
    if not isinstance(value, str):
        number = plain_number(value)
        return Quantity(number) if isinstance(number, float) else number
    if not value.strip():
        return None
    read = _read(name, value, rule, decimal or ".")
    if (decimal is None or is_strict) and sign_in(value, inside=rule.number) == "?":
        is_exact = read is not None and (read.scaled or read.unit == "l")
        if decimal is None or (_sign_of_either(value) == decimal and not is_exact):
            return UNREADABLE
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
