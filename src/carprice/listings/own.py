"""A market's own columns, which the schema lacks: how their values are read, and asked for.

A field such as ``flag:accident`` says by itself of which kind it is; requests call it ``accident``.
"""

import unicodedata
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, Field, create_model
from pydantic_core import PydanticCustomError

from carprice.listings.spelling import normalise
from carprice.schema import OWN_LIMIT, FieldKind, Listing, Number, OptionalText, alias, kind_of

_YES: Final = (
    "1 true t yes y on x with ✓ ✔ ja j sí si sim oui tak ano áno da igen evet kyllä ναι да так "
    "כן نعم بله हाँ हां হ্যাঁ 是 有 あり はい 예 있음 có ya ใช่ มี ☑ ✅ sì "
    "wahr vrai vero verdadero verdadeiro prawda pravda igaz doğru waar sant sand tosi adevărat "
    "истина есть"
)
_NO: Final = (
    "0 false f no n off without nein nej nee não nao non nie ne нет не ні nem hayır nu ei όχι "
    "לא لا خیر नहीं না 否 无 無 なし いいえ 아니오 없음 không tidak ไม่ ไม่มี ✗ ✘ ☐ ❌ "
    "hayir falsch faux falso fałsz nepravda hamis yanlış yanliş onwaar falskt falsk epätosi fals "
    "ложь"
)
FLAGS: Final = {
    unicodedata.normalize("NFC", word): float(words is _YES)
    for words in (_YES, _NO)
    for word in words.split()
}
"""Words for yes, 1.0, and no, 0.0, in many languages."""
YES, NO = "yes", "no"
_ASKED: Final = {
    form: flag
    for flag, words in ((YES, ("true", YES, "1", "1.0")), (NO, ("false", NO, "0", "0.0")))
    for word in words
    for form in (word, word.title(), word.upper())
}
"""The texts that a request may give for a flag."""

L = TypeVar("L", bound=Listing)


@lru_cache(maxsize=20_000)
def text_of_own(field: str, value: Any) -> str:
    """Return the value of an own column of texts as the model reads it; empty where missing.

    Examples
    --------
    >>> text_of_own("flag:accident", True), text_of_own("flag:accident", "Nein")
    ('yes', 'no')
    >>> text_of_own("category:steering", " Right; hand "), text_of_own("flag:accident", None)
    ('right, hand', '')
    """
    if kind_of(field) is FieldKind.FLAG:
        if isinstance(value, str):
            value = FLAGS.get(unicodedata.normalize("NFC", value.strip().lower()))
        if not isinstance(value, bool | int | float) or value != value:  # noqa: PLR0124 - NaN
            return ""
        return YES if value else NO
    # Semicolons part the terms of the ridge.
    return normalise(value.replace(";", ",")) if isinstance(value, str) else ""


def _flag(value: object) -> object:
    """Read a flag of a request; texts come from CSV and tables."""
    if value is None or value == "":
        return None
    is_short = isinstance(value, str | bool | float) or value in (0, 1)
    if not is_short or str(value) not in _ASKED:
        raise PydanticCustomError("flag", "Input should be true or false, yes or no, 1 or 0")
    return _ASKED[str(value)]


_Flag = Annotated[
    str | None,
    BeforeValidator(_flag),
    Field(
        json_schema_extra=lambda schema: schema.update(
            {
                "anyOf": [
                    {"type": "boolean"},
                    {"enum": [0, 1, "", *_ASKED]},
                    {"type": "null"},
                ]
            }
        )
    ),
]
_TYPES: Final[dict[FieldKind, Any]] = {
    FieldKind.FLAG: _Flag,
    FieldKind.NUMBER: Annotated[Number, Field(ge=-OWN_LIMIT, le=OWN_LIMIT)] | None,
    FieldKind.TEXT: OptionalText,
}
_TOLD: Final = {
    FieldKind.FLAG: "Own column of this market, yes or no",
    FieldKind.NUMBER: "Own column of this market, a number",
    FieldKind.TEXT: "Own column of this market, a text",
}


@lru_cache(maxsize=64)
def with_own(listing: type[L], own: tuple[str, ...]) -> type[L]:
    """Return a kind of listing that has own columns too, under their own names.

    Examples
    --------
    >>> kind = with_own(Listing, ("flag:accident",))
    >>> kind(make="Kia", model="Rio", year=2019, odometer=1, accident=True).accident
    'yes'
    """
    if not own:
        return listing
    kinds = {alias(field): kind_of(field) for field in own}
    fields: dict[str, Any] = {
        name: (_TYPES[kind], Field(None, alias=name, description=_TOLD[kind]))
        for name, kind in kinds.items()
    }
    return create_model(listing.__name__, __base__=listing, __module__=__name__, **fields)
