"""Read a number as people write it: digits, a scale word, a unit, a currency.

A text is read only if all that follows its first digits is understood: ``520 000 Kč`` is a number
and a currency, ``12万公里`` a number, a scale word and a unit. Nothing is guessed of what follows
an unknown word: the value counts as unreadable.
"""

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

Decimal = Literal[".", ","]

_SCALES: Final[Mapping[float, str]] = {
    1e3: (
        "k thousand thousands grand tsd. tsd tausend mille mila mii tis. tis tisíc tys. tys "
        "tysięcy хил. тыс. тыс тысяч тис. тис т. тр т.р. к χιλ. ezer tuhat ribu rb nghìn ngàn bin "
        "hazar हज़ार हजार হাজার ہزار هزار ألف الف אלף 千 천 พัน"
    ),
    1e4: "万 萬 만 vạn หมื่น",
    1e5: "lakh lakhs lac lacs लाख লাখ লক্ষ লাখ لاکھ લાખ లక్షలు లక్ష லட்சம் ಲಕ್ಷ ലക്ഷം แสน",
    1e6: (
        "million millions mn mio. mio mln. mln mill. mill млн. млн кк millones millón milhões "
        "milhão milioni milione milioane miljoen miljoonaa miljoner millió juta jt triệu tr milyon "
        "مليون میلیون מיליון 百万 ล้าน"
    ),
    1e7: "crore crores cr. cr करोड़ কোটি کروڑ",
    1e8: "亿 億 억",
    1e9: "billion bn mrd. mrd млрд. млрд miliar milyar tỷ میلیارد مليار",
}
"""The scale words of the world's listings. ``mil`` is none: it is a thousand in Spain, a million in
Prague, and ten kilometres in Sweden."""
_SCALES_OF_PRICES: Final[Mapping[float, str]] = {1e4: "w", 1e5: "l", 1e6: "m"}
_MILIAR: Final = re.compile(r"\d\s*m\b")
"""In Indonesia M is a thousand millions."""
_SCALES_OF_DISTANCES: Final[Mapping[float, str]] = {1e3: "t", 1e4: "w"}

_CURRENCIES: Final[Mapping[str, str]] = {
    "₹ रु. रु रू": "INR",
    "rs. rs rupees rupee ₨ روپے": "INR PKR LKR NPR MUR",
    "$ dollars dollar": "USD AUD CAD NZD SGD HKD TWD MXN ARS CLP COP UYU DOP NAD JMD TTD BBD",
    "us$ u$s usd$ u$d": "USD",
    "a$ au$": "AUD",
    "c$ ca$ cad$": "CAD NIO",
    "nz$": "NZD",
    "s$": "SGD",
    "hk$": "HKD",
    "nt$ 台幣 新台幣": "TWD",
    "mx$ mxn$": "MXN",
    "rd$": "DOP",
    "$u": "UYU",
    "n$": "NAD",
    "r$ reais": "BRL",
    "€ euro euros евро ευρώ": "EUR",
    "£": "GBP EGP LBP",
    "e£ l.e. le جنيه ج.م ج.م.": "EGP",
    "kč kčs": "CZK",
    "zł zl złotych": "PLN",
    "ft": "HUF",
    "kr. kr": "SEK NOK DKK ISK",
    "fr. fr sfr. sfr": "CHF",
    "₽ руб. руб рублей рубля рубль р. р": "RUB BYN",
    "₴ грн. грн": "UAH",
    "₸ тг. тг тенге": "KZT",
    "сум so'm": "UZS",
    "сом": "KGS",
    "₾": "GEL",
    "֏": "AMD",
    "₼": "AZN",
    "₺ tl lira": "TRY",
    "¥ 円": "JPY CNY",
    "元 rmb 人民币": "CNY",
    "₩ 원": "KRW",
    "₫ đồng đ vnđ": "VND",
    "rp. rp rupiah": "IDR",
    "฿ บาท baht": "THB",
    "rm": "MYR",
    "₱": "PHP",
    "p": "PHP BWP",
    "pesos peso": "MXN ARS CLP COP UYU DOP PHP",
    "fcfa cfa": "XOF XAF",
    "da": "DZD",
    "ден": "MKD",
    "qr": "QAR",
    "bd": "BHD",
    "৳ tk. tk taka টাকা": "BDT",
    "dhs. dhs dh درهم د.إ د.إ.": "AED MAD",
    "sr. sr ريال ر.س ر.س.": "SAR QAR OMR YER",
    "د.ك kd": "KWD",
    "تومان toman": "IRT",
    "ریال ﷼": "IRR SAR QAR OMR YER",
    "lei": "RON MDL",
    "лв. лв лева": "BGN",
    "дин. дин din": "RSD",
    '₪ ש"ח nis': "ILS",
    "₦ n naira": "NGN",
    "ksh. ksh kshs": "KES",
    "tsh ts": "TZS",
    "ush": "UGX",
    "gh₵ ghc ₵": "GHS",
    "r": "ZAR",
    "s/. s/": "PEN",
    "bs. bs $b": "BOB VES",
    "₡": "CRC",
    "₲ gs. gs": "PYG",
    "q. q": "GTQ",
    "l. l lps. lps": "HNL",
    "b/.": "PAB",
    "₭": "LAK",
    "៛": "KHR",
    "₮": "MNT",
}
"""Signs and words of currencies, and the ISO 4217 codes that each may stand for."""
CODES: Final = frozenset(" ".join(_CURRENCIES.values()).split()) | {
    *("ALL", "BAM", "BHD", "BND", "BWP", "DZD", "ETB", "FJD", "HRK", "IQD", "JOD", "LBP", "LYD"),
    *("MKD", "MMK", "MOP", "MZN", "RWF", "SYP", "TJS", "TMT", "TND", "XAF", "XOF", "ZMW", "ZWL"),
}

UNITS: Final[Mapping[str, Mapping[str, str]]] = {
    "odometer": {
        "km": (
            "km. km kms kilometers kilometer kilometres kilometre kilómetros kilometros "
            "quilômetros quilómetros chilometri kilometrów kilometrů км. км километров 公里 キロ "
            "كم كيلومتر کیلومتر کلومیٹر กม. กม กิโลเมตร 킬로 킬로미터 किमी कि.मी. কিমি χλμ. χλμ "
            "ק\"מ ק''מ"
        ),
        "miles": "miles mile mi. mi mls 英里 マイル",
    },
    "engine_cc": {
        "cc": ('cc ccm cm3 cm^3 см3 сс c.c. c.c куб.см куб.см. кубсм τ.εκ. سي.سي סמ"ק ซีซี cc. ccm.'),
        "l": (
            "l. l ltr. ltr liters liter litres litre litros lítros litri litrů л. л литра литров "
            "升 リットル ลิตร"
        ),
    },
    "power_bhp": {
        "bhp": "bhp hp horsepower",
        "PS": (
            "ps cv ch cp pk km hk bg le ks konji koní koni beygir л.с. л.с лс к.с. к.с кс "
            "马力 馬力 匹 마력 แรงม้า"
        ),
        "kW": "kw квт kilowatt",
    },
    "fuel_economy": {
        "km/l": "kmpl km/l kml km/litre km/liter km/ltr km/kg kmkg",
        "mpg": "mpg",
        "l/100km": "l/100km l/100 л/100км л/100",
    },
    "seats": {
        "": (
            "seats seat seaters seater seating places plätze sitze sitzplätze osób lugares plazas "
            "座 座位 人乗り 名 мест места 인승"
        )
    },
    "cylinders": {
        "": "cylinders cylinder cyl. cyl zylinder cilindros cylindres cilindri 缸 气缸 氣缸 기통"
    },
    "fitness_age": {"": "years year yrs yr y. лет года год 年 jahre"},
    "ownership": {"": "owners owner hand. hand"},
    "year": {"": "年款 年式 年 款 г. г год года р. року r. rok 년식 년 model"},
}
"""Units by field, and the words for each; of a field that has one unit only it has no name."""
FACTORS: Final[Mapping[str, Mapping[str, float]]] = {
    "odometer": {"km": 1, "miles": 1.609344},
    "engine_cc": {"cc": 1, "l": 1000},
    "power_bhp": {"bhp": 1, "PS": 0.98632, "kW": 1.34102},
    "fuel_economy": {"km/l": 1, "mpg": 0.425144},
}
"""What one of a unit is: of a distance in kilometres, else in the field's own unit."""
PRICED: Final = ("price", "road_tax", "new_price")
_PER_DOLLAR: Final[Mapping[float, str]] = {
    1: "USD EUR GBP CHF AUD CAD NZD SGD BND BGN AZN GEL KWD BHD OMR JOD FJD",
    5: "AED SAR QAR PLN RON MYR ILS BRL PEN BAM TND LYD",
    15: "SEK NOK DKK CNY HKD MAD BOB GTQ ZAR MXN MDL BWP NAD GHS MOP",
    35: "CZK THB TWD TRY UAH UYU HNL EGP DOP PHP MUR NIO",
    100: "INR RUB RSD KGS BDT NPR ISK KES JPY DZD",
    300: "PKR LKR HUF AMD KZT CRC",
    1000: "KRW CLP ARS NGN IQD XOF XAF RWF MNT",
    4000: "COP TZS UGX PYG KHR",
    20_000: "IDR VND UZS LAK IRR IRT LBP",
}
"""What a US dollar costs in other currencies, as far as whole scale words can be told apart."""
DEAR: Final = 300_000.0
"""A median price in US dollars that used cars hardly have."""
_FAR: Final = 1_000_000.0
_CENTS: Final = (
    "cent cents centesimi centimes céntimos centimos céntimo cêntimos centavos centavo pence penny "
    "pennies kopeck kopecks kopek kopeks копейки копеек копейках коп копійки копійок paise paisa "
    "पैसे पैसा grosze groszy groszach haléře haléřů halere fillér öre øre bani kuruş kurus "
    "стотинки halalas halala agorot satang rappen"
)
"""Words for a hundredth of a currency."""
_NOTES: Final = (
    "only, onwards, onward, negotiable, slightly negotiable, neg., neg, nego, obo, o.b.o., ono, "
    "o.n.o., o.n.o, or best offer, or nearest offer, "
    "vb, vhb, verhandlungsbasis, fp, fix, fixed, firm, festpreis, fest, approx., approx, ca., ca, "
    "inc vat, inc. vat, incl vat, incl. vat, including vat, vat incl., vat incl, vat included, "
    "drive away, inkl. mwst., inkl. mwst, inkl mwst, mwst. ausweisbar, mwst ausweisbar, "
    "mwst. ausw., brutto, ttc, trattabile, trattabili, non trattabile, à vista, a vista, "
    "à débattre, négociable, a négocier, iva incluido, iva incluida, iva inclusa, iva incl., "
    "contado, al contado, vč. dph, včetně dph, kdv dahil, incl. btw, inkl. moms, negociabil, "
    "do negocjacji, do uzgodnienia, с ндс, торг, 税込, 起, driven, din, "
    "est., estimated, run, пробега, per year, a year, p.a., /year, /yr, / year, / yr"
)
"""Words after a number that change nothing about it."""
_OTHER_AMOUNTS: Final = re.compile(
    r"\b(?:emi|deposit|down|downpayment|down-payment|monthly|per month|per week|weekly|finance|mtl|"
    r"monatlich|rate|anzahlung|leasing|mensualidad(?:es)?|mensual|enganche|anticipo|entrada|cuotas?|"
    r"mensualités?|par mois|apport|rata|msrp|rrp|uvp|neupreis|list price|when new|was|"
    r"взнос|в месяц|платеж|аванс|peşinat|taksit|cicilan|dp|angsuran|trả góp|trả trước|"
    r"raty|wpłata|wkład|měsíčně|splátka|akontace|havi|önerő|aanbetaling|lease|parcelas?|mensal|"
    r"maandelijks|acconto|قسط|شهريا|دفعة|پیش|ماهانه|اقساط)\b"
    r"|首付|月供|指导价|新车|原价|月々|月額|頭金|新車|월|렌트|리스|할부|보증금|신차|ดาวน์|ผ่อน"
)
"""What says that a price is of something else: an instalment, a deposit, the car when new."""

_NET: Final = re.compile(
    r"\b(?:netto|net|ht|hors taxes|bez dph|excl\.? vat|ex\.? vat|o\. mwst\.?)\b"
)
"""What says, beside a price in brackets, that it is the same one without taxes."""
_AT_MOST: Final = re.compile(
    r"(?:[<≤]|\b(?:under|below|less than|up to|at most|maximum|max\.?|unter|bis|bis zu|höchstens|"
    r"weniger als|moins de|jusqu'à|menos de|hasta|até|meno di|fino a|poniżej|do|méně než|"
    r"до|менее|меньше|не более|kurang dari|di bawah|dưới|كمتر از|کمتر از|أقل من))\s*$"
)
"""What says, before a number, that only the upper end of a range is told."""
_POINT: Final = "\u066b"
"""The decimal sign of Arabic script, which means nothing else."""
_FOOTNOTE: Final = re.compile("(?<![mMмМ])[\u00b9\u00b2\u00b3\u2070-\u2079]")
"""A small raised digit, unless it makes a volume: ``12.990¹`` is no 12.9901."""
_OTHER_SIGNS: Final = {"\u066c": "'", "\u060c": ",", "\u05f4": '"'}
_QUOTES: Final = "'\u2019\u02bc`\u00b4"
_DIGITS: Final = (
    rf"(?:\d{{1,3}}(?:[ {_QUOTES}]\d{{3}})+(?!\d)(?:[.,{_POINT}]\d+)?"
    rf"|\d{{1,2}}(?:[ {_QUOTES}]\d{{2}})+[ {_QUOTES}]\d{{3}}(?!\d)"
    rf"|\d+(?:[.,{_POINT}]\d+)*|(?<![\w.,])[.,]\d+)"
)
_NUMBER: Final = re.compile(rf"((?:(?<!\w)[-+])?{_DIGITS})(?:e([-+]?\d{{1,2}})(?!\w))?")
_ALONE: Final = re.compile(_NUMBER.pattern + "[.,]?")
_TO: Final = re.compile(r"\s*(?:-|~|to\b|bis\b|до\b|至)\s*")
_EVEN: Final = re.compile(r"\s*[.,:/]\s?-{1,2}(?!\s*\d)")
"""What says that there are no cents: ``12.500,-``."""
_AND: Final = re.compile(r"\s*(?:and\b|und\b|و\b|,)?\s*")
_THOUSANDS_OF: Final = re.compile(
    r"(?<=[\d\s])(?:t|т|к|k)\.?\s?(?=(?:km|км|eur|€|kr|sek|chf|czk|usd)\b|€)"
)
"""The start of ``45 tkm``, ``12,5 TEUR`` and the like."""
_TRUE_DISTANCE: Final = re.compile(r"\b(?:original|actual|genuine|verified|true)\s+(?=[a-zа-я])")
_PER_100_KM: Final = re.compile(r"/\s*100\s*(?=km|км)")
_SPACED_DOLLAR: Final = re.compile(r"\b(us|au|ca|nz|hk|nt|mx|rd|c)\s+\$")
_BESIDE_A_UNIT: Final = re.compile(r"^\s*(?:[,;|@(•·]|at\b|bei\b|/\s*(?!100\b|100km)\d).*")
"""What may stand after a unit: something else that is told of the car."""
_NO_SCALE_OF_NAME: Final = frozenset({"grand", "mille", "mila", "mii", "bin", "ezer", "mill"})
_SCALE_OF_NAME: Final = re.compile(
    r"(?<![\d.,])(?:1[., ]?)?000s?(?!\d)|(?<![^\W\d_])[tk](?:[€$£]|(?:eur|usd|km)(?![^\W\d_]))"
)
"""A thousand in the name of a column: ``Price ('000)``, ``TEUR``, ``Tkm``."""
MOST_IN_A_SCALE: Final = {**dict.fromkeys(PRICED, 20_000.0), "odometer": 2000.0}
"""A median above this is in no thousands or lakh, whatever the column's name says."""
_WORD_OF_NAME: Final = re.compile(r"[A-Z]+(?![a-z])|[^\W\d_A-Z]+|[A-Z][a-z]+")
_NO_MONEY: Final = frozenset({"all", "try", "pen", "mad", "gel", "mop", "cop", "din"})
"""Codes and words of currencies that are words of other meanings in the name of a column."""
_MOST_APART: Final = 4.0
"""Typical amounts of two signs differ by less if both stand for one currency."""
FEWEST_OF_A_SIGN: Final = 5
"""Rows of which a sign's typical amount is known."""
_LEAST_PART: Final = 100
"""``4 lakh 5000`` is a sum; what 500, or 50, is of in ``4 lakh 50`` is not said."""
_MASKED: Final = re.compile(r"\d\*{3}")
_WIDEST_RANGE: Final = 2.0
"""A range is read as its middle; a wider one says too little."""
_GROUPED: Final = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:,\d{2,3})*,\d{3})?(?:\.\d*)?")
_WITHOUT_SPACES: Final = ("CJK", "HANGUL", "KATAKANA", "HIRAGANA", "THAI")
_SIGN_OF_MONEY: Final = "$¢£¤¥֏؋৲৳૱௹฿៛\u20a0-\u20cf"
_ERAS: Final = {"令和": 2018, "平成": 1988, "昭和": 1925, "民國": 1911, "民国": 1911}
"""Years that are counted from another than 0: the first of 令和 is 2019."""
_RUNS_ON: Final = "\u0e00-\u0e7f\u30a0-\u30ff\u3400-\u9fff\uac00-\ud7af"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that was read from a text.

    Attributes
    ----------
    number : in the unit that ``unit`` names.
    unit : a key of :data:`FACTORS` for its field; empty where the text has none.
    currency : the sign or word of its currency as the text has it; empty where there is none.
    scaled : whether the text has a scale word, such as lakh.
    """

    number: float
    unit: str = ""
    currency: str = ""
    scaled: bool = False

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
    if "&" in text:
        text = html.unescape(text)
    if text.isascii():
        return " ".join(text.lower().split())
    signs = []
    text = _FOOTNOTE.sub("", text.replace("\u2212", "-"))
    for sign in unicodedata.normalize("NFKC", text).lower():
        if sign in _OTHER_SIGNS:
            signs.append(_OTHER_SIGNS[sign])
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


def is_scale(factor: float) -> bool:
    """Whether a factor is what a scale word stands for, such as 100,000 for lakh."""
    return factor in _SCALES


def sign_in(text: str, *, inside: bool) -> str | None:
    """Return the decimal sign that the number in a text shows; see :func:`decimal_sign`.

    Parameters
    ----------
    inside : whether other text may stand around the number.
    """
    if text.isascii() and "." not in text and "," not in text:
        return None
    text = plain(text)
    found = _NUMBER.search(text) if inside else _ALONE.fullmatch(text)
    if found is None:
        return None
    even = _EVEN.match(text, found.end())
    return even[0].strip()[0] if even and even[0].strip()[0] in ".," else decimal_sign(found[1])


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
    Quantity(number=444000.0, unit='', currency='₹', scaled=True)
    >>> read_quantity("12万公里", "odometer", ".")
    Quantity(number=120000.0, unit='km', currency='', scaled=True)
    >>> read_quantity("520 000 Kč", "price", ".").number, read_quantity("5 Krona", "price", ".")
    (520000.0, None)
    """
    text, words = plain(text), _words_of(field)
    if field == "odometer" or field in PRICED:
        text = _THOUSANDS_OF.sub("k ", _SPACED_DOLLAR.sub(r"\1$", text))
        text = _TRUE_DISTANCE.sub("", text)
    elif field == "fuel_economy":
        text = _PER_100_KM.sub("/100", text)
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
        (
            unit
            for unit, words in UNITS.get(field, {}).items()
            if plain(word) in plain(words).split()
        ),
        word,
    )


def codes_of(currency: str) -> frozenset[str]:
    """Return the ISO 4217 codes that a sign, word or code may stand for; none if it is not known.

    Examples
    --------
    >>> sorted(codes_of("US$")), sorted(codes_of("zł")), codes_of("points")
    (['USD'], ['PLN'], frozenset())
    """
    if currency.upper() in CODES:
        return frozenset({currency.upper()})
    return _codes_by_word().get(plain(currency), frozenset())


def are_apart(one: str, other: str, typical: Mapping[str, float]) -> bool:
    """Whether two signs of currencies stand for two: what both name is none, or amounts differ.

    ``$`` may stand for ``US$``; where it stands beside other amounts, it does not.

    Parameters
    ----------
    typical : by sign, what is typically named in it, where that is known.

    Examples
    --------
    >>> are_apart("€", "EUR", {}), are_apart("US$", "$", {"US$": 9000, "$": 360_000})
    (False, True)
    """
    ours, theirs = codes_of(one), codes_of(other)
    if ours == theirs or not ours & theirs:
        return not ours & theirs
    amounts = [typical[sign] for sign in (one, other) if sign in typical]
    return len(amounts) == 2 and max(amounts) > _MOST_APART * min(amounts)


def unit_in_name(field: str, column: str) -> str:
    """Return the unit of a field that the name of its column tells; empty if it tells none.

    Examples
    --------
    >>> unit_in_name("odometer", "Mileage (miles)"), unit_in_name("power_bhp", "powerKW")
    ('miles', 'kW')
    """
    words = {unit_of(field, word) for word in _words_of_name(column)}
    return next((unit for unit in UNITS.get(field, {}) if unit and unit in words), "")


def codes_in_name(column: str) -> frozenset[str]:
    """Return the ISO 4217 codes of the currency that a column's name tells; none if it tells none.

    Examples
    --------
    >>> sorted(codes_in_name("price_eur")), sorted(codes_in_name("all prices"))
    (['EUR'], [])
    """
    words = (word for word in _words_of_name(column) if len(word) > 2 and word not in _NO_MONEY)
    return next(filter(None, map(codes_of, words)), frozenset())


def tells_cents(column: str) -> bool:
    """Whether the name of a column tells hundredths of a currency.

    Examples
    --------
    >>> tells_cents("price_cents"), tells_cents("Preis in Cent"), tells_cents("price per cent")
    (True, True, False)
    """
    words = _words_of_name(column)
    return not {*_CENTS.split()}.isdisjoint(words) and not {"per", "pro", "percent"} & {*words}


def scale_in_name(field: str, column: str) -> float:
    """Return what the name of a column of prices or distances says that it counts; 1 if nothing.

    Examples
    --------
    >>> scale_in_name("price", "price_in_lakhs"), scale_in_name("odometer", "里程(万公里)")
    (100000.0, 10000.0)
    >>> scale_in_name("price", "Preis (T€)"), scale_in_name("price", "Precio (miles)")
    (1000.0, 1000.0)
    >>> scale_in_name("price", "price per km"), scale_in_name("odometer", "Mileage (miles)")
    (1.0, 1.0)
    """
    if field not in MOST_IN_A_SCALE:
        return 1.0
    words = {*_words_of_name(column)}
    if field in PRICED and "miles" in words and "per" not in words:
        return 1000.0
    for text, factor in sorted(_by_word(_SCALES).items(), key=lambda one: -one[1]):
        word = text.rstrip(".")
        is_told = len(word) > 2 and word in words - _NO_SCALE_OF_NAME
        if is_told or (_runs_on(word) and word in column):
            return factor
    return 1000.0 if _SCALE_OF_NAME.search(plain(column)) else 1.0


def tells_mil(column: str) -> bool:
    """Whether the name of a column tells ``mil``: ten kilometres in Sweden, a thousand in Spain.

    Examples
    --------
    >>> tells_mil("Miltal"), tells_mil("Körsträcka (mil)"), tells_mil("Mileage")
    (True, True, False)
    """
    return not {"mil", "miltal"}.isdisjoint(_words_of_name(column))


def per_dollar(currency: str) -> float:
    """Return what a US dollar costs in a currency, roughly; 0 if it is not known."""
    codes = codes_of(currency)
    known = (rate for rate, names in _PER_DOLLAR.items() if codes & {*names.split()})
    return min(known, default=0.0)


def is_beyond(field: str, median: float, currency: str) -> bool:
    """Whether a median is far above the prices or the odometers of used cars.

    Of a currency that is not known no price is.

    Examples
    --------
    >>> is_beyond("price", 3e8, "INR"), is_beyond("price", 3e7, "KRW")
    (True, False)
    """
    if field == "odometer":
        return median > _FAR
    return field in PRICED and median > DEAR * (per_dollar(currency) or math.inf)


def _words_of_name(column: str) -> list[str]:
    words = [*re.split(r"[\W\d_]+", column), *_WORD_OF_NAME.findall(column)]
    return [word.lower() for word in words if len(word) > 1]


@cache
def _codes_by_word() -> dict[str, frozenset[str]]:
    dollars = {f"{code}$": code for code in _CURRENCIES["$ dollars dollar"].split()}
    return {
        plain(word): frozenset(codes.split())
        for words, codes in {**dollars, **_CURRENCIES}.items()
        for word in words.split()
    }


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
            plain(word): name
            for name, words in UNITS.get(field, {}).items()
            for word in words.split()
        }
        codes = [code.lower() for code in CODES]
        self._currencies = frozenset([*_codes_by_word(), *codes] if priced else [])
        self._scale = _one_of(self._scales)
        self._unit = re.compile(rf"\s*-?\s*({_either(self._units)})")
        named = [word for word, name in self._units.items() if name]
        self._unit_before = re.compile(rf"(?<![^\W\d_])({_either(named)})\s*[:=]?\s*$")
        self._currency = _one_of(self._currencies)
        self._sign_before = re.compile(rf"([^\s(:]*[{_SIGN_OF_MONEY}][^\s(]*)$")
        notes = _either(_NOTES.split(", "))
        self._rest = re.compile(rf"(?:[\s.,;:!*+()†‡^\"]|/=|/?-+|(?:{notes}))*")

    def read(self, text: str, start: int, decimal: Decimal) -> Quantity | None:
        amount = self._amount(text, start, decimal)
        if amount is None or self._is_of_something_else(text, start, amount):
            return None
        number = amount.number * amount.scale
        scaled = amount.scale != 1
        currency = self._told_before(text[:start])
        end = amount.end + text.startswith("+", amount.end)
        unit, currency, end = self._names(text, end, "", currency)
        if start and (said := self._unit_before.search(text[:start])):
            if unit and self._units[unit] != self._units[said[1]]:
                return None
            unit = said[1]
        to = _TO.match(text, end)
        if to:
            sign = self._currency.match(text, to.end())
            last = self._amount(text, sign.end() if sign else to.end(), decimal)
            if last and sign and not currency:
                currency = sign[1]
            if last and sign and sign[1] != currency:
                return None
        if to and last:
            scale = last.scale if amount.scale == 1 else amount.scale
            low, high = amount.number * scale, last.number * last.scale
            if not low <= high <= _WIDEST_RANGE * low:
                return None
            number, scaled = (low + high) / 2, scale != 1
            unit, currency, end = self._names(text, last.end, unit, currency)
        found = Quantity(round(number, 6), self._units.get(unit, ""), currency, scaled)
        rest = text[end:]
        if unit:
            rest = _BESIDE_A_UNIT.sub("", rest)
        if beside := re.fullmatch(r"\s*\((.+)\)\s*", rest):
            inside = _NET.sub("", beside[1]) if self._currencies else beside[1]
            other = read_quantity(inside, self._field, decimal)
            if other and other.unit and not found.unit:
                return other
            rest = "" if other and self._agree(found, other) else beside[1]
        is_miliar = "IDR" in codes_of(currency) and _MILIAR.search(text)
        return found if self._rest.fullmatch(rest) and not is_miliar else None

    def _is_of_something_else(self, text: str, start: int, amount: _Amount) -> bool:
        """Whether the number is a part of a name such as V8, or not the car's own price."""
        before = text[:start].rstrip()
        if self._currencies and (_OTHER_AMOUNTS.search(text) or re.fullmatch(r"\(.*\)", text)):
            return True  # so accountants write what is below 0
        if before.endswith("-") and amount.number < 0:
            return True
        if (before.startswith("-") and amount.number > 0) or self._is_upper_end(before):
            return True
        if _MASKED.match(text, amount.end - 1):
            return True
        is_attached = len(before) == start and before[-1:].isalpha()
        if not is_attached or self._told_before(before):
            return False
        is_year = self._field == "year" and amount.number >= 1000
        is_cased = not unicodedata.name(before[-1]).startswith(_WITHOUT_SPACES)
        return is_cased and not is_year and self._field != "cylinders"

    def _is_upper_end(self, before: str) -> bool:
        """Whether only the upper end of a range of prices or distances is told: ``< 5000``."""
        is_ranged = self._currencies or self._field == "odometer"
        return bool(is_ranged and _AT_MOST.search(before))

    def _agree(self, found: Quantity, other: Quantity) -> bool:
        """Whether a number in brackets may be the same amount once more."""
        if not self._currencies or found.name != other.name:
            return True
        return found.number / 2 <= other.number <= found.number * 2

    def _told_before(self, before: str) -> str:
        """Return the currency that stands before a number; a sign that is not known, too."""
        if not self._currencies:
            return ""
        before = before.rstrip()
        nearest = self._known_at_end(before)
        if not nearest:
            sign = self._sign_before.search(before)
            return sign[1] if sign else ""
        further = self._known_at_end(before[: -len(nearest)].rstrip())
        return self._narrower(nearest, further) if further else nearest

    def _known_at_end(self, text: str) -> str:
        """Return the longest word of a currency at the end of a text; empty if there is none."""
        first = text.rfind(" ") + 1
        for start in range(first, len(text)):
            is_start = start == first or not text[start - 1].isalpha()
            if is_start and text[start:] in self._currencies:
                return text[start:]
        return ""

    def _narrower(self, one: str, other: str) -> str:
        """Return which of two names of a currency says more; of two currencies the first."""
        ours, theirs = codes_of(one), codes_of(other)
        return other if theirs < ours else one

    def _amount(self, text: str, start: int, decimal: Decimal) -> _Amount | None:
        """Read digits and scale words: ``4 lakh 44 thousand`` is the sum of both."""
        total, scale, least, end = 0.0, 0.0, 0.0, start
        while found := _NUMBER.match(text, end):
            number = number_of(found[1], decimal)
            if number is None:
                return None
            number *= 10.0 ** int(found[2] or 0)
            word = self._scale.match(text, found.end())
            factor = self._scales[word[1]] if word else 1.0
            part = number * factor
            if scale and (factor >= least or (factor == 1 and 0 < part < least / _LEAST_PART)):
                return None
            total, end = total + part, (word or found).end()
            scale, least = scale or factor, factor
            following = _AND.match(text, end)
            if factor == 1 or not following or not _NUMBER.match(text, following.end()):
                break
            end = following.end()
        if not scale:
            return None
        if self._field == "year" and (era := _ERAS.get(text[:start].strip()[-2:])):
            total += era
        even = _EVEN.match(text, end)
        return _Amount(total / scale, scale, even.end() if even else end)

    def _names(self, text: str, end: int, unit: str, currency: str) -> tuple[str, str, int]:
        """Return unit and currency, where they follow, and where they end."""
        while True:
            if not unit and (found := self._unit.match(text, end)):
                unit = found[1]
            elif (found := self._currency.match(text, end)) and self._fits(currency, found[1]):
                currency = self._narrower(found[1], currency) if currency else found[1]
            else:
                return unit, currency, end
            end = found.end()

    def _fits(self, known: str, other: str) -> bool:
        """Whether a second word may name the same currency as the first, in other words."""
        return not known or (known != other and bool(codes_of(known) & codes_of(other)))


@cache
def _words_of(field: str) -> _Words:
    return _Words(field)


def _by_word(table: Mapping[float, str]) -> dict[str, float]:
    return {plain(word): factor for factor, words in table.items() for word in words.split()}


def _either(words: Iterable[str]) -> str:
    """Return a pattern of any of the words, the longest first; none matches where there is none.

    A word of an alphabet ends before the next letter; Chinese, Japanese, Korean and Thai are
    written without spaces.
    """
    longest = sorted(words, key=len, reverse=True)
    dotted, rest = ([w for w in longest if w.endswith(".") is is_so] for is_so in (True, False))
    bounded, free = ([w for w in rest if _runs_on(w) is is_so] for is_so in (False, True))
    ends = rf"(?:{_any(bounded)})(?!\$|[^\W\d_{_RUNS_ON}])"
    return "|".join(filter(None, [_any(dotted), ends if bounded else "", _any(free)])) or r"(?!)"


def _any(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, words))


def _runs_on(word: str) -> bool:
    return not word[-1].isalpha() or unicodedata.name(word[-1]).startswith(_WITHOUT_SPACES)


def _one_of(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"\s*({_either(words)})")
