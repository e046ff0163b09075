"""What cars sold for: told later, perhaps twice, perhaps corrected; kept in a database."""

import contextlib
import datetime
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from carprice.errors import CarpriceError, InputError
from carprice.listings.own import with_own
from carprice.listings.problems import MOST_ERRORS, WrongField, wrong_fields
from carprice.listings.spelling import normalise
from carprice.monitoring.records import OFFERED, SOLD
from carprice.redaction import hide_secrets, redact
from carprice.schema import FIELDS as LISTING_FIELDS
from carprice.schema import MOST_ASKED, Day, Listing, Number, name_in_requests

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table
    from sqlalchemy.engine import Connection

OUTCOMES_FILE: Final = "outcomes.db"
"""The database in a folder."""
LONGEST_QUOTE: Final = 100
_FIRST_DAY: Final = datetime.date(1950, 1, 1)
_AT_ONCE: Final = 400
_MOST_TRIES: Final = 5
_PATIENCE: Final = 10.0


class Kind(StrEnum):
    """What became of a car."""

    SOLD = SOLD
    OFFERED = OFFERED
    WITHDRAWN = "withdrawn"


class UnavailableError(CarpriceError):
    """The database of outcomes cannot be reached or does not answer; nothing was kept."""


@dataclass(frozen=True)
class Outcome:
    """What became of a car.

    Attributes
    ----------
    sold_price : what was paid, or offered, in the market's currency; none where it was withdrawn.
    sold_on : the day of it.
    quote_id : names the answer that the service had given; empty: it is not known.
    listing : the car, fields in snake_case and the market's own columns as ``flag:accident``, only
        those that are known; may be empty where there is a quote.
    received_at : when it was told (UTC); none: not yet.
    revision : which telling it is, as the sender counts; the highest one of a subject counts.
    """

    kind: Kind
    sold_price: float | None
    sold_on: datetime.date
    quote_id: str = ""
    listing: Mapping[str, Any] = field(default_factory=dict)
    received_at: datetime.datetime | None = None
    revision: int = 0

    @property
    def subject(self) -> str:
        """What it is about: the quote, else the car; another outcome of it is a correction."""
        if self.quote_id:
            return f"quote:{self.quote_id}"
        return f"car:{_digest(_spelled(self.listing))}"

    @property
    def content(self) -> str:
        """A digest of what it says; the same for one that is told again."""
        said = [self.kind, self.sold_price, self.sold_on.isoformat(), _spelled(self.listing)]
        return _digest([*said, self.revision] if self.revision else said)

    def to_json(self) -> dict[str, Any]:
        """Return it by its names in JSON."""
        told = {"quoteId": self.quote_id or None, "listing": dict(self.listing) or None}
        return {
            **{name: value for name, value in told.items() if value},
            "kind": str(self.kind),
            "soldPrice": self.sold_price,
            "soldOn": self.sold_on.isoformat(),
            **({"revision": self.revision} if self.revision else {}),
            "receivedAt": self.received_at and self.received_at.isoformat(timespec="seconds"),
        }


def _digest(content: Any) -> str:
    text = json.dumps(_plain(content), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _spelled(listing: Mapping[str, Any]) -> dict[str, Any]:
    """Return a listing that is the same for the same car, however its names are spelt."""
    return {
        name: sorted({*map(normalise, value)})
        if isinstance(value, list)
        else (normalise(value) if isinstance(value, str) else value)
        for name, value in listing.items()
    }


def _plain(value: Any) -> Any:
    """Return a value in which whole numbers have no decimals, however they were sent."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [*map(_plain, value)] if isinstance(value, list | tuple) else value


OUTCOME_NAMES: Final = ("quoteId", "listing", "soldPrice", "soldOn", "kind", "revision")


def _price(value: object) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 < value <= MOST_ASKED):  # type: ignore[operator]
        raise PydanticCustomError(
            "sold_price",
            "Input should be a number above 0 and at most 1,000,000,000,000, in the market's "
            "currency, without its name, sign or separators, such as 12000",
        )
    return None if value is None else float(value)  # type: ignore[arg-type]


SoldPrice = Annotated[
    float | None,
    BeforeValidator(
        _price, json_schema_input_type=Annotated[float, Field(gt=0, le=MOST_ASKED)] | None
    ),
]


def _revision(value: object) -> object:
    if isinstance(value, str | bool):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


_Revision = Annotated[int, Field(ge=0, le=2**31 - 1)]
Revision = Annotated[_Revision, BeforeValidator(_revision, json_schema_input_type=_Revision)]


class ToldListing(Listing):
    """A listing, with all that it could be priced with."""

    asking_price: Number | None = Field(None, description="Taken, and not kept")
    feature_count: Number | None = Field(None, description="Taken, and not kept")


_ONE_OF_EACH: Final[list[Any]] = [
    {"anyOf": [{"required": [name], "properties": {name: rule}} for name, rule in rules]}
    for rules in (
        (("quoteId", {"type": "string"}), ("listing", {"type": "object"})),
        (("soldPrice", {"type": "number"}), ("kind", {"const": "withdrawn"})),
    )
]
"""What the JSON schema says of fields of which one is needed."""


class OutcomeForm(BaseModel):
    """What became of one car: of a quote, or of a listing."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        title="Outcome",
        json_schema_extra={"allOf": _ONE_OF_EACH},
    )

    quote_id: str | None = Field(
        None,
        min_length=1,
        max_length=LONGEST_QUOTE,
        pattern=r"^[0-9A-Za-z_.:-]+$",
        description="Of the answer that priced the car; without it, a listing is needed",
    )
    listing: ToldListing | None = Field(None, description="The car, as it was, or would be, priced")
    sold_price: SoldPrice = Field(
        None,
        description="What was paid or offered, in the market's currency; not needed where the car "
        "was withdrawn",
        examples=[487000],
    )
    sold_on: Day = Field(
        description="The day of it, since 1950 and not to come",
        examples=["2025-06-14"],
        json_schema_extra={"pattern": "^(19[5-9]|20)[0-9]"},
    )
    kind: Kind = Field(Kind.SOLD, description="What became of the car")
    revision: Revision = Field(
        0,
        description="A higher one counts in place of lower ones, also where it says what was said "
        "before; of equal ones the last that was received counts",
    )

    @field_validator("sold_on")
    @classmethod
    def _not_to_come(cls, day: datetime.date) -> datetime.date:
        """Refuse days to come; one is allowed, since it is tomorrow already somewhere."""
        tomorrow = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)
        if not _FIRST_DAY <= day <= tomorrow:
            raise PydanticCustomError("sold_on", "Input should be a day since 1950, not to come")
        return day

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.quote_id is None and self.listing is None:
            raise PydanticCustomError(
                "no_subject", "needs the quoteId of the answer that priced the car, or its listing"
            )
        if self.sold_price is None and self.kind is not Kind.WITHDRAWN:
            raise PydanticCustomError("no_price", "needs soldPrice, unless its kind is withdrawn")
        return self

    def outcome(self, own: Iterable[str] = ()) -> Outcome:
        """Return it as it is kept.

        Parameters
        ----------
        own : the market's own columns, which the form was made with.
        """
        listing: dict[str, Any] = {}
        if self.listing is not None:
            given = self.listing.model_dump(mode="json", exclude_none=True)
            for name in (*LISTING_FIELDS, *own):
                if (value := given.get(name_in_requests(name))) not in (None, "", []):
                    listing[name] = sorted({*value}) if isinstance(value, list) else value
        price = None if self.kind is Kind.WITHDRAWN else self.sold_price
        return Outcome(
            self.kind,
            price,
            self.sold_on,
            self.quote_id or "",
            listing,
            revision=self.revision,
        )


@lru_cache(maxsize=64)
def form_of(own: tuple[str, ...] = ()) -> type[OutcomeForm]:
    """Return the form of a market with own columns."""
    if not own:
        return OutcomeForm
    listing: Any = (with_own(ToldListing, own) | None, OutcomeForm.model_fields["listing"])
    return create_model("OutcomeForm", __base__=OutcomeForm, listing=listing)


def wrong_of_outcome(
    error: ValidationError, place: str = "", most: int = MOST_ERRORS, own: Iterable[str] = ()
) -> Iterator[WrongField]:
    """Yield what is wrong with an outcome.

    Parameters
    ----------
    place : where it stands among others, such as ``outcomes.3.``.
    most : how many wrong fields are told.
    own : the market's own columns, which a listing may have too.
    """
    details = error.errors(include_url=False, include_context=False)[:most]
    for detail, wrong in zip(details, wrong_fields(error, place, most, own), strict=True):
        kind, loc = detail["type"], detail["loc"]
        if not loc:
            told = "must be a JSON object of an outcome" if kind == "model_type" else detail["msg"]
            yield WrongField(place.rstrip(".") or "body", told)
        elif kind == "extra_forbidden" and len(loc) == 1:
            told = f"there is no such field; the fields are {', '.join(OUTCOME_NAMES)}"
            yield WrongField(wrong.field, told)
        elif loc == ("listing",) and kind == "model_type":
            yield WrongField(wrong.field, "must be a JSON object of a listing's fields")
        else:
            yield wrong


@dataclass(frozen=True)
class Added:
    """What became of outcomes that were told: new ones, repeated ones, and corrections."""

    new: int = 0
    repeated: int = 0
    corrections: int = 0

    def __add__(self, other: "Added") -> "Added":
        return Added(
            self.new + other.new,
            self.repeated + other.repeated,
            self.corrections + other.corrections,
        )


class OutcomeStore:
    """Outcomes in a database: they are added, never changed, and deleted by :meth:`forget` alone.

    Parameters
    ----------
    location : a SQLAlchemy URL, or a folder, in which ``outcomes.db`` is made.

    Raises
    ------
    InputError
        If that is no place for outcomes, or its database driver is not installed.
    """

    def __init__(self, location: str) -> None:
        self.label = redact(location)
        self._location = location
        self._is_ready = False
        with self._problems():
            self._table = _table()
            self._engine = _engine(location)

    def add(self, outcomes: Sequence[Outcome], now: datetime.datetime) -> Added:
        """Keep outcomes, all or none of them.

        One that was told before, by whomever, in the same revision, is not kept again; another one
        of the same quote or car is a correction.

        Raises
        ------
        UnavailableError
            If the database cannot be reached, or does not take them: none of them is kept.
        """
        from sqlalchemy.exc import IntegrityError

        # In one order everywhere: transactions that meet do not wait for each other in a circle.
        rows = sorted((_row(one, now) for one in outcomes), key=lambda row: str(row["subject"]))
        with self._problems():
            for tried in range(1, _MOST_TRIES + 1):
                try:
                    with self._writing() as connection:
                        _be_patient(connection)
                        return self._add(connection, rows)
                except IntegrityError:  # somebody else told the same at this moment
                    if tried == _MOST_TRIES:
                        raise
        raise AssertionError

    def _add(self, connection: "Connection", rows: Sequence[dict[str, Any]]) -> Added:
        from sqlalchemy import select

        columns = self._table.c
        known: set[tuple[str, str]] = set()
        subjects = sorted({row["subject"] for row in rows})
        for start in range(0, len(subjects), _AT_ONCE):
            some = subjects[start : start + _AT_ONCE]
            query = select(columns.subject, columns.content).where(columns.subject.in_(some))
            known.update((row.subject, row.content) for row in connection.execute(query))
        told = {subject for subject, _ in known}
        counts, kept = Counter[str](), []
        for row in rows:
            key = (row["subject"], row["content"])
            if key in known:
                counts["repeated"] += 1
                continue
            counts["corrections" if row["subject"] in told else "new"] += 1
            known.add(key)
            told.add(row["subject"])
            kept.append(row)
        if kept:
            connection.execute(self._table.insert(), kept)
        return Added(**counts)

    def latest(self) -> list[Outcome]:
        """Return the outcome that counts of each quote and each car, the oldest first.

        The highest revision counts, of equal ones the last that was received.

        Raises
        ------
        UnavailableError
            If the database cannot be read.
        """
        from sqlalchemy import func, select

        columns = self._table.c
        order = (columns.revision.desc(), columns.id.desc())
        place = func.row_number().over(partition_by=columns.subject, order_by=order)
        placed = select(columns.id, place.label("place")).subquery()
        last = select(placed.c.id).where(placed.c.place == 1)
        query = self._table.select().where(columns.id.in_(last)).order_by(columns.id)
        return self._read(query)

    def told(self) -> list[Outcome]:
        """Return all that was told, in the order in which it was received."""
        return self._read(self._table.select().order_by(self._table.c.id))

    def history(self, quote_id: str) -> list[Outcome]:
        """Return all that was told of a quote, the oldest first and the one that counts last."""
        columns = self._table.c
        query = self._table.select().where(columns.subject == f"quote:{quote_id}")
        return self._read(query.order_by(columns.revision, columns.id))

    def forget(self, before: datetime.date, *, act: bool = True) -> int:
        """Delete all that was told of quotes and cars of which nothing was received since a day.

        Parameters
        ----------
        before : the day (UTC).
        act : else they are only counted.

        Returns
        -------
        How many outcomes these are.
        """
        from sqlalchemy import delete, func, select

        if self._is_missing():
            return 0
        columns = self._table.c
        day = datetime.datetime.combine(before, datetime.time())
        old = (
            select(columns.subject)
            .group_by(columns.subject)
            .having(func.max(columns.received_at) < day)
        )
        # MySQL deletes by no query of the same table, unless that is a table of its own.
        those = columns.subject.in_(select(old.subquery().c.subject))
        with self._problems(), self._writing() as connection:
            count = select(func.count()).select_from(self._table).where(those)
            found: int = connection.execute(count).scalar_one()
            if act:
                connection.execute(delete(self._table).where(those))
            return found

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _read(self, query: Any) -> list[Outcome]:
        if self._is_missing():
            return []
        with self._problems(), self._reading() as connection:
            return [_outcome(row) for row in connection.execute(query)]

    @property
    def _file(self) -> Path | None:
        """The database's file, if it is one."""
        url = self._engine.url
        name = url.database or ":memory:"
        is_file = url.get_backend_name() == "sqlite" and not name.startswith((":memory:", "file:"))
        return Path(name) if is_file else None

    def _is_missing(self) -> bool:
        """Whether nothing was ever kept: reading makes no new file."""
        return self._file is not None and not self._file.exists()

    @contextlib.contextmanager
    def _writing(self) -> Iterator["Connection"]:
        self._prepare()
        with self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator["Connection"]:
        self._prepare()
        with self._engine.connect() as connection:
            yield connection

    def _prepare(self) -> None:
        """Make the table where there is none; another process may do so at the same time."""
        from sqlalchemy import inspect
        from sqlalchemy.exc import DBAPIError

        if self._is_ready:
            return
        if self._file is not None:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self._file.touch(mode=0o600, exist_ok=False)
        try:
            with self._engine.begin() as connection:
                _be_patient(connection)
                self._table.metadata.create_all(connection)
        except DBAPIError:
            if not inspect(self._engine).has_table(self._table.name):
                raise
        self._is_ready = True

    @contextlib.contextmanager
    def _problems(self) -> Iterator[None]:
        """Tell of what a database or its driver raises in one line, without secrets."""
        try:
            from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
        except ImportError:
            raise InputError(
                "outcomes need SQLAlchemy; pip install 'sqlalchemy>=2', or build the image with "
                "--build-arg PREDICTION_LOG=yes"
            ) from None
        hint = "write a folder, or a database such as postgresql+psycopg://user@host/name"
        try:
            yield
        except NoSuchModuleError:
            raise InputError(
                f"outcomes cannot be kept at {self.label}: no such database is known; {hint}"
            ) from None
        except ArgumentError:
            raise InputError(
                f"outcomes cannot be kept at {self.label}: it is no SQLAlchemy URL; {hint}"
            ) from None
        except ModuleNotFoundError as error:
            raise InputError(
                f"outcomes at {self.label} need the database driver {error.name}; pip install "
                f"'carprice[sql]' for PostgreSQL and MySQL, else pip install {error.name}"
            ) from None
        except (SQLAlchemyError, OSError) as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())[:500]
            raise UnavailableError(
                f"the database of outcomes {self.label} does not do what was asked: "
                f"{hide_secrets(reason, self._location)}; nothing was kept, try again later"
            ) from None


def _engine(location: str) -> "Engine":
    from sqlalchemy import create_engine, event
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    if "://" not in location:
        path = Path(location).expanduser()
        if path.is_file():
            raise InputError(f"outcomes cannot be kept at {location}: it is a file; name a folder")
        url = URL.create("sqlite", database=str(path / OUTCOMES_FILE))
    elif location.startswith(("s3://", "http://", "https://", "file://")):
        raise NoSuchModuleError
    else:
        try:
            url = make_url(location)
        except ValueError:  # of a port that is none
            raise ArgumentError from None
    engine = create_engine(url, pool_pre_ping=True, pool_timeout=_PATIENCE, hide_parameters=True)
    wait = _WAITS.get(engine.driver, {})

    @event.listens_for(engine, "do_connect")
    def _(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        options.update({name: value for name, value in wait.items() if name not in options})

    return engine


_POSTGRESQL: Final = {
    "connect_timeout": int(_PATIENCE),
    "tcp_user_timeout": int(1000 * _PATIENCE),
    **{"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3},
}
_MYSQL: Final = {"connect_timeout": int(_PATIENCE), "read_timeout": int(_PATIENCE)}
_WAITS: Final[dict[str, dict[str, Any]]] = {
    "pysqlite": {"timeout": _PATIENCE},
    **{"psycopg": _POSTGRESQL, "psycopg2": _POSTGRESQL},
    **{"pymysql": _MYSQL, "mysqldb": _MYSQL},
}
"""How drivers are told not to wait for ever; what the URL says goes before it."""


def _be_patient(connection: "Connection") -> None:
    """Let a transaction that writes to PostgreSQL not wait for ever.

    In the transaction, not when it connects: poolers such as PgBouncer refuse that.
    """
    if connection.dialect.name == "postgresql":
        for name in ("statement_timeout", "lock_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {name} = {int(1000 * _PATIENCE)}")


def _table() -> "Table":
    from sqlalchemy import (
        Column,
        Date,
        DateTime,
        Float,
        Integer,
        MetaData,
        String,
        Table,
        Text,
        UniqueConstraint,
    )

    return Table(
        "outcomes",
        MetaData(),
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("subject", String(LONGEST_QUOTE + 10), nullable=False),
        Column("content", String(64), nullable=False),
        Column("kind", String(20), nullable=False),
        Column("sold_price", Float(53)),
        Column("sold_on", Date, nullable=False),
        Column("quote_id", String(LONGEST_QUOTE), nullable=False),
        Column("listing", Text, nullable=False),
        Column("received_at", DateTime, nullable=False),
        Column("revision", Integer, nullable=False),
        UniqueConstraint("subject", "content"),
        sqlite_autoincrement=True,
    )


def _row(outcome: Outcome, now: datetime.datetime) -> dict[str, Any]:
    return {
        "subject": outcome.subject,
        "content": outcome.content,
        "kind": str(outcome.kind),
        "sold_price": outcome.sold_price,
        "sold_on": outcome.sold_on,
        "quote_id": outcome.quote_id,
        "listing": json.dumps(dict(outcome.listing), sort_keys=True),
        "received_at": now.astimezone(datetime.UTC).replace(tzinfo=None),
        "revision": outcome.revision,
    }


def _outcome(row: Any) -> Outcome:
    return Outcome(
        Kind(row.kind),
        row.sold_price,
        row.sold_on,
        row.quote_id,
        json.loads(row.listing),
        row.received_at.replace(tzinfo=datetime.UTC),
        row.revision,
    )
