"""What each column of a source holds, before the column map: kind, gaps, copies, identifiers.

No row is shown: a value is named only if ten rows or more have it, a number by its quantiles.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from carprice.arrays import Codes

_FEWEST_ROWS: Final = 10
_MOST_VALUES: Final = 3
_LONGEST_VALUE: Final = 40
_NEARLY_ALL: Final = 0.95
_FEWEST_DISTINCT: Final = 50  # of an identifier; a number's common values are shown up to here
_KIND_SAMPLE: Final = 2000
_QUANTILES: Final = (0.05, 0.5, 0.95)
_YES_NO: Final = frozenset({"0", "1", "0.0", "1.0", "true", "false", "yes", "no", "y", "n"})
_DATE: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([ T].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}( .*)?")
_WITH_UNIT: Final = re.compile(r"[^\d\s]{0,3}\s?[-+]?\d[\d.,' ]*\s?[A-Za-z/%³²]{1,12}\.?")


@dataclass(frozen=True)
class ColumnSummary:
    """What one column of the source holds.

    Attributes
    ----------
    name : as the source spells it.
    fields : the listing's fields that read it; empty where none does.
    kind : number, number with text, date, yes/no, text, list or empty.
    missing, distinct : number of rows without a value, and of different values.
    common : the commonest values that ten rows or more have, and their shares.
    quantiles : 5 %, 50 % and 95 % of a number; None otherwise.
    same_as : an earlier column that groups the rows in the same way; empty if there is none.
    is_identifier : whether nearly every row has a value of its own.
    evidence : why it looks computed from the price; empty if it does not.
    """

    name: str
    fields: tuple[str, ...]
    kind: str
    missing: int
    distinct: int
    common: tuple[tuple[str, float], ...]
    quantiles: tuple[float, ...] | None
    same_as: str
    is_identifier: bool
    evidence: str

    @property
    def is_constant(self) -> bool:
        """Whether every row has the same value, or none has any."""
        return self.kind == "empty" or (self.distinct == 1 and not self.missing)


def assess(
    raw: pd.DataFrame, fields: Mapping[str, Sequence[str]], evidence: Mapping[str, str]
) -> list[ColumnSummary]:
    """Describe every column of a source.

    Parameters
    ----------
    raw : the rows as the source has them.
    fields : the fields that read a column, by its name.
    evidence : why a column looks computed from the price, by its name.

    Examples
    --------
    >>> raw = pd.DataFrame({"km": ["10 km", "20 km"] * 10, "id": range(20), "shop": ["A"] * 20})
    >>> for one in assess(raw, {"km": ["odometer"]}, {}):
    ...     print(one.name, one.fields, one.kind, one.distinct, one.is_constant, one.common)
    km ('odometer',) number with text 2 False (('10 km', 0.5), ('20 km', 0.5))
    id () number 20 False ()
    shop () text 1 True (('A', 1.0),)
    """
    summaries = []
    first_of: dict[bytes, str] = {}
    for place, name in enumerate(map(str, raw.columns)):
        codes, distinct = _factorised(raw.iloc[:, place])
        first = name
        if 1 < len(distinct) < len(raw):
            first = first_of.setdefault(hashlib.sha256(codes.tobytes()).digest(), name)
        read_by, same_as = tuple(fields.get(name, ())), "" if first == name else first
        summaries.append(_summary(codes, distinct, name, read_by, same_as, evidence.get(name, "")))
    return summaries


def _factorised(values: pd.Series) -> tuple[Codes, npt.NDArray[np.object_]]:
    try:
        codes, distinct = pd.factorize(values)
    except TypeError:
        codes, distinct = pd.factorize(values.where(values.isna(), values.astype(str)))
    return codes, np.asarray(distinct, dtype=object)


def _summary(
    codes: Codes,
    distinct: npt.NDArray[np.object_],
    name: str,
    fields: tuple[str, ...],
    same_as: str,
    evidence: str,
) -> ColumnSummary:
    known, kind = codes[codes >= 0], _kind(distinct)
    counts = np.bincount(known, minlength=len(distinct))
    quantiles, may_identify = None, kind == "text"
    if kind == "number":
        numbers = pd.to_numeric(pd.Series(distinct), errors="coerce").to_numpy(dtype=np.float64)
        may_identify = not fields and not np.any(numbers % 1 > 0)
        if len(known) >= _FEWEST_ROWS:
            quantiles = tuple(np.nanquantile(numbers[known], _QUANTILES).tolist())
    common = tuple(
        (shortened(distinct[place]), float(counts[place] / len(codes)))
        for place in np.argsort(-counts, kind="stable")[:_MOST_VALUES]
        if counts[place] >= _FEWEST_ROWS and (kind != "number" or len(distinct) <= _FEWEST_DISTINCT)
    )
    nearly_all_differ = len(distinct) >= max(_NEARLY_ALL * len(known), _FEWEST_DISTINCT)
    return ColumnSummary(
        name=name,
        fields=fields,
        kind=kind,
        missing=len(codes) - len(known),
        distinct=len(distinct),
        common=common,
        quantiles=quantiles,
        same_as=same_as,
        is_identifier=nearly_all_differ and may_identify,
        evidence=evidence,
    )


def shortened(value: object, longest: int = _LONGEST_VALUE) -> str:
    """Return a value as one line of text, cut where it is too long.

    Examples
    --------
    >>> shortened(4.0), shortened("a  b"), shortened("abcdef", 4)
    ('4', 'a b', 'abc…')
    >>> shortened(pd.Timestamp("2024-11-30"))
    '2024-11-30'
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = " ".join(str(value).split()).removesuffix(" 00:00:00")
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _kind(distinct: npt.NDArray[np.object_]) -> str:
    if not len(distinct):
        return "empty"
    some = distinct[:_KIND_SAMPLE]
    texts = [str(value).strip() for value in some]
    if {text.lower() for text in texts} <= _YES_NO:
        return "yes/no"
    if all(isinstance(value, (list, tuple, np.ndarray)) for value in some):
        return "list"
    numbers = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").notna()
    shares = {
        "number": float(numbers.mean()),
        "date": _matching_share(_DATE, texts),
        "list": sum(text.startswith("[") for text in texts) / len(texts),
        "number with text": _matching_share(_WITH_UNIT, texts),
    }
    return next((kind for kind, share in shares.items() if share >= _NEARLY_ALL), "text")


def _matching_share(pattern: re.Pattern[str], texts: Sequence[str]) -> float:
    return sum(pattern.fullmatch(text) is not None for text in texts) / len(texts)
