"""Quotes: an answer that can be kept, checked and priced again.

A quote's id is the SHA-256 of what was asked (the listing, its asking price, the confidence), of
the model's digest, and of what was answered (price, range, day, currency, and how the asking price
compares). Nothing else is in it: neither a version of this package nor what is told beside, so that
an id stays what it is.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self

from pydantic import ValidationError

from carprice.appraisal.deal import JudgedValuation, value_with_deal
from carprice.errors import InputError
from carprice.listings.own import with_own
from carprice.listings.problems import ERRORS_OF_ROW, wrong_fields
from carprice.model import PriceModel
from carprice.model.pricer import Valuation
from carprice.schema import (
    ANSWER_NAMES,
    ASKING_PRICE,
    FIELDS,
    MODEL_NAMES,
    MOST_ASKED,
    PRICE_NAMES,
    Listing,
    alias,
)

QUOTE: Final = "quote"
"""What an answer calls its quote."""
_FORM: Final = "carprice quote 1"
"""Stands in what an id is made of; another way to make it would have another name."""
_DAY: Final = ANSWER_NAMES[len(PRICE_NAMES)]
_CONFIDENCE, _CURRENCY, _DIGEST = MODEL_NAMES
_ANSWERED: Final = (*PRICE_NAMES, _DAY, _CURRENCY)
_DEAL: Final = "deal"
_OF_DEAL: Final = ("label", "percentile", "difference", "perCent")
_ASKED: Final = alias(ASKING_PRICE)
_ID: Final = re.compile(r"[0-9a-f]{64}")
_LARGEST: Final = 1e300
_EXACT: Final = 2**53
_NOTHING: Final = object()


class NoQuoteError(InputError):
    """What was read is no answer of ``POST /appraise`` with its quote."""


@dataclass(frozen=True)
class Quote:
    """What was asked, and what was answered.

    Attributes
    ----------
    listing : its fields by their names in JSON, those that were given, and the asking price that
        was judged.
    digest : names the model.
    answered : price, ends of the range, day and currency by their names in JSON, and a part of the
        deal, where an asking price was judged.
    id : as it was told; see :attr:`is_as_told`.
    """

    listing: Mapping[str, Any]
    confidence: float
    digest: str
    answered: Mapping[str, Any]
    id: str

    @classmethod
    def of(
        cls, model: PriceModel, listing: Listing, confidence: float, valuation: Valuation
    ) -> Self:
        """Return the quote of a price."""
        names = _names(model.own)
        asked = listing.model_dump(mode="json", by_alias=True, exclude_none=True, include=names)
        if isinstance(valuation, JudgedValuation):
            asked[_ASKED] = valuation.asking_price
        answered = _answered(model, valuation)
        told = _id_of(asked, confidence, model.digest, answered)
        return cls(asked, confidence, model.digest, answered, told)

    @classmethod
    def read(cls, answer: Any) -> Self:
        """Read the quote of an answer, whatever else that holds; it is not checked.

        Raises
        ------
        NoQuoteError
            If there is none; the message says what is missing or odd.
        """
        quote = answer.get(QUOTE) if isinstance(answer, dict) else None
        if not isinstance(quote, dict):
            raise NoQuoteError(f"it has no {QUOTE!r}: it is no answer of POST /appraise")
        for name, place, check in _CHECKS:
            if not check(place(answer, quote).get(name)):
                raise NoQuoteError(f"its {name} is missing, or not as POST /appraise answers it")
        answered = {name: answer[name] for name in _ANSWERED}
        if (deal := answer.get(_DEAL)) is not None:
            answered[_DEAL] = _read_deal(deal)
        return cls(quote["listing"], quote[_CONFIDENCE], answer[_DIGEST], answered, quote["id"])

    @property
    def is_as_told(self) -> bool:
        """Whether its id is of what it holds: what was changed has another one."""
        try:
            return _id_of(self.listing, self.confidence, self.digest, self.answered) == self.id
        except RecursionError:
            return False

    def content(self) -> dict[str, Any]:
        """Return what JSON says of it beside the answer that it is in."""
        return {"id": self.id, "listing": self.listing, _CONFIDENCE: self.confidence}

    def differences(self, model: PriceModel) -> list[str]:
        """Price the listing again; return what is another than was answered, in words.

        Parameters
        ----------
        model : the one of the quote's digest.

        Raises
        ------
        InputError
            If the model cannot price such a listing: the service never answered so.
        """
        try:
            fields, asked = {**self.listing}, _asked(self.listing)
            fields.pop(_ASKED, None)
            listing = with_own(Listing, model.own).model_validate(fields)
            valuation = value_with_deal(model, vars(listing), asked, self.confidence)
        except ValidationError as error:
            wrong = wrong_fields(error, most=ERRORS_OF_ROW, own=model.own)
            raise InputError("; ".join(map(str, wrong))) from None
        except ValueError as error:
            raise InputError(str(error)) from None
        found, answered = _flat(_answered(model, valuation)), _flat(self.answered)
        return [
            f"{name} is {_told(found.get(name))}, not {_told(answered.get(name))}"
            for name in found | answered
            if found.get(name) != answered.get(name)
        ]


@lru_cache(maxsize=16)
def _names(own: tuple[str, ...]) -> set[str]:
    """Return the names of what a quote keeps of a listing, given the market's own columns."""
    return {*FIELDS, *map(alias, own)}


def _answered(model: PriceModel, valuation: Valuation) -> dict[str, Any]:
    day, currency = valuation.valuation_date.isoformat(), model.market.currency
    answered = dict(zip(_ANSWERED, (*valuation.prices, day, currency), strict=True))
    if isinstance(valuation, JudgedValuation):
        deal = valuation.deal.content()
        answered[_DEAL] = {name: deal[name] for name in _OF_DEAL}
    return answered


def _read_deal(deal: Any) -> dict[str, Any]:
    for name in _OF_DEAL:
        value = deal.get(name, _NOTHING) if isinstance(deal, dict) else _NOTHING
        is_none = value is None and name == "percentile"
        if not (is_none or (_is_text if name == "label" else _is_number)(value)):
            raise NoQuoteError(
                f"its {_DEAL} has no {name}, or not as POST /appraise answers it; keep answers as "
                "they are sent"
            )
    return {name: deal[name] for name in _OF_DEAL}


def _asked(listing: Mapping[str, Any]) -> float | None:
    asked = listing.get(_ASKED)
    if asked is None:
        return None
    if not _is_number(asked) or not 0 < asked <= MOST_ASKED:
        raise InputError(f"{_ASKED} is {_told(asked)}; it is above 0 and at most {MOST_ASKED:,.0f}")
    return float(asked)


def _flat(answered: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was answered with the parts of the deal beside the rest."""
    flat = {name: value for name, value in answered.items() if name != _DEAL}
    deal = answered.get(_DEAL, {})
    return flat | {f"{_DEAL}.{name}": value for name, value in deal.items()}


def _id_of(
    listing: Mapping[str, Any], confidence: float, digest: str, answered: Mapping[str, Any]
) -> str:
    content = {
        "form": _FORM,
        "listing": _plain(listing),
        _CONFIDENCE: _plain(confidence),
        _DIGEST: digest,
        **{name: _plain(value) for name, value in answered.items()},
    }
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(content: Any) -> bytes:
    """Return JSON whose bytes depend on nothing but what it says."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode("ascii")


def _plain(value: Any) -> Any:
    """Return a value in which whole numbers have no decimals, as other programs write them."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _EXACT else value
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [*map(_plain, value)]
    return value


def _told(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, int | float) else str(value)[:100]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


_Place = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
_CHECKS: Final[Sequence[tuple[str, _Place, Callable[[Any], bool]]]] = (
    ("id", lambda _, quote: quote, _is_digest),
    ("listing", lambda _, quote: quote, lambda value: isinstance(value, dict)),
    (_CONFIDENCE, lambda _, quote: quote, _is_number),
    (_DIGEST, lambda answer, _: answer, _is_digest),
    *((name, lambda answer, _: answer, _is_number) for name in PRICE_NAMES),
    *((name, lambda answer, _: answer, _is_text) for name in (_DAY, _CURRENCY)),
)
"""What a quote must hold: each name, where it stands, and what its value must be."""
