"""Choose the column of each field, and the rule that reads it: by names first, then by values.

Of the columns whose names fit a field, the one whose values fit best is taken.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import pandas as pd

from carprice.listings.ignored_columns import names_list_price, names_money
from carprice.listings.mapping.by_values import find_by_values
from carprice.listings.mapping.content import MAKES, Column, nested, of_objects, share_of_one_make
from carprice.listings.mapping.fits import Fit, fit
from carprice.listings.mapping.names import (
    EXACT,
    WHOLE,
    WORD,
    ColumnName,
    currency_of_language,
    field_levels,
    names,
    words,
)
from carprice.listings.mapping.proposal import Proposal
from carprice.listings.mapping.titles import make_of_files, split_title
from carprice.listings.mapping.units import (
    currency_of_values,
    decide_currency,
    decide_decimal,
    decide_units,
)
from carprice.listings.remedies import flow
from carprice.listings.synonyms import folded
from carprice.schema import (
    FIELDS,
    PRICE,
    REFERENCE_EQUIPMENT,
    REQUIRED,
    names_of,
    own_field,
    why_not_own,
)

_ROWS_SCORED: Final = 500
_MOST_TITLES: Final = 0.5
_LEAST_SHARE: Final = 0.01
_MOST_CODED: Final = 0.5
_LEAST_OF_ONE_MAKE: Final = 0.8
_MOST_LEVELS: Final = 100
_MOST_DIFFERENT: Final = 0.5
_LEAST_NUMERIC: Final = 0.95
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


def columns_of(frame: pd.DataFrame) -> dict[str, Column]:
    """Return the columns that hold anything, by name."""
    filled = {str(name): frame[name].dropna() for name in frame}
    left_out = {*nested(frame)}
    return {
        name: Column(ColumnName.of(name), raw)
        for name, raw in filled.items()
        if len(raw) and name not in left_out
    }


def score(frame: pd.DataFrame) -> float:
    """Return how much of a table is understood: about the number of its fields."""
    proposal = _by_names(columns_of(frame.head(_ROWS_SCORED)), "")
    required = proposal.rules.keys() & {*REQUIRED, PRICE}
    return sum(one.share for one in proposal.fits.values()) + len(required)


def propose(frame: pd.DataFrame, filenames: Sequence[str] = ()) -> Proposal:
    """Propose how the first rows of a source are read.

    Parameters
    ----------
    frame : raw rows, as :func:`carprice.listings.sources.read_chunks` yields them.
    filenames : of the source's files, without endings.
    """
    columns = columns_of(frame)
    currency = currency_of_values(columns) or currency_of_language(
        {name: one.name for name, one in columns.items()}
    )
    proposal = _by_names(columns, currency)
    _models_before_trims(columns, proposal)
    title = split_title(columns, proposal.rules, proposal.doubt)
    find_by_values(columns, proposal, currency)
    if "make" not in proposal.rules and (rule := make_of_files(filenames)):
        proposal.rules["make"] = rule
        proposal.doubt("make", "of the files' names")
    _distance_not_economy(columns, proposal)
    title = split_title(columns, proposal.rules, proposal.doubt) or title
    _coded_makes(columns, proposal)
    if title and "odometer" not in proposal.rules and (found := fit("odometer", title, 0)):
        proposal.take("odometer", title.name.text, found)
        proposal.doubt("odometer", "out of the title")
    _name_makes(columns, proposal)
    model = columns.get((proposal.rules.get("model") or {}).get("from", ""))
    if model and title is None and model.titles > _MOST_TITLES:
        proposal.doubt("model", "its values start with the make")
    decide_decimal(columns, proposal)
    if not currency and str((proposal.rules.get("listed_on") or {}).get("date")).startswith("%m"):
        currency = "USD"  # nobody else starts a date with the month
    decide_currency(columns, proposal, currency)
    decide_units(columns, proposal, currency)
    _flags(columns, proposal)
    _switch_off(columns, proposal)
    if objects := nested(frame):
        proposal.hints.append(of_objects(objects))
    read = proposal.columns_read()
    proposal.ignored = [name for name in columns if name not in read]
    _own_columns(columns, proposal)
    return proposal


def _by_names(columns: Mapping[str, Column], currency: str) -> Proposal:
    """Give each field the column whose name and values fit it best."""
    pairs: list[tuple[float, str, str, Fit, int]] = []
    for name, column in columns.items():
        for field_name, (level, place) in field_levels(column.name).items():
            found = fit(field_name, column, level, currency)
            if found is not None:
                worth = 2.0 * level + found.worth - place / (4 * len(names(field_name)))
                pairs.append((worth, field_name, name, found, level))
    pairs.sort(key=lambda pair: -pair[0])
    proposal = Proposal()
    for _, field_name, name, found, level in pairs:
        if field_name in proposal.rules or name in proposal.columns_read():
            continue
        proposal.take(field_name, name, found)
        others = [
            other
            for _, same, other, _, near in pairs
            if same == field_name and other != name and near >= min(level, WHOLE)
        ]
        if others:
            proposal.doubt(field_name, f"or {', '.join(map(repr, others))}?")
        elif level < WORD:
            proposal.doubt(field_name, "the column's name says so in part only")
    return proposal


def _distance_not_economy(columns: Mapping[str, Column], proposal: Proposal) -> None:
    """Take bare numbers under ``mileage`` for distances where no other column has them."""
    rule, economy = proposal.rules.get("fuel_economy"), proposal.fits.get("fuel_economy")
    if "odometer" in proposal.rules or not rule or economy is None or any(economy.units):
        return
    column = columns[rule["from"]]
    level, _ = column.name.level("odometer")
    if level >= WORD and (found := fit("odometer", column, level)):
        proposal.leave_out("fuel_economy")
        proposal.take("odometer", column.name.text, found)


def _coded_makes(columns: Mapping[str, Column], proposal: Proposal) -> None:
    """Take a column of numbers for the makes if its name says so and there is no other."""
    if "make" in proposal.rules:
        return
    for name, column in columns.items():
        kinds = len(column.values)
        if column.name.level("make")[0] == EXACT and kinds <= _MOST_CODED * len(column.raw):
            proposal.rules["make"] = {"from": name}
            proposal.doubt("make", "numbers that stand for makes?")
            return


def _models_before_trims(columns: Mapping[str, Column], proposal: Proposal) -> None:
    """Take the series for the model where the column of models holds trims, which makes share."""
    used = [proposal.rules.get(name) for name in ("make", "model")]
    if not all(rule and rule.keys() == {"from"} for rule in used):
        return
    make, model = (columns[rule["from"]] for rule in used if rule)
    if share_of_one_make(make, model) >= _LEAST_OF_ONE_MAKE:
        return
    read = proposal.columns_read()
    series = [
        column
        for name, column in columns.items()
        if name not in read
        and column.name.level("model")[0] >= WHOLE
        and column.titles < _MOST_TITLES
        and share_of_one_make(make, column) >= _LEAST_OF_ONE_MAKE
    ]
    if not series:
        proposal.doubt("model", "several makes share its values, as they do trims")
        return
    proposal.rules["model"] = {"from": series[0].name.text}
    doubts = f"or {model.name.text!r}? Several makes share its values, as they do trims"
    proposal.doubts["model"] = [doubts]
    proposal.rules.setdefault("variant", {"from": model.name.text})


def _name_makes(columns: Mapping[str, Column], proposal: Proposal) -> None:
    """Replace short names of makes by their usual ones, which other files and askers use."""
    rule = proposal.rules.get("make")
    if rule is None or rule.keys() != {"from"}:
        return
    column = columns[rule["from"]]
    texts = [text for text, rows in column.texts if rows >= _LEAST_SHARE * len(column.raw)]
    short = {text: MAKES[folded(text)] for text in texts if folded(text) in words("short_makes")}
    if short:
        rule["values"] = short
        proposal.doubt("make", "short names were replaced")


def _flags(columns: Mapping[str, Column], proposal: Proposal) -> None:
    """Propose yes/no columns of equipment as features, and name the others."""
    if "features" in proposal.rules:
        return
    read = proposal.columns_read()
    flags = [name for name, one in columns.items() if one.is_flag and name not in read]
    sure = [
        name
        for name in flags
        if name in REFERENCE_EQUIPMENT or columns[name].name.has_word(words("equipment"))
    ]
    if sure:
        proposal.rules["features"] = {"flags": sure}
    if others := [name for name in flags if name not in sure]:
        proposal.hints.append(
            f"yes/no columns that are read nowhere: {', '.join(others)}; name those of equipment "
            "in features: {flags: [...]}"
        )


def _own_columns(columns: Mapping[str, Column], proposal: Proposal) -> None:
    """Tell which of the other columns may be learned from as the market's own."""
    extra: dict[str, str] = {}
    origin: dict[str, str] = {}
    for name in proposal.ignored:
        kind = _own_kind(columns[name])
        short = _in_camel_case(name)
        if not kind or names_money(name) or why_not_own(own_field(short, kind)) or short in extra:
            continue
        extra[short] = kind
        if short != name:
            origin[short] = name
    if "new_price" not in proposal.rules:
        proposal.hints += [
            f"a list price when new, by its name, is learned from as {flow({'newPrice': name})}"
            for name in proposal.ignored
            if names_list_price(name)
        ]
    if extra:
        names = f", with {flow(origin)} in columns" if origin else ""
        proposal.hints.append(
            f"columns that say what a car is are learned from as extra: {flow(extra)}{names}"
        )


def _in_camel_case(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    first, *others = _WORDS.findall(plain) or [""]
    return "".join([first.lower(), *(word.title() for word in others)])


def _own_kind(column: Column) -> str:
    """Return the kind of an own column that a column may be; empty if it is none."""
    levels, rows = len(column.values), len(column.raw)
    if column.is_flag:
        return "flag"
    if levels < 2 or levels > _MOST_LEVELS or levels > _MOST_DIFFERENT * rows:
        return ""
    is_code = column.name.has_word(words("codes"))
    return "number" if column.numeric > _LEAST_NUMERIC and not is_code else "category"


def _switch_off(columns: Iterable[str], proposal: Proposal) -> None:
    """Switch off what would be read by its name, though its values do not fit."""
    present = {*columns}
    for name in FIELDS:
        if name in proposal.rules or name in REQUIRED or not present & {*names_of(name)}:
            continue
        proposal.rules[name] = None
        proposal.doubt(name, "a column of this name is there, but its values do not fit")
    for name in (*REQUIRED, PRICE):
        if name not in proposal.rules:
            proposal.doubt(name, "no column was recognised: write its name here")
    is_named = any(ColumnName.of(column).level("odometer")[0] >= WORD for column in present)
    if "odometer" not in proposal.rules and not is_named:
        proposal.rules["odometer"] = None
        proposal.doubts["odometer"] = ["no column of distances was recognised: is there none?"]
