"""params.yaml, parsed once into strict and frozen models: an unknown key is an error.

``ingest.source`` and ``tracking.uri`` may hold environment variables as ``${NAME}`` or
``${NAME:-default}``, so that no secret has to stand in a file.
"""

import datetime
import itertools
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from carprice.errors import InputError
from carprice.redaction import redact
from carprice.schema import (
    CAR_ID,
    FIELDS,
    LIST_PRICE,
    MOST_OWN,
    OWN_KINDS,
    PRICE,
    FieldKind,
    alias,
    column_name,
    is_own,
    kind_of,
    names_of,
    own_field,
    own_of,
    why_not_own,
)

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(?<!\.mlflow)(?<!\.git)", re.ASCII)

_SCHEDULER: Final = re.compile(r"(tcp|tls)://[\w.\[\]:-]+:\d{1,5}", re.ASCII)
_BYTES: Final = re.compile(r"[1-9]\d{0,8}(\.\d+)? ?[kMGT]i?B", re.ASCII)
_WORDS: Final = re.compile(r"[1-9]\d{0,3}(-([1-9]\d{0,3})?)?")
_LARGEST_FILE: Final = 2_000_000
_MOST_VALUES: Final = 100_000
_LONGEST_VALUE: Final = 100_000
_MOST_PROBLEMS: Final = 5
_SOME_TIME: Final = datetime.datetime(2024, 1, 31, tzinfo=datetime.UTC)
_LONGEST_MESSAGE: Final = 1_000


def expand(text: str) -> str:
    """Replace ``${NAME}`` and ``${NAME:-default}`` by the environment's values.

    It is a ValueError if a variable is not set and has no default.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = os.environ.get(name, default)
        if found is None:
            raise ValueError(f"the environment variable {name} is not set; export it first")
        return found

    return _VARIABLE.sub(value, text)


Expanded = Annotated[str, AfterValidator(expand)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


_IN_TITLES: Final = {
    name: field
    for field in FIELDS
    if kind_of(field) is FieldKind.TEXT or field == "year"
    for name in names_of(field)
}
"""The fields, by both of their names, whose values a title may hold."""


class _Settings(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False
    )


def _without(before: Collection[str], content: Any, why: str) -> Any:
    """Return a section as it is; one with keys that params files of before had is a ValueError."""
    if isinstance(content, Mapping) and (old := [key for key in content if key in before]):
        raise ValueError(f"{', '.join(old)}: {why}")
    return content


def _compiled(key: str, expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{key} {_shown(expression)} is no regular expression: {_cut(str(error))}"
        ) from None


class ColumnRule(_Settings):
    """How one field is read from a file. The keys apply in the order in which they stand here.

    A rule needs exactly one of ``from``, ``constant``, ``filename`` and ``flags``, which say where
    the value comes from.
    """

    source: str | tuple[str, ...] | None = Field(
        None,
        alias="from",
        description="the file's column, or several, whose texts are joined by a space",
    )
    constant: str | int | float | None = Field(None, description="the same value for every row")
    filename: bool = Field(False, description="take the file's name, without folder and endings")
    flags: tuple[str, ...] | None = Field(
        None, description="0/1 columns whose names become a list of equipment (field features)"
    )
    less: tuple[str, ...] = Field(
        (), description="fields, such as make and model, whose values are taken out of the text"
    )
    match: str | None = Field(None, description="keep the first group of this regular expression")
    words: str | int | None = Field(
        None, description='keep these words, counted from 1: 1, "2" or "2-3" or "3-" (to the end)'
    )
    phrases: tuple[str, ...] = Field(
        (), description="names of several words that count as one word for `words`"
    )
    values: dict[str | int | float | bool, str | int | float | None] | None = Field(
        None, description="replace these values; the others stay as they are"
    )
    ordinal: bool = Field(False, description='read "Second Owner" or "2nd" as 2')
    number: bool = Field(
        False,
        description='read the first number inside a text: "23.4 kmpl", "1,248 CC", "4.5 lakh"',
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="sign before decimals in texts of this column; default: ingest.decimal"
    )
    date: bool | str = Field(
        False,
        description="read a date; a text gives its format, such as %d/%m/%Y, or excel for Excel's "
        "day numbers",
    )
    split: str | None = Field(None, description="separator of a list in one text (field features)")
    multiply: float | None = Field(None, description="multiply by this, such as 100000 for lakh")
    add: float | None = Field(None, description="then add this")
    unit: Literal["km", "miles", "cc", "l", "bhp", "PS", "kW"] | dict[str, Positive] | None = Field(
        None,
        description="unit of numbers that tell none: km, miles, cc, l, bhp, PS or kW; or, of a "
        "column that tells several, what one of each is in the field's own: {cc: 1, l: 1000}",
    )
    currencies: dict[str, Positive] | None = Field(
        None,
        description='what one of each currency in the texts is in the market\'s: {"₹": 1, "$": 83}',
    )
    default: str | int | float | None = Field(
        None, description="text to take where the value is missing (fields that are texts)"
    )
    known: bool = Field(
        False,
        description="whoever asks for a price knows the value before there is one, for any car; it "
        "is learned from however well it tells the price",
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """The file's columns that the rule reads."""
        source = (self.source,) if isinstance(self.source, str) else self.source
        return tuple(map(column_name, (source or ()) + (self.flags or ())))

    @field_validator("source")
    @classmethod
    def _some_columns(cls, source: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if isinstance(source, tuple) and not source:
            raise ValueError("from names no column; write one, or a list such as [trim, engine]")
        return source

    @field_validator("less", mode="before")
    @classmethod
    def _read_less(cls, less: Any) -> Any:
        """Accept one field, and names in camelCase or snake_case."""
        if isinstance(less, str):
            less = [less]
        if not isinstance(less, list | tuple):
            return less
        for name in less:
            if name not in _IN_TITLES:
                known = ", ".join(alias(field) for field in dict.fromkeys(_IN_TITLES.values()))
                raise ValueError(f"less names {name!r}, but can take out {known} only")
        return [_IN_TITLES[name] for name in less]

    @field_validator("default", mode="before")
    @classmethod
    def _some_text(cls, default: Any) -> Any:
        if isinstance(default, bool):
            raise ValueError("default is yes or no to YAML; put the word in quotes")
        if isinstance(default, str) and not default.strip():
            raise ValueError("default is empty; leave it out, and a missing value stays missing")
        return default

    @field_validator("date")
    @classmethod
    def _format_of_days(cls, date: bool | str) -> bool | str:
        if isinstance(date, str) and date not in ("", "excel"):
            try:
                datetime.datetime.strptime(_SOME_TIME.strftime(date), date)
            except (re.error, ValueError, OverflowError) as error:
                raise ValueError(
                    f"date {_shown(date)} is no format of days ({error}); write each part once, "
                    "such as %d/%m/%Y, or excel"
                ) from None
        return date

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        origins = {
            "from": self.source is not None,
            "constant": self.constant is not None,
            "filename": self.filename,
            "flags": self.flags is not None,
        }
        if sum(origins.values()) != 1:
            given = ", ".join(name for name, is_set in origins.items() if is_set) or "none of them"
            raise ValueError(
                f"a rule needs exactly one of from, constant, filename and flags, has {given}"
            )
        if self.less and self.source is None:
            raise ValueError("less takes words out of a column's text, and needs from")
        if self.match is not None and _compiled("match", self.match).groups < 1:
            raise ValueError(f"match {self.match!r} needs a group, such as ({self.match})")
        if self.words is not None and not _WORDS.fullmatch(str(self.words)):
            raise ValueError(f'words is {self.words!r}; write 1, "2-3" or "3-"')
        return self


class Units(_Settings):
    """Currency and distance unit of the market; the model and the service answer in them."""

    currency: str = Field("INR", min_length=1, max_length=10)
    distance: Literal["km", "miles"] = "km"


Value = str | int | float | bool | None
"""A value of a column; None is an empty cell."""


class RowSettings(_Settings):
    """Which rows are listings to learn from, by values of the file's columns.

    A row is kept if each column of ``keep`` has one of its values, and none of ``drop`` has.
    """

    keep: dict[str, tuple[Value, ...]] = {}
    drop: dict[str, tuple[Value, ...]] = {}

    @field_validator("keep", "drop", mode="before")
    @classmethod
    def _read_values(cls, columns: Any) -> Any:
        """Accept one value in place of a list."""
        if not isinstance(columns, dict):
            return columns
        read = {str(name).strip(): _as_list(values) for name, values in columns.items()}
        for name, values in read.items():
            if not values:
                raise ValueError(f"{name!r} has no value; write some, such as {{{name}: [a, b]}}")
        return read


def _as_list(values: Any) -> Any:
    return values if isinstance(values, list | tuple | dict) else [values]


class SampleSettings(_Settings):
    """Size and seed of the embedded sample."""

    rows: int = Field(10_000, ge=100, le=100_000_000)
    seed: Seed = 7


class SplitSettings(_Settings):
    """How test rows are chosen: at random, or the newest share by listing date."""

    method: Literal["random", "time"] = "random"
    test_size: float = Field(0.2, gt=0, lt=1)
    seed: Seed = 42


class IngestSettings(_Settings):
    """Where listings come from and how they are read, cleaned and split."""

    source: Expanded = "sample"
    query: str | None = Field(None, description="SQL, where the source is a database URL")
    extra: dict[str, str] = Field(
        {}, description="the market's own columns, by name: flag, number or category"
    )
    columns: dict[str, ColumnRule | None] = {}
    rows: RowSettings = RowSettings()
    units: Units = Units()
    encoding: str = Field("utf-8-sig", max_length=100)
    separator: str | None = Field(None, description="of a CSV file; default: found from its header")
    header_row: int | None = Field(
        None,
        ge=0,
        le=1_000_000,
        description="row of a CSV or Excel file that names the columns, counted from 1; 0: none, "
        "the columns are then column 1, column 2 …; default: the first that is not empty",
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="sign before decimals in texts; default: found from each column"
    )
    sheet: str | int = Field(0, description="of an Excel file: name, or number from 0")
    price_range: tuple[float, float] | None = Field(
        None, description="other prices are rejected; default: median/100 to median*1000"
    )
    valuation_date: datetime.date | None = Field(
        None, description="day that the price of a listing without a date is for"
    )
    max_unreadable: float = Field(
        0.05, ge=0, le=1, description="largest share of a field's values that may be unreadable"
    )
    repeats: Literal["latest", "all", "ignore"] = Field(
        "latest", description="what is kept of a car that is listed more than once"
    )
    junk: Literal["discount", "believe"] = Field(
        "discount",
        description="prices that are no car's: they count as far as they are believed, or fully",
    )
    sample: SampleSettings = SampleSettings()
    split: SplitSettings = SplitSettings()

    @property
    def own(self) -> tuple[str, ...]:
        """The fields of the market's own columns, without those that are switched off."""
        declared = own_of(own_field(name, kind) for name, kind in self.extra.items())
        return tuple(one for one in declared if self.columns.get(one, True) is not None)

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields of a listing, the market's own columns last."""
        return (*FIELDS, *self.own)

    def with_own(self, own: Iterable[str]) -> Self:
        """Return the settings with the own columns that a model learned from, and no others."""
        kinds = {alias(field): field.partition(":")[0] for field in own}
        others = {field: rule for field, rule in self.columns.items() if not is_own(field)}
        rules = {
            own_field(name, kinds[name]): rule
            for field, rule in self.columns.items()
            if is_own(field) and (name := alias(field)) in kinds
        }
        return self.model_copy(update={"extra": kinds, "columns": {**others, **rules}})

    def known(self, fields: Iterable[str]) -> list[str]:
        """Return which of the fields are known before there is a price, by camelCase names."""
        marked = {name for name, rule in self.columns.items() if rule and rule.known}
        return [alias(name) for name in fields if name in marked | {LIST_PRICE}]

    @field_validator("extra")
    @classmethod
    def _name_own_columns(cls, extra: dict[str, str]) -> dict[str, str]:
        if len(extra) > MOST_OWN:
            raise ValueError(f"has {len(extra)} columns; declare at most {MOST_OWN}")
        for name, kind in extra.items():
            if kind not in OWN_KINDS:
                kinds = ", ".join(OWN_KINDS)
                raise ValueError(f"{_shown(name)} is {_shown(kind)}; its kind is one of {kinds}")
            if why := why_not_own(own_field(name, kind)):
                raise ValueError(_cut(why, _LONGEST_MESSAGE))
        if len({name.casefold() for name in extra}) < len(extra):
            raise ValueError("has two names that differ in capitals alone; keep one of them")
        return extra

    @field_validator("columns", mode="before")
    @classmethod
    def _read_columns(cls, columns: Any, info: ValidationInfo) -> Any:
        """Accept a column, or a list of them, for ``{from: column}``; camelCase or snake_case."""
        if not isinstance(columns, dict):
            return columns
        own = [own_field(*pair) for pair in info.data.get("extra", {}).items()]
        names = {
            name: field for field in (*FIELDS, PRICE, CAR_ID, *own) for name in names_of(field)
        }
        read: dict[str, Any] = {}
        for key, rule in columns.items():
            if key not in names:
                known = ", ".join([PRICE, *map(alias, FIELDS), CAR_ID, *map(alias, own)])
                raise ValueError(
                    f"{key!r} is not a field of a listing; the fields are {known}; a column that "
                    "is none of them is declared in ingest.extra"
                )
            if names[key] in read:
                raise ValueError(f"{key!r} is given a second time; keep one of its spellings")
            is_short = isinstance(rule, str | list | tuple)
            read[names[key]] = {"from": rule} if is_short else rule
        return read

    @field_validator("encoding")
    @classmethod
    def _of_text(cls, encoding: str) -> str:
        try:
            with suppress(LookupError):  # whoever reads a text says that it is not known
                "a".encode(encoding).decode(encoding)
        except ValueError:
            raise ValueError(
                f"{_shown(encoding)} is no encoding of text; write utf-8-sig, cp1252, utf-16…"
            ) from None
        return encoding

    @field_validator("separator")
    @classmethod
    def _parts_cells(cls, separator: str | None) -> str | None:
        if separator == '"' or {*(separator or "")} & {"\n", "\r", "\0"}:
            raise ValueError(
                f"{_shown(separator)} is a quote, or has a line break or a zero, and parts no "
                "cells; write the sign between them, such as ;"
            )
        if separator and len(separator) > 1:
            _compiled("separator", separator)
        return separator

    @field_validator("price_range")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 < value[0] < value[1]:
            raise ValueError(f"needs 0 < low < high, has {list(value)}")
        return value


_OLD_SCALES: Final = frozenset(
    {"trend", "make", "model", "trim", "variant", "powertrain", "make_age", "model_age"}
    | {"model_distance", "model_year", "category", "kind", "word", "model_word", "equipment"}
    | {"color"}
)
"""Keys of ``train.hedonic`` that params files had before the scales were chosen from the rows."""


class HedonicSettings(_Settings):
    """How little each block of the hedonic ridge is shrunk; docs/model.md describes the blocks."""

    scales: dict[str, Positive] = Field(
        {},
        description="`auto`, the default: the rows choose the scale of every block; or the scales "
        "that they do not choose, by block: {model_word: 0.2}",
    )

    @field_validator("scales", mode="before")
    @classmethod
    def _read_auto(cls, scales: Any) -> Any:
        if isinstance(scales, str) and scales != "auto":
            raise ValueError(
                f"{_shown(scales)} is not auto; write that, or scales by block, such as "
                "{model_word: 0.2}"
            )
        return {} if scales == "auto" else scales

    @model_validator(mode="before")
    @classmethod
    def _no_old_scales(cls, content: Any) -> Any:
        return _without(
            _OLD_SCALES,
            content,
            "each market's rows choose the scales now; remove the keys, or write scales: auto "
            "(to fix that of a block: scales: {model_word: 0.2})",
        )


class TreeSettings(_Settings):
    """XGBoost's parameters, by its own names; ``n_estimators`` is the largest number of trees.

    What is left out follows the number of cars, see :func:`carprice.model.blend.parameters_of`.
    """

    n_estimators: int | None = Field(None, ge=1, le=100_000)
    max_depth: int | None = Field(None, ge=1, le=16)
    learning_rate: float | None = Field(None, gt=0, le=1)
    subsample: float | None = Field(None, gt=0, le=1)
    colsample_bytree: float | None = Field(None, gt=0, le=1)
    min_child_weight: NotNegative | None = None
    reg_lambda: NotNegative | None = None

    def given(self) -> dict[str, float]:
        """Return the parameters that are not left out."""
        values = {name: getattr(self, name) for name in TreeSettings.model_fields}
        return {name: value for name, value in values.items() if value is not None}


class BoosterSettings(TreeSettings):
    """The parameters of both ensembles of trees, and those that one alone has."""

    residual: TreeSettings = TreeSettings()
    direct: TreeSettings = TreeSettings()

    @model_validator(mode="before")
    @classmethod
    def _read_auto(cls, content: Any) -> Any:
        """Accept ``auto`` for parameters that all follow the number of cars."""
        if isinstance(content, str) and content != "auto":
            raise ValueError(
                f"{_shown(content)} is not auto; write that, or XGBoost's parameters, such as "
                "{max_depth: 5}"
            )
        return {} if content == "auto" else content


class DealSettings(_Settings):
    """When an asking price gets which label; params.yaml explains each key."""

    cuts: tuple[float, float, float, float] = (1.0, 5.0, 95.0, 99.0)
    widest: float = Field(5.0, gt=1)
    oldest: Annotated[float, Field(gt=0, le=1)] = 0.995
    dearest: Annotated[float, Field(gt=0, le=1)] = 0.995

    @field_validator("cuts")
    @classmethod
    def _rising(cls, cuts: tuple[float, ...]) -> tuple[float, ...]:
        if not all(low < high for low, high in itertools.pairwise((0, *cuts, 100))):
            raise ValueError(f"needs four rising percentiles within 0 and 100, has {list(cuts)}")
        return cuts


class TrainSettings(_Settings):
    """How the model is fitted and its ranges are calibrated; params.yaml explains each key."""

    seed: Seed = 0
    folds: int = Field(10, ge=2, le=50)
    patience: int = Field(50, ge=1, le=100_000)
    hedonic: HedonicSettings = HedonicSettings()
    booster: BoosterSettings = BoosterSettings()
    deal: DealSettings = DealSettings()
    comparables: bool = Field(
        True,
        description="whether the model keeps a listing of each car, to show like ones beside a "
        "price; false where listings may not be shown",
    )


class GateSettings(_Settings):
    """What a candidate must reach to become ``staging``; params.yaml explains each key."""

    max_mape: Positive | None = 30.0
    naive_factor: float = Field(0.9, gt=0, le=1)
    min_within_10: Annotated[float, Field(ge=0, le=100)] | None = 25.0
    max_cod: Positive | None = None
    prd: tuple[Positive, Positive] | None = None
    max_prb: Positive | None = None
    coverage: tuple[float, float] = (0.85, 0.95)
    band_coverage: Share = 0.85
    segment_factor: float = Field(4.0, gt=1)
    segment_rows: int = Field(30, ge=1, le=1000)
    max_megabytes: Positive = 100.0
    latency_factor: Positive = 2.0
    champion_margin: Share = 0.02
    max_mape_of_age: Positive | None = None

    @field_validator("coverage")
    @classmethod
    def _shares(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] < value[1] <= 1:
            raise ValueError(f"needs 0 <= low < high <= 1, has {list(value)}")
        return value

    @field_validator("prd")
    @classmethod
    def _around_one(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] <= 1 <= value[1]:
            raise ValueError(f"needs low <= 1 <= high, such as [0.98, 1.03]; has {list(value)}")
        return value


_BEFORE: Final = frozenset(
    {"min_cheaper", "min_fall", "min_spread", "unseen_variant", "unseen_model_factor"}
)
"""Keys of ``register.tests`` in params files of before."""


class ModelTestSettings(_Settings):
    """What a registered model must do to go to production; params.yaml explains each key."""

    rise: NotNegative = 0.03
    max_rises: Share = 0.2
    start_seconds: Positive = 60.0

    @model_validator(mode="before")
    @classmethod
    def _without_those_of_before(cls, content: Any) -> Any:
        return _without(
            _BEFORE,
            content,
            "the limits of these tests come from the market's own listings now; remove what is "
            "named",
        )


class RegisterSettings(_Settings):
    """The model's name in the registry, the gate before ``staging``, and the tests after it."""

    name: str = Field("used-car-price", pattern=r"^[\w.\- ]{1,100}$")
    gate: GateSettings = GateSettings()
    tests: ModelTestSettings = ModelTestSettings()


_STEPS_TO_PROMOTE: Final = 7
_STEPS_TO_GO_BACK: Final = 4
"""Steps; with fewer the interval seldom decides, however far apart two models are."""


class ChallengeSettings(_Settings):
    """When a challenger is promoted or dropped; params.yaml explains each key."""

    level: float = Field(0.05, gt=0, le=0.2)
    margin: float = Field(0.0, ge=0, lt=1)
    as_good: float | None = Field(None, ge=0, lt=1)
    fewest: int = Field(300, ge=30)
    fewest_days: int = Field(14, ge=7)
    step_days: int = Field(7, ge=1, le=31)
    longest_days: int = Field(180, ge=7, le=3_650)
    max_problems: Share = 0.02
    max_slower: float = Field(5.0, ge=1)
    watch_days: int = Field(90, ge=0, le=3_650)

    @model_validator(mode="after")
    def _enough_days(self) -> Self:
        for key in ("longest_days", "watch_days"):
            if 0 < getattr(self, key) < self.fewest_days:
                value = getattr(self, key)
                raise ValueError(
                    f"fewest_days is {self.fewest_days} and {key} {value}, within which nothing "
                    f"would be decided; write fewest_days: {value} or less, or a larger {key}"
                )
        return self

    @model_validator(mode="after")
    def _enough_steps(self) -> Self:
        for key, steps, otherwise in (
            ("longest_days", _STEPS_TO_PROMOTE, ""),
            ("watch_days", _STEPS_TO_GO_BACK, ", or 0 for no watch"),
        ):
            value, least = getattr(self, key), steps * self.step_days
            if value < least and (value or not otherwise):
                raise ValueError(
                    f"{key} is {value}, which is fewer than {steps} steps of step_days "
                    f"{self.step_days}, and those seldom decide; write {key}: {least} or more"
                    f"{otherwise}, or a smaller step_days"
                )
        return self


class RetrainSettings(_Settings):
    """How often the verdict may have the model trained again; params.yaml explains each key."""

    cool_down_days: int = Field(14, ge=0, le=3650)
    most_a_year: int = Field(12, ge=0, le=1000)


class RecalibrateSettings(_Settings):
    """How a correction is learned from prices that were seen; params.yaml explains each key."""

    days: int = Field(180, ge=1, le=3650)
    half_life: float = Field(60.0, ge=1, le=3650)
    fewest: int = Field(300, ge=100, le=1_000_000)
    largest: float = Field(0.3, gt=0, le=0.35)


class MonitorSettings(_Settings):
    """From when on a look at the model in use asks for attention; params.yaml explains each key."""

    false_alarms: float = Field(0.05, gt=0, le=0.5)
    days: int = Field(92, ge=1, le=36_500)
    fewest: int = Field(100, ge=30, le=1_000_000)
    segment_rows: int = Field(30, ge=20, le=1_000_000)
    level: float = Field(0.04, gt=0, le=1)
    apart: float = Field(0.06, gt=0, le=1)
    spread: float = Field(0.15, gt=0, le=10)
    mix: float = Field(0.04, gt=0, le=1)
    odd: float = Field(0.1, gt=0, le=1)
    prices: Literal["asked", "sold"] = "asked"
    retrain: RetrainSettings = RetrainSettings()
    log: Expanded | None = Field(
        None, description="prediction log; CARPRICE_PREDICTION_LOG wins over it"
    )
    outcomes: Expanded | None = Field(
        None, description="database of outcomes; CARPRICE_OUTCOMES wins over it"
    )
    recalibrate: RecalibrateSettings = RecalibrateSettings()


class TrackingSettings(_Settings):
    """Where runs and models are kept; ``MLFLOW_TRACKING_URI`` wins over ``uri`` and ``dagshub``."""

    uri: Expanded | None = Field(None, description="default: mlflow.db in the working folder")
    dagshub: str | None = Field(
        None, description="repository owner/repo on DagsHub; its token is DAGSHUB_USER_TOKEN"
    )
    experiment: str = Field("dvc-pipeline", min_length=1)

    @field_validator("dagshub")
    @classmethod
    def _repository(cls, value: str | None) -> str | None:
        if value is not None and not _REPOSITORY.fullmatch(value):
            # Not shown: an address with a login may have been put here.
            raise ValueError("is no repository on DagsHub; write owner/repo, such as ann/used-cars")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.uri and self.dagshub:
            raise ValueError("tracking.uri and tracking.dagshub are both set; keep one of them")
        return self


class ComputeSettings(_Settings):
    """Where the work is done: in this process, or on a Dask cluster; docs/scale.md."""

    cluster: str = Field(
        "local", description="local, dask (workers on this machine) or a scheduler's address"
    )
    workers: int = Field(2, ge=1, le=1000, description="processes of `dask`")
    memory: str = Field("2GB", description="of each of them; one that takes more starts again")

    @field_validator("cluster")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in ("local", "dask") or _SCHEDULER.fullmatch(value):
            return value
        raise ValueError(
            f"{_shown(redact(value))} is neither local, dask nor a scheduler's address, such as "
            "tcp://10.0.0.5:8786"
        )

    @field_validator("memory")
    @classmethod
    def _some_bytes(cls, value: str) -> str:
        if _BYTES.fullmatch(value):
            return value
        raise ValueError(f"{_shown(value)} is no size; write it such as 2GB or 1500MiB")


class Settings(_Settings):
    """The whole of params.yaml."""

    ingest: IngestSettings = IngestSettings()
    train: TrainSettings = TrainSettings()
    register_: RegisterSettings = Field(RegisterSettings(), alias="register")
    challenge: ChallengeSettings = ChallengeSettings()
    tracking: TrackingSettings = TrackingSettings()
    monitor: MonitorSettings = MonitorSettings()
    compute: ComputeSettings = ComputeSettings()


def describe(error: ValidationError) -> str:
    """Return what is wrong with settings in one line: each key, and what was found."""
    problems = []
    details = error.errors(include_url=False)
    for detail in details[:_MOST_PROBLEMS]:
        key = ".".join(_cut(str(part)) for part in detail["loc"]) or "the whole file"
        message = _cut(detail["msg"].removeprefix("Value error, "), _LONGEST_MESSAGE)
        if detail["type"] == "extra_forbidden":
            problems.append(f"{key} is not a parameter; remove it or correct its spelling")
        else:
            found = "" if detail["type"] == "value_error" else f" (found {_shown(detail['input'])})"
            problems.append(f"{key}: {message}{found}")
    if len(details) > _MOST_PROBLEMS:
        problems.append(f"and {len(details) - _MOST_PROBLEMS:,} more")
    return "; ".join(problems)


def _shown(value: object) -> str:
    """Return a value for a message, cut where it is long, its secrets hidden."""
    try:
        return _cut(redact(repr(value)[:_LONGEST_MESSAGE]))
    except ValueError:  # a number of thousands of digits
        return "a number of very many digits"


def _cut(text: str, longest: int = 100) -> str:
    """Return a text in one line, without its end where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[:longest]}…"


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings or figures as dotted keys.

    Examples
    --------
    >>> flatten({"train": {"seed": 0, "booster": {"max_depth": 6}}})
    {'train.seed': 0, 'train.booster.max_depth': 6}
    """
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


class _Loader(yaml.SafeLoader):
    """YAML loader that refuses repeated keys, and too many values, those of anchors counted."""

    _nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node; each that is written is counted before the next is read."""
        node: yaml.Node | None = super().compose_node(parent, index)
        self._nodes += 1
        if node is not None and self._nodes > _MOST_VALUES:
            raise _too_many_values(node)
        return node

    def get_single_node(self) -> yaml.Node | None:
        """Return the document's root, whose values are counted before any of them is made."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _count_values(node, {})
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Read a mapping, and refuse repeated keys."""
        counts = Counter(self.construct_object(key, deep=True) for key, _ in node.value)
        for key, count in counts.items():
            if count > 1:
                raise _not_allowed(f"the key {_shown(key)} stands twice", node)
        return super().construct_mapping(node, deep)


def _count_values(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Return how many values a node holds, counting what an alias names wherever it stands."""
    if node not in known:
        known[node] = _MOST_VALUES  # it is endless if it holds itself
        if isinstance(node, yaml.ScalarNode):
            if len(node.value) > _LONGEST_VALUE:
                raise _not_allowed(f"a value has more than {_LONGEST_VALUE:,} letters", node)
            inside: Iterable[yaml.Node] = ()
        else:
            is_mapping = isinstance(node, yaml.MappingNode)
            inside = itertools.chain(*node.value) if is_mapping else node.value
        known[node] = 1 + sum(_count_values(one, known) for one in inside)
        if known[node] > _MOST_VALUES:
            raise _too_many_values(node)
    return known[node]


def _too_many_values(node: yaml.Node) -> yaml.YAMLError:
    return _not_allowed(
        f"it has more than {_MOST_VALUES:,} values, those of an anchor counted wherever it is "
        "named; write fewer",
        node,
    )


def _not_allowed(problem: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _read_yaml(path: Path) -> Any:
    """Read a params file, whose size is bounded."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise InputError(
                f"params file {path} has more than {_LARGEST_FILE // 1_000_000} MB; is it another "
                "file? Give the params file with --params"
            )
        return yaml.load(content.decode("utf-8"), _Loader)  # noqa: S506
    except FileNotFoundError:
        raise InputError(f"params file {path} does not exist; give another with --params") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"params file {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        reason = _cut(str(error), _LONGEST_MESSAGE)
    except RecursionError:
        reason = "it has lists or mappings inside each other without end"
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # What PyYAML's own readers of dates, numbers and tags raise.
        reason = f"a value is not of its kind ({_cut(str(error))})"
    raise InputError(f"params file {path} is not valid YAML: {reason}")


def load_settings(path: Path, source: str | None = None, cluster: str | None = None) -> Settings:
    """Read a params file; arguments take the place of ``ingest.source`` and ``compute.cluster``.

    It is an InputError if the file is missing, is no YAML, or holds what is not allowed.
    """
    content = _read_yaml(path)
    content = {} if content is None else content
    for section, key, value in (("ingest", "source", source), ("compute", "cluster", cluster)):
        if value is not None and isinstance(content, dict):
            of_section = content.get(section) or {}
            if isinstance(of_section, dict):
                content = {**content, section: {**of_section, key: value}}
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        raise InputError(f"params file {path}: {describe(error)}") from None
