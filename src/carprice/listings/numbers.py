"""Read a number as people write it: digits, a scale word, a unit, a currency.

A text is read only if all that follows its first digits is understood: ``520 000 Kč`` is a number
and a currency, ``12万公里`` a number, a scale word and a unit. Nothing is guessed of what follows
an unknown word: the value counts as unreadable.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

Decimal = Literal[".", ","]

_SCALES: Final[Mapping[float, str]] = {
    1e3: (
        "k thousand thousands tsd. tsd хил. tausend mille tis. tis tisíc tys. tys tysięcy тыс. тыс "
        "тысяч тис. тис т. ribu rb nghìn ngàn bin hazar हज़ार 千 천"
    ),
    1e4: "万 萬 만",
    1e5: "lakh lakhs lac lacs लाख",
    1e6: (
        "million millions mn mio. mio mln. mln mill. mill млн. млн millones millón milhões milhão "
        "juta jt triệu tr milyon 百万"
    ),
    1e7: "crore crores cr. cr करोड़",
    1e8: "亿 億 억",
    1e9: "billion bn mrd. mrd млрд. млрд miliar milyar tỷ",
}
"""The scale words of the world's listings. ``mil`` is none: it is a thousand in Spain, a million in
English slang, and ten kilometres in Sweden."""
_SCALES_OF_PRICES: Final[Mapping[float, str]] = {1e4: "w", 1e5: "l", 1e6: "m"}
_SCALES_OF_DISTANCES: Final[Mapping[float, str]] = {1e3: "t", 1e4: "w"}

_CURRENCIES: Final[Mapping[str, str]] = {
    "₹ रु रू": "INR",
    "rs. rs rupees rupee": "INR PKR LKR NPR",
    "$ dollars dollar": "USD AUD CAD NZD SGD HKD MXN ARS CLP COP",
    "us$": "USD",
    "a$ au$": "AUD",
    "c$ ca$": "CAD",
    "nz$": "NZD",
    "s$": "SGD",
    "hk$": "HKD",
    "mx$": "MXN",
    "r$": "BRL",
    "€ euro euros": "EUR",
    "£": "GBP EGP",
    "kč": "CZK",
    "zł": "PLN",
    "ft": "HUF",
    "kr. kr": "SEK NOK DKK ISK",
    "fr. sfr. sfr": "CHF",
    "₽ руб. руб рублей р.": "RUB",
    "₴ грн. грн": "UAH",
    "₸ тг": "KZT",
    "₺ tl": "TRY",
    "¥ 円": "JPY CNY",
    "元 rmb 人民币": "CNY",
    "₩ 원": "KRW",
    "₫ đồng đ": "VND",
    "rp. rp": "IDR",
    "฿ บาท": "THB",
    "rm": "MYR",
    "₱": "PHP",
    "dhs. dhs dh درهم": "AED MAD",
    "sr ريال": "SAR",
    "تومان toman": "IRT",
    "lei": "RON",
    "лв. лв": "BGN",
    "₪": "ILS",
    "₦": "NGN",
    "ksh": "KES",
    "r": "ZAR",
}
"""Signs and words of currencies, and the ISO 4217 codes that each may stand for."""
_CODES: Final = {word: codes for words, codes in _CURRENCIES.items() for word in words.split()}
CODES: Final = frozenset(" ".join(_CURRENCIES.values()).split()) | {
    *("BHD", "BYN", "DZD", "EGP", "GEL", "GHS", "HRK", "IQD", "IRR", "JOD", "KWD", "LBP", "LKR"),
    *("MDL", "NPR", "OMR", "PEN", "QAR", "RSD", "SAR", "TND", "TWD", "TZS", "UGX", "UZS", "XOF"),
}

UNITS: Final[Mapping[str, Mapping[str, str]]] = {
    "odometer": {
        "km": (
            "km. km kms kilometers kilometer kilometres kilometre км. км 公里 キロ كم كيلومتر "
            "کیلومتر กม. กม 킬로미터 킬로 किमी"
        ),
        "miles": "miles mile mi. mi mls 英里 マイル",
    },
    "engine_cc": {
        "cc": "cc ccm cm3 см3 c.c.",
        "l": "l. l ltr. ltr liters liter litres litre litros л. л",
    },
    "power_bhp": {
        "bhp": "bhp hp",
        "PS": "ps cv ch cp pk km hk л.с. лс 马力 匹",
        "kW": "kw квт",
    },
    "fuel_economy": {
        "km/l": "kmpl km/l kml km/kg kmkg",
        "mpg": "mpg",
        "l/100km": "l/100km l/100",
    },
    "seats": {"": "seats seat seaters seater -seater places plätze sitze 座 мест 인승"},
    "cylinders": {"": "cylinders cylinder cyl. cyl zylinder cilindros 缸"},
    "fitness_age": {"": "years year yrs yr y. лет 年 jahre"},
    "ownership": {"": "owners owner hand. hand"},
    "year": {"": "年款 年 款 г. г год"},
}
"""Units by field, and the words for each; of a field that has one unit only it has no name."""
FACTORS: Final[Mapping[str, Mapping[str, float]]] = {
    "odometer": {"km": 1, "miles": 1.609344},
    "engine_cc": {"cc": 1, "l": 1000},
    "power_bhp": {"bhp": 1, "PS": 0.98632, "kW": 1.34102},
    "fuel_economy": {"km/l": 1, "mpg": 0.425144},
}
"""What one of a unit is: of a distance in kilometres, else in the field's own unit."""
PRICED: Final = ("price", "road_tax")
_NOTES: Final = (
    "only onwards onward negotiable neg. neg nego obo o.b.o. ono o.n.o. vb vhb fp fix fixed "
    "festpreis approx. approx ca. ca"
)
"""Words after a price or a distance that change nothing about its number."""

_POINT: Final = "\u066b"
"""The decimal sign of Arabic script, which means nothing else."""
_GROUP_SIGNS: Final = {"\u066c": "'", "\u060c": ","}
_QUOTES: Final = "'\u2019\u02bc`\u00b4"
_DIGITS: Final = (
    rf"(?:\d{{1,3}}(?:[ {_QUOTES}]\d{{3}})+(?!\d)(?:[.,{_POINT}]\d+)?"
    rf"|\d{{1,2}}(?:[ {_QUOTES}]\d{{2}})+[ {_QUOTES}]\d{{3}}(?!\d)"
    rf"|\d+(?:[.,{_POINT}]\d+)*|(?<![\w.,])[.,]\d+)"
)
_NUMBER: Final = re.compile(rf"((?:(?<!\w)[-+])?{_DIGITS})(?:e([-+]?\d{{1,2}})(?!\w))?")
_ALONE: Final = re.compile(_NUMBER.pattern + "[.,]?")
_TO: Final = re.compile(r"\s*(?:-|~|to\b|bis\b|до\b|至)\s*")
_AND: Final = re.compile(r"\s*(?:and\b|und\b|,)?\s*")
_THOUSAND_KM: Final = re.compile(r"(?<=[\d\s])(t|т\.)(km|км)\b")
_BESIDE_A_UNIT: Final = re.compile(r"^\s*(?:[,;|@(]|at\b|bei\b|/\s*\d).*")
"""What may stand after a unit: something else that is told of the car."""
_WIDEST_RANGE: Final = 2.0
"""A range is read as its middle; a wider one says too little."""
_GROUPED: Final = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:,\d{2,3})*,\d{3})?(?:\.\d*)?")
_WITHOUT_SPACES: Final = ("CJK", "HANGUL", "KATAKANA", "THAI")
_RUNS_ON: Final = "\u0e00-\u0e7f\u30a0-\u30ff\u3400-\u9fff\uac00-\ud7af"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that was read from a text.

    Attributes
    ----------
    number : in the unit that ``unit`` names.
    unit : a key of :data:`FACTORS` for its field; empty where the text has none.
    currency : the sign or word of its currency as the text has it; empty where there is none.
    """

    number: float
    unit: str = ""
    currency: str = ""

    @property
    def name(self) -> str:
        """Its unit or its currency, whichever it has."""
        return self.unit or self.currency


def plain(text: str) -> str:
    """Return a text with ASCII digits and signs, single spaces, in lower case.

    Examples
    --------
    >>> plain("１２万公里"), plain("۱۳٬۰۰۰"), plain("4\u202f500\u00a0€")
    ('12万公里', "13'000", '4 500 €')
    """
    if text.isascii():
        return " ".join(text.lower().split())
    signs = []
    for sign in unicodedata.normalize("NFKC", text.replace("\u2212", "-")).lower():
        if sign in _GROUP_SIGNS:
            signs.append(_GROUP_SIGNS[sign])
        elif unicodedata.category(sign) == "Nd":
            signs.append(str(unicodedata.decimal(sign)))
        elif unicodedata.category(sign) == "Pd":
            signs.append("-")
        elif unicodedata.category(sign) != "Cf":
            signs.append(sign)
    return " ".join("".join(signs).split())


def decimal_sign(digits: str) -> str | None:
    """Return the decimal sign that digits show; ``?`` if they may have either, None if neither.

    Examples
    --------
    >>> [decimal_sign(digits) for digits in ("1.6", "1,234.50", "1.234.567", "18.900", "18900")]
    ['.', '.', ',', '?', None]
    """
    used = [sign for sign in digits if sign in ".,"]
    if not used:
        return None
    if len({*used}) == 2:
        return used[-1]
    (sign,) = {*used}
    if len(used) > 1:
        return "." if sign == "," else ","
    whole, _, rest = digits.partition(sign)
    is_grouped = len(rest) == 3 and re.fullmatch(r"[-+]?[1-9]\d{0,2}", whole)
    return "?" if is_grouped else sign


def number_of(digits: str, decimal: Decimal) -> float | None:
    """Return the number of digits with signs between them; None if they are not grouped so.

    Examples
    --------
    >>> number_of("4,50,000.5", "."), number_of("4.500,5", ","), number_of("1.5", ",")
    (450000.5, 4500.5, None)
    """
    digits = re.sub(rf"[ {_QUOTES}]", "", digits.rstrip(".,"))
    if decimal == ",":
        digits = digits.translate(str.maketrans(".,", ",."))
    digits = digits.replace(_POINT, ".")
    known = any(sign.isdigit() for sign in digits) and _GROUPED.fullmatch(digits)
    return float(digits.replace(",", "")) if known else None


def sign_in(text: str, *, inside: bool) -> str | None:
    """Return the decimal sign that the number in a text shows; see :func:`decimal_sign`.

    Parameters
    ----------
    inside : whether other text may stand around the number.
    """
    if text.isascii() and "." not in text and "," not in text:
        return None
    found = _NUMBER.search(plain(text)) if inside else _ALONE.fullmatch(plain(text))
    return decimal_sign(found[1]) if found else None


def read_number(text: str, decimal: Decimal) -> float | None:
    """Read a text that is a number and nothing else; None if it is not.

    Examples
    --------
    >>> read_number("4,50,000", "."), read_number("1.2e5", "."), read_number("45000 km", ".")
    (450000.0, 120000.0, None)
    """
    if text.isascii() and text.isdigit():
        return float(text)
    found = _ALONE.fullmatch(plain(text))
    number = number_of(found[1], decimal) if found else None
    return None if found is None or number is None else number * 10.0 ** int(found[2] or 0)


def read_quantity(text: str, field: str, decimal: Decimal) -> Quantity | None:
    """Read the first number inside a text; None if there is none, or what follows is not known.

    What stands before the number is a label and not looked at, but for a currency.

    Examples
    --------
    >>> read_quantity("₹4.44 L", "price", ".")
    Quantity(number=444000.0, unit='', currency='₹')
    >>> read_quantity("12万公里", "odometer", ".")
    Quantity(number=120000.0, unit='km', currency='')
    >>> read_quantity("520 000 Kč", "price", ".").number, read_quantity("5 Krona", "price", ".")
    (520000.0, None)
    """
    text, words = plain(text), _words_of(field)
    if field == "odometer":
        text = _THOUSAND_KM.sub(r"\1 \2", text)
    first = _NUMBER.search(text)
    return words.read(text, first.start(), decimal) if first else None


def unit_of(field: str, word: str) -> str:
    """Return the unit of a field that a word stands for; the word itself if it is none.

    Examples
    --------
    >>> unit_of("odometer", "Mi."), unit_of("odometer", "furlong")
    ('miles', 'furlong')
    """
    return next(
        (unit for unit, words in UNITS.get(field, {}).items() if plain(word) in words.split()),
        word,
    )


def codes_of(currency: str) -> frozenset[str]:
    """Return the ISO 4217 codes that a sign, word or code may stand for; none if it is not known.

    Examples
    --------
    >>> sorted(codes_of("C$")), sorted(codes_of("Rs.")), codes_of("points")
    (['CAD'], ['INR', 'LKR', 'NPR', 'PKR'], frozenset())
    """
    if currency.upper() in CODES:
        return frozenset({currency.upper()})
    return frozenset(_CODES.get(plain(currency), "").split())


@dataclass(frozen=True, slots=True)
class _Amount:
    number: float
    scale: float
    end: int


class _Words:
    """The words that may stand beside a field's numbers."""

    def __init__(self, field: str) -> None:
        self._field = field
        scales = dict(_by_word(_SCALES))
        priced = field in PRICED
        if priced:
            scales |= _by_word(_SCALES_OF_PRICES)
        if field == "odometer":
            scales |= _by_word(_SCALES_OF_DISTANCES)
        self._scales = scales if priced or field == "odometer" else {}
        self._units = {
            word: name for name, words in UNITS.get(field, {}).items() for word in words.split()
        }
        signs = [word for words in _CURRENCIES for word in words.split()]
        self._currencies = [*signs, *(code.lower() for code in CODES)] if priced else []
        self._scale = _one_of(self._scales)
        self._unit = _one_of(self._units)
        self._currency = _one_of(self._currencies)
        self._currency_before = re.compile(rf"(?<![^\W\d_])({_either(self._currencies)})\s*$")
        self._rest = re.compile(rf"(?:[\s.,;:!*+()]|/?-+|(?:{_either(_NOTES.split())}))*")

    def read(self, text: str, start: int, decimal: Decimal) -> Quantity | None:
        amount = self._amount(text, start, decimal)
        if amount is None:
            return None
        number = amount.number * amount.scale
        before = self._currency_before.search(text[:start])
        currency = before[1] if before else ""
        end = amount.end + text.startswith("+", amount.end)
        unit, currency, end = self._names(text, end, "", currency)
        to = _TO.match(text, end)
        if to and (last := self._amount(text, to.end(), decimal)):
            scale = last.scale if amount.scale == 1 else amount.scale
            low, high = amount.number * scale, last.number * last.scale
            if not low <= high <= _WIDEST_RANGE * low:
                return None
            number = (low + high) / 2
            unit, currency, end = self._names(text, last.end, unit, currency)
        rest = text[end:]
        if unit:
            rest = _BESIDE_A_UNIT.sub("", rest)
        if beside := re.fullmatch(r"\s*\((.+)\)\s*", rest):
            rest = "" if read_quantity(beside[1], self._field, decimal) else beside[1]
        if not self._rest.fullmatch(rest):
            return None
        return Quantity(round(number, 6), self._units.get(unit, ""), currency)

    def _amount(self, text: str, start: int, decimal: Decimal) -> _Amount | None:
        """Read digits and scale words: ``4 lakh 44 thousand`` is the sum of both."""
        total, scale, end = 0.0, 0.0, start
        while found := _NUMBER.match(text, end):
            number = number_of(found[1], decimal)
            if number is None:
                return None
            number *= 10.0 ** int(found[2] or 0)
            word = self._scale.match(text, found.end())
            factor = self._scales[word[1]] if word else 1.0
            if scale and factor >= scale:
                return None
            total, end = total + number * factor, (word or found).end()
            scale = scale or factor
            following = _AND.match(text, end)
            if factor == 1 or not following or not _NUMBER.match(text, following.end()):
                break
            end = following.end()
        return _Amount(total / scale, scale, end) if scale else None

    def _names(self, text: str, end: int, unit: str, currency: str) -> tuple[str, str, int]:
        """Return unit and currency, where they follow, and where they end."""
        while True:
            if not unit and (found := self._unit.match(text, end)):
                unit = found[1]
            elif not currency and (found := self._currency.match(text, end)):
                currency = found[1]
            else:
                return unit, currency, end
            end = found.end()


@cache
def _words_of(field: str) -> _Words:
    return _Words(field)


def _by_word(table: Mapping[float, str]) -> dict[str, float]:
    return {word: factor for factor, words in table.items() for word in words.split()}


def _either(words: Iterable[str]) -> str:
    """Return a pattern of any of the words, the longest first; none matches where there is none.

    A word of an alphabet ends before the next letter; Chinese, Japanese, Korean and Thai are
    written without spaces.
    """
    return "|".join(map(_bounded, sorted(words, key=len, reverse=True))) or r"(?!)"


def _bounded(word: str) -> str:
    runs_on = not word[-1].isalpha() or unicodedata.name(word[-1]).startswith(_WITHOUT_SPACES)
    return re.escape(word) + ("" if runs_on else rf"(?![^\W\d_{_RUNS_ON}])")


def _one_of(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"\s*({_either(words)})")
