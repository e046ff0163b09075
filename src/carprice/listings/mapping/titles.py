"""Take make, model, variant and year out of one text, such as the title of an advertisement."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rapidfuzz import fuzz, process

from carprice.listings.mapping.content import MAKES, PHRASES, Column, make_at_start
from carprice.listings.mapping.names import names
from carprice.listings.remedies import year_matches
from carprice.listings.synonyms import folded

_LEAST_TITLES: Final = 0.5
_LEAST_NAMED: Final = 0.25
_ALIKE: Final = 80
_LONG_TITLE: Final = 2
_UNSPACED: Final = 0.5

_YEAR: Final = re.compile(r"\b(?:19|20)\d\d\b")
_YEAR_LAST: Final = r"\b((?:19|20)\d\d)\W*$"
_YEAR_AFTER_COMMA: Final = re.compile(rf",\s*{_YEAR_LAST}")
_COMMA: Final = re.compile(r"\w, ")

Rules = dict[str, dict[str, Any] | None]


def split_title(
    columns: Mapping[str, Column], rules: Rules, doubt: Callable[[str, str], object]
) -> Column | None:
    """Add rules for make, model, variant and year where these have no columns of their own.

    Returns
    -------
    The column of titles, if they are taken from one.
    """
    title = _title(columns, rules)
    if title is None:
        return None
    name = title.name.text
    if rules.get("model", {}) and (rules["model"] or {}).get("from") == name:
        del rules["model"]
    starts = Counter({text: rows for text, rows in title.texts if make_at_start(text)})
    if starts and title.share(_runs_on) > _UNSPACED:
        _unspaced(title, starts, rules, doubt)
    else:
        make = columns.get((rules.get("make") or {}).get("from", ""))
        has_make = "make" not in rules or title.titles >= _LEAST_NAMED or _repeats(title, make)
        _spaced(title, rules, doubt, has_make=has_make)
    match = year_matches([text for text, _ in title.texts])[0]
    if title.share(re.compile(_YEAR_LAST).search) > _LEAST_TITLES:
        match = _YEAR_LAST  # before it may stand a model such as 2008
    if "year" not in rules and title.share(re.compile(match).search) > _LEAST_TITLES:
        rules["year"] = {"from": name, "match": match}
        doubt("year", "out of the title")
    return title


def _title(columns: Mapping[str, Column], rules: Rules) -> Column | None:
    """Return the column of titles, if make or model needs one."""
    if "make" in rules and "model" in rules:
        return None
    read = {(rule or {}).get("from") for rule in rules.values()}
    if "make" not in rules and (rule := rules.get("model")) and rule.keys() == {"from"}:
        model = columns[rule["from"]]
        if model.titles >= _LEAST_TITLES or (model.titles >= _LEAST_NAMED and model.words >= 2):
            return model
    free = [column for name, column in columns.items() if name not in read]
    best = max(free, key=lambda column: column.titles, default=None)
    if best is not None and best.titles >= _LEAST_TITLES:
        return best
    is_one_known = "make" in rules or "model" in rules
    named = (
        column
        for column in free
        if column.name.plain in names("title") and column.words >= 2 and column.numeric < 0.5
    )
    return next((one for one in named if is_one_known or one.titles >= _LEAST_NAMED), None)


def _repeats(title: Column, make: Column | None) -> bool:
    """Whether most titles start with what stands in the column of makes."""
    if make is None:
        return False
    pairs = zip(title.raw.astype(str), make.raw.reindex(title.raw.index).astype(str), strict=True)
    starts = [text.casefold().startswith(of.casefold()) for text, of in pairs]
    return bool(sum(starts) >= _LEAST_TITLES * len(starts))


def _runs_on(text: str) -> bool:
    """Whether the model follows the make without a space."""
    make = make_at_start(text)
    return 0 < len(make) < len(text) and text[len(make)] != " "


def _spaced(
    title: Column, rules: Rules, doubt: Callable[[str, str], object], *, has_make: bool
) -> None:
    name = title.name.text
    makes, models = _phrases(title)
    make = 2 if title.has_year_first else 1
    first = make + has_make
    if "make" not in rules:
        rules["make"] = {"from": name, "words": make, **({"phrases": makes} if makes else {})}
        doubt("make", f"word {make}; name makes of several words in phrases")
    if "model" in rules:
        return
    has_year = not title.has_year_first and title.share(_YEAR.search) > _LEAST_TITLES
    rest = title.words - (first - 1) - has_year
    without_year = {"less": ["year"]} if has_year else {}
    up_to_comma = {"match": "^([^,]+)"} if title.share(_COMMA.search) > _LEAST_TITLES else {}
    more = {"phrases": phrases} if (phrases := [*makes, *models]) else {}
    if rest > 1 and "variant" not in rules and title.words - has_year > _LONG_TITLE:
        rules["model"] = {"from": name, **up_to_comma, "words": first, **more}
        rules["variant"] = {"from": name, **without_year, "words": f"{first + 1}-", **more}
        doubt("model", "one word; name models of several words in phrases")
    else:
        more = {"phrases": makes} if makes else {}
        if title.share(_YEAR_AFTER_COMMA.search) > _LEAST_TITLES:
            without_year = {}
        rules["model"] = {"from": name, **without_year, **up_to_comma, "words": f"{first}-", **more}


def _unspaced(
    title: Column, starts: Counter[str], rules: Rules, doubt: Callable[[str, str], object]
) -> None:
    """Split titles without spaces at the makes that are known and at the year."""
    name = title.name.text
    makes = Counter(make_at_start(text) for text in starts)
    listed = "|".join(re.escape(make) for make in sorted(makes, key=len, reverse=True))
    if "make" not in rules:
        rules["make"] = {"from": name, "match": f"^({listed})"}
        doubt("make", "makes that are not among these are missing")
    if "model" not in rules:
        rest = r"\s*(.+?)(?=\s|(?:19|20)\d\d|$)"
        rules["model"] = {"from": name, "match": rf"^(?:{listed}){rest}"}
        doubt("model", "what follows the make, up to a space or a year")
        if "variant" not in rules and title.words > 1:
            rules["variant"] = {"from": name, "words": "2-"}


def _phrases(title: Column) -> tuple[list[str], list[str]]:
    """Return the makes, and the models, of several words that stand in the titles."""
    skipped = (text.partition(" ")[2] if title.has_year_first else text for text, _ in title.texts)
    makes = {start for text in skipped if " " in (start := make_at_start(text))}
    padded = [f" {' '.join(text.split())} ".casefold() for text, _ in title.texts]
    every = "\n".join(padded)
    models = [name for name in PHRASES if " " in name and f" {name.casefold()} " in every]
    by_fold = {make.casefold(): make for make in sorted(makes)}
    return sorted(by_fold.values()), models


def make_of_files(filenames: Sequence[str]) -> dict[str, Any] | None:
    """Return the rule of a make that stands in the names of files; None if it does not.

    Examples
    --------
    >>> make_of_files(["audi", "hyundi", "vw"])
    {'filename': True, 'values': {'audi': 'Audi', 'hyundi': 'Hyundai', 'vw': 'Volkswagen'}}
    """
    values = {}
    for name in dict.fromkeys(filenames):
        key = folded(name)
        near = process.extractOne(key, [*MAKES], scorer=fuzz.ratio, score_cutoff=_ALIKE)
        if key in MAKES:
            values[name] = MAKES[key]
        elif near is not None and len(key) > 3:
            values[name] = MAKES[near[0]]
    if not values or len(values) < _LEAST_TITLES * len(filenames):
        return None
    return {"filename": True, "values": values}
