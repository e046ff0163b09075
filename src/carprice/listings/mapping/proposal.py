"""What is proposed: the rule of each field, the market, and what is to be looked at."""

from dataclasses import dataclass, field
from typing import Any, Final

from carprice.listings.mapping.fits import Fit

PLACEHOLDER: Final = "..."
"""Stands for a number that no file tells; a run refuses it."""


@dataclass
class Proposal:
    """How a source may be read.

    Attributes
    ----------
    rules : by field, the keys of its rule; None switches the field off.
    doubts : by field or setting, what a person should look at.
    decimal : the sign before decimals; None where the columns show it, each its own.
    currency, distance : of the market; the currency is empty where nothing tells it.
    hints : lines about other columns.
    ignored : the columns that no field reads.
    fits : how the columns of fields were found to be read, by field.
    """

    rules: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    doubts: dict[str, list[str]] = field(default_factory=dict)
    decimal: str | None = None
    currency: str = ""
    distance: str = "km"
    hints: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    fits: dict[str, Fit] = field(default_factory=dict)

    def take(self, name: str, column: str, found: Fit) -> None:
        """Read a field from a column."""
        self.rules[name] = {"from": column, **found.rule}
        self.fits[name] = found
        self.doubt(name, *found.doubts)

    def leave_out(self, name: str) -> None:
        """Read a field from no column."""
        for of_field in (self.rules, self.fits, self.doubts):
            of_field.pop(name, None)

    def doubt(self, key: str, *texts: str) -> None:
        """Keep what a person should look at."""
        self.doubts.setdefault(key, []).extend(texts)

    def columns_read(self) -> set[str]:
        """Return the columns that a field reads."""
        read = set()
        for rule in filter(None, self.rules.values()):
            read |= {*rule.get("flags", ()), *([rule["from"]] if "from" in rule else [])}
        return read
