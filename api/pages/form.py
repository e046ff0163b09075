"""The page's form: the fields of the served model's market, and what a query says of them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlencode

from pydantic import ValidationError

from api.bodies import ListingRequest
from api.problems import invalid_listing
from api.served import ServedModel
from carprice.listings.problems import WrongField, read_cell, shown
from carprice.schema import (
    ASKING_PRICE,
    CONFIDENCE_RANGE,
    DEFAULT_CONFIDENCE,
    FIELDS,
    REQUIRED,
    YEARLY_DISTANCE_RANGE,
    FieldKind,
    alias,
    kind_of,
    name_in_requests,
)

CONFIDENCE: Final = "confidence"
YEARLY: Final = "yearlyDistance"
_CONFIDENCES: Final = ("0.5", "0.8", "0.9", "0.95", "0.99")
_MOST_PAIRS: Final = 400
_MOST_OPTIONS: Final = 40
_FIRST: Final = ("make", "model", "variant", "year", "odometer", ASKING_PRICE)
TYPED: Final = ("make", "model", "variant")
"""Names that are typed ahead, each of those before it."""
_LABELS: Final = {
    "year": "Model year",
    "odometer": "Distance driven ({unit})",
    ASKING_PRICE: "Asking price ({currency})",
    "transmission_type": "Gearbox",
    "body_type": "Body",
    "fuel_type": "Fuel",
    "ownership": "Owner who sells (1 is the first)",
    "color": "Colour",
    "fitness_age": "Registration valid from new (years)",
    "features": "Equipment",
    "engine_cc": "Engine (cc)",
    "power_bhp": "Power (bhp)",
    "fuel_economy": "Fuel economy",
    "road_tax": "Yearly road tax ({currency})",
    "new_price": "Price when new ({currency})",
    "drive": "Driven wheels",
    "seller_type": "Seller",
    "listed_on": "Day of the listing",
}
_TRAINED_AS: Final = {"engine_cc": "litres"}
_GROUPED: Final = frozenset(("odometer", ASKING_PRICE, "engine_cc", "new_price"))
"""Numbers that are written in groups of three digits, and have no three decimals."""
_GROUPS: Final = re.compile(r"[0-9]{1,3}(?:[.,][0-9]{2,3})*[.,][0-9]{3}")
_BLANKS: Final = re.compile(r"[\s'’\u2009\u202f]+")

Shape = Literal["text", "number", "select", "many", "day"]


@dataclass(frozen=True)
class Field:
    """One field as the page shows it.

    Attributes
    ----------
    texts : what the query says, as it was written.
    options : value and words of each choice.
    """

    name: str
    label: str
    shape: Shape
    texts: Sequence[str] = ()
    options: Sequence[tuple[str, str]] = ()
    is_required: bool = False
    is_first: bool = False
    has_list: bool = False
    error: str = ""

    @property
    def text(self) -> str:
        """The one text of the field."""
        return self.texts[0] if self.texts else ""

    def has(self, option: str) -> bool:
        """Whether an option is chosen, in any spelling."""
        return _plain(option) in map(_plain, self.texts)


@dataclass
class Asked:
    """What a query asks for.

    Attributes
    ----------
    texts : by field, as they were written; blank ones are left out.
    errors : what is wrong with a field; with the query, under the empty name.
    """

    texts: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, list[str]] = field(default_factory=dict)
    listing: ListingRequest | None = None
    confidence: float = DEFAULT_CONFIDENCE
    yearly_distance: float | None = None

    @property
    def query(self) -> str:
        """The query without what is blank or usual: a link to the answer."""
        pairs = [(name, text) for name, texts in self.texts.items() for text in texts]
        return urlencode(
            [pair for pair in pairs if pair != (CONFIDENCE, f"{DEFAULT_CONFIDENCE:g}")]
        )

    def wrong(self, name: str, message: str, value: Any = None) -> None:
        """Note what is wrong with a field."""
        found = "" if value is None else f" (found {value!r})"
        self.errors.setdefault(name, []).append(message + found)


def read_query(query: bytes, served: ServedModel) -> Asked:
    """Read the listing of a query, and what else is asked for."""
    asked = Asked()
    try:
        pairs = parse_qsl(query.decode("latin-1"), True, max_num_fields=_MOST_PAIRS)
    except ValueError:
        asked.wrong("", f"the address has more than {_MOST_PAIRS} fields")
        return asked
    known = {alias(one): one for one in served.form.field_by_name.values()}
    for given, text in pairs:
        field_of = served.form.field_by_name.get(given, given)
        name = alias(field_of) if given in served.form.field_by_name else given
        if name not in known and name not in (CONFIDENCE, YEARLY):
            asked.wrong("", f"{given[:100]!r}: no such field; {served.form.nearest(given)}")
        elif text.strip():
            asked.texts.setdefault(name, []).append(text)
    content: dict[str, Any] = {}
    for name, texts in asked.texts.items():
        if name in known and known[name] == "features":
            content[name] = [text for text in texts for text in text.split(",") if text.strip()]
        elif len(texts) > 1:
            asked.wrong(name, "is given more than once")
        elif name in known:
            content[name_in_requests(known[name])] = _read(known[name], texts[0])
    if not has_distances(served):
        content.setdefault("odometer", 0.0)
    _read_parameters(asked)
    try:
        asked.listing = served.form.request.model_validate(content)
    except ValidationError as error:
        for wrong in invalid_listing(error, own=served.form.own).errors:
            _note(asked, wrong, known)
    return asked


def nearest_of(served: ServedModel, asked: Asked, kinds: Iterable[str]) -> list[tuple[str, str]]:
    """Return the known names that are like one that the model never saw, and a query with each."""
    found: list[tuple[str, str]] = []
    for name in (kind.removeprefix("unseen_") for kind in kinds):
        if name in TYPED:
            texts = [asked.texts.get(one, [""])[0] for one in TYPED[: TYPED.index(name) + 1]]
            found += [
                (known, replace(asked, texts={**asked.texts, name: [known]}).query)
                for known in served.model.vocabulary.nearest(*texts)
            ]
    return found


def has_distances(served: ServedModel) -> bool:
    """Whether the market tells how far its cars were driven."""
    return "odometer" in served.model.trained_on


def fields_of(served: ServedModel, asked: Asked) -> list[Field]:
    """Return the form's fields: those that the market has, and those that the query names."""
    market = served.model.market
    words = {"unit": market.distance_unit, "currency": market.currency}
    options, found = served.model.vocabulary.values, []
    for name in _names(served, asked):
        key = alias(name)
        shape, choices = _shape(name, options.get(key, ()), asked.texts.get(key, ()))
        found.append(
            Field(
                name=key,
                label=_LABELS.get(name, _in_words(key)).format_map(words),
                shape=shape,
                texts=asked.texts.get(key, ()),
                options=choices,
                is_required=name in REQUIRED,
                is_first=name in _FIRST,
                has_list=name in TYPED,
                error="; ".join(asked.errors.get(key, ())),
            )
        )
    return [*found, *_parameters(asked, market.distance_unit, has_distances(served))]


def _names(served: ServedModel, asked: Asked) -> Iterator[str]:
    model = served.model
    for name in (*_FIRST, *(one for one in FIELDS if one not in _FIRST), *served.form.own):
        is_there = (
            (name in REQUIRED and name != "odometer")
            or name in (ASKING_PRICE, "listed_on", *served.form.own)
            or _TRAINED_AS.get(name, name) in model.trained_on
            or bool(model.vocabulary.values.get(alias(name)))
            or (name == "variant" and model.knows_variants)
        )
        if is_there or {alias(name)} & {*asked.texts, *asked.errors}:
            yield name


def _shape(
    name: str, known: Sequence[str], given: Sequence[str]
) -> tuple[Shape, list[tuple[str, str]]]:
    kind = FieldKind.NUMBER if name == ASKING_PRICE else kind_of(name)
    choices = [(one, one[:1].upper() + one[1:]) for one in known[: _MOST_OPTIONS + 1]]
    if kind is FieldKind.FLAG:
        choices = [("yes", "Yes"), ("no", "No")]
    if len(choices) > _MOST_OPTIONS or name in TYPED:
        choices = []
    spelled = {_plain(value) for value, _ in choices}
    others = [(text, text) for text in given if choices and _plain(text) not in spelled]
    shape: Shape = "text"
    if kind is FieldKind.DATE:
        shape = "day"
    elif kind in (FieldKind.NUMBER, FieldKind.INTEGER):
        shape = "number"
    elif choices:
        shape = "many" if kind is FieldKind.EQUIPMENT else "select"
    return shape, [*choices, *others]


def _parameters(asked: Asked, unit: str, has_distances: bool) -> Iterator[Field]:
    given = asked.texts.get(CONFIDENCE, [f"{DEFAULT_CONFIDENCE:g}"])
    shown_as = [(one, f"{float(one) * 100:g} of 100 such prices") for one in _CONFIDENCES]
    others = [(text, text) for text in given if text not in _CONFIDENCES]
    errors = {name: "; ".join(asked.errors.get(name, ())) for name in (CONFIDENCE, YEARLY)}
    label = "The range shall hold"
    yield Field(CONFIDENCE, label, "select", given, shown_as + others, error=errors[CONFIDENCE])
    if has_distances or YEARLY in asked.texts:
        label = f"Driven each year from now on ({unit})"
        yield Field(YEARLY, label, "number", asked.texts.get(YEARLY, ()), error=errors[YEARLY])


def _read_parameters(asked: Asked) -> None:
    limits = {CONFIDENCE: CONFIDENCE_RANGE, YEARLY: YEARLY_DISTANCE_RANGE}
    for name, (low, high) in limits.items():
        for text in asked.texts.get(name, ())[:1]:
            number = _read("odometer" if name == YEARLY else "power_bhp", text)
            if not isinstance(number, float) or not low <= number <= high:
                asked.wrong(name, f"must be a number from {low:g} to {high:,g}", text[:100])
            elif name == CONFIDENCE:
                asked.confidence = number
            else:
                asked.yearly_distance = number


def _read(name: str, text: str) -> Any:
    """Return a value as it was typed: numbers may have groups, or a comma before decimals.

    Examples
    --------
    >>> [_read("odometer", one) for one in ("42 000", "42.000", "1,42,000", "12.5", "many")]
    [42000.0, 42000.0, 142000.0, 12.5, 'many']
    >>> _read("fuel_economy", "21,2"), _read("make", " Kia ")
    (21.2, 'Kia')
    """
    field_name = "odometer" if name == ASKING_PRICE else name
    value = read_cell(field_name, text)
    if kind_of(field_name) not in (FieldKind.NUMBER, FieldKind.INTEGER):
        return value
    bare = _BLANKS.sub("", text)
    if name in _GROUPED and _GROUPS.fullmatch(bare):
        bare = re.sub("[.,]", "", bare)
    elif bare.count(",") == 1 and "." not in bare:
        bare = bare.replace(",", ".")
    number = read_cell(field_name, bare)
    if not isinstance(number, float):
        return value
    return int(number) if kind_of(field_name) is FieldKind.INTEGER and number % 1 == 0 else number


def _note(asked: Asked, wrong: WrongField, known: Mapping[str, str]) -> None:
    name = wrong.field.partition(".")[0]
    asked.wrong(name if name in known else "", wrong.message, shown(wrong.value))


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


def _in_words(name: str) -> str:
    """Return an own column's name as words.

    Examples
    --------
    >>> _in_words("emissionClass")
    'Emission class'
    """
    words = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda one: f" {one[1].lower()}", name)
    return words[:1].upper() + words[1:]
