"""CSV answers of which a spreadsheet takes no cell for a formula."""

import re
from typing import Final

_BEGIN_FORMULAS: Final = frozenset("=+-@\t\r\n＝＋－＠")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def harmless(cell: str) -> str:
    """Return a cell, an apostrophe before it if it begins like a formula and is no plain number.

    Examples
    --------
    >>> [harmless(cell) for cell in ("Creta", "-12.5", "=1+1", "-1+1", "@SUM(A1)")]
    ['Creta', '-12.5', "'=1+1", "'-1+1", "'@SUM(A1)"]
    """
    if cell[:1] in _BEGIN_FORMULAS and cell and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell
