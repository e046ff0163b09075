"""Quotes: an answer that can be kept, checked and priced again.

A quote's id is the SHA-256 of what was asked (the listing, the confidence), of the model's digest,
and of what was answered (price, range, day, currency). Nothing else is in it: neither a version of
this package nor what is told beside the price, so that an id stays what it is.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from pydantic import ValidationError

from carprice.errors import InputError
from carprice.listings.own import with_own
from carprice.listings.problems import ERRORS_OF_ROW, wrong_fields
from carprice.model import PriceModel
from carprice.model.pricer import Valuation
from carprice.schema import ANSWER_NAMES, FIELDS, MODEL_NAMES, PRICE_NAMES, Listing, alias

QUOTE: Final = "quote"
"""What an answer calls its quote."""
_FORM: Final = "carprice quote 1"
"""Stands in what an id is made of; another way to make it would have another name."""
_DAY: Final = ANSWER_NAMES[len(PRICE_NAMES)]
_CONFIDENCE, _CURRENCY, _DIGEST = MODEL_NAMES
_ANSWERED: Final = (*PRICE_NAMES, _DAY, _CURRENCY)
_ID: Final = re.compile(r"[0-9a-f]{64}")
_LARGEST: Final = 1e300
_EXACT: Final = 2**53


class NoQuoteError(InputError):
    """What was read is no answer of ``POST /appraise`` with its quote."""


@dataclass(frozen=True)
class Quote:
    """What was asked, and what was answered.

    Attributes
    ----------
    listing : its fields by their names in JSON, those that were given.
    digest : names the model.
    answered : price, ends of the range, day and currency by their names in JSON.
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
        names = {*FIELDS, *map(alias, model.own)}
        asked = listing.model_dump(mode="json", by_alias=True, exclude_none=True, include=names)
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
            listing = with_own(Listing, model.own).model_validate(self.listing)
            found = _answered(model, model.pricer.value(vars(listing), self.confidence))
        except ValidationError as error:
            wrong = wrong_fields(error, most=ERRORS_OF_ROW, own=model.own)
            raise InputError("; ".join(map(str, wrong))) from None
        except ValueError as error:
            raise InputError(str(error)) from None
        return [
            f"{name} is {_told(found[name])}, not {_told(self.answered[name])}"
            for name in _ANSWERED
            if found[name] != self.answered[name]
        ]


def _answered(model: PriceModel, valuation: Valuation) -> dict[str, Any]:
    day, currency = valuation.valuation_date.isoformat(), model.market.currency
    return dict(zip(_ANSWERED, (*valuation.prices, day, currency), strict=True))


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
