"""Files that are read at once tell what they tell one after another, and the same errors."""

import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow.parquet import ParquetFile

from carprice.arrays import quiet
from carprice.errors import InputError
from carprice.listings import reading
from carprice.listings.notation import Notation
from carprice.listings.partitions import Before, Manner, read_part, read_parts
from carprice.listings.reading import Source, read_source, read_source_at
from carprice.listings.sources import Piece, formats, limits, pieces_of
from carprice.settings import IngestSettings
from carprice.threads import in_threads

ROWS = 60


def cars(**columns: Any) -> pd.DataFrame:
    rows = range(ROWS)
    plain = {
        "make": ["Kia" if row % 2 else "Ford" for row in rows],
        "model": ["Rio" if row % 2 else "Focus" for row in rows],
        "year": [str(2010 + row % 12) for row in rows],
        "odometer": [str(20_000 + 731 * row) for row in rows],
        "price": [str(300_000 + 1_117 * row) for row in rows],
    }
    return pd.DataFrame({**plain, **columns})


def numbers(form: str, low: int = 20, step: int = 1) -> list[str]:
    return [form.format(low + step * row % 70) for row in range(ROWS)]


def read(folder: Path, parts: list[pd.DataFrame], **given: Any) -> tuple[Any, Any]:
    """Return what one machine, and what tasks, make of files: a source, or an error's words."""
    (folder / "in").mkdir()
    for place, part in enumerate(parts):
        part.to_csv(folder / "in" / f"{place}.csv", index=False)
    return read_both(folder, folder / "in" / "*.csv", given)


def read_both(folder: Path, source: Path, given: dict[str, Any]) -> tuple[Any, Any]:
    settings = IngestSettings.model_validate({"source": str(source), **given})

    def outcome(read: Any, *arguments: Any, keep: Path) -> Source | str:
        keep.mkdir()
        try:
            found: Source = read(*arguments, keep=keep, passed_over=folder / "none")
        except InputError as error:
            return str(error).replace(str(keep), str(folder / "in"))
        return found

    return (
        outcome(read_source, settings, quiet, keep=folder / "one"),
        outcome(read_source_at, in_threads, settings, quiet, keep=folder / "two"),
    )


def same(one: Source, other: Source) -> None:
    pd.testing.assert_frame_equal(one.frame, other.frame)
    pd.testing.assert_frame_equal(one.ignored, other.ignored)
    assert one.row_digests.tolist() == other.row_digests.tolist()
    names = ("unreadable", "respaced", "origin", "notes", "left_out", "defaulted", "decimals")
    for name in (*names, "unmatched", "likely_id", "rows_read"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.judged() == other.judged()


POINTS = cars(odometer=numbers("{}.500"))  # 20.5 or 20,500: earlier files tell
DECIMALS = cars(odometer=numbers("{}.5"))
WHOLE = cars(odometer=numbers("{}.500.000", 1, 0))
SPACED = cars(make=[" Kia "] * ROWS, colour=["red"] * ROWS)
SOME_UNREADABLE = cars(odometer=["?", *numbers("{}000")[1:]])
MANY_UNREADABLE = cars(odometer=["?"] * 30 + numbers("{}000")[30:])


ALIKE = pytest.mark.parametrize(
    ("parts", "given"),
    [
        ([cars(), cars(), SPACED], {}),
        ([cars(), cars(odometer=numbers("{},500")), cars()], {"decimal": "."}),
        ([WHOLE, POINTS, cars()], {}),
        ([cars(), WHOLE, POINTS, cars(), POINTS], {}),
        ([cars(), SOME_UNREADABLE, cars(), SOME_UNREADABLE], {}),
        ([cars(), cars(make=["Kia", *[None] * 59])], {"columns": {"make": {"from": "make", "default": "Fiat"}}}),  # noqa: E501
        ([cars(state=["sold"] * ROWS), cars(state=["new"] * ROWS)], {"rows": {"drop": {"state": "sold"}}}),  # noqa: E501
        ([cars(car=[f"c{row}" for row in range(ROWS)])] * 2, {}),
        ([cars(odometer=numbers("{}000 km"))] * 3, {"columns": {"odometer": {"from": "odometer", "number": True}}}),  # noqa: E501
    ],
    ids=[
        *("plain", "signs", "decided first", "decided later", "unreadable", "default", "left out"),
        *("ids", "units"),
    ],
)  # fmt: skip


@ALIKE
def test_files_read_at_once_are_as_read_in_a_row(
    parts: list[pd.DataFrame], given: dict[str, Any], tmp_path: Path
) -> None:
    one, other = read(tmp_path, parts, **given)
    assert isinstance(one, Source), one
    same(one, other)


@ALIKE
def test_pieces_of_a_file_read_at_once_are_as_read_in_a_row(
    parts: list[pd.DataFrame], given: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "in").mkdir()
    file, frame = tmp_path / "in" / "cars.parquet", pd.concat(parts)
    frame.to_parquet(file, index=False, row_group_size=70)
    monkeypatch.setattr(limits, "_MOST_CELLS", frame.shape[1] * 40)
    pieces = pieces_of([str(file)])
    assert [len(piece.rows or ()) for piece in pieces[:-1]] == [40] * (len(pieces) - 1)
    assert len(pieces) == -(-len(frame) // 40) > 1
    one, other = read_both(tmp_path, file, given)
    assert isinstance(one, Source), one
    same(one, other)


def test_a_late_piece_of_a_row_group_takes_the_memory_of_the_first(tmp_path: Path) -> None:
    file, rows = tmp_path / "cars.parquet", 20_000
    pd.DataFrame({"price": range(rows)}).to_parquet(file, index=False)

    def size(first: int) -> float:
        with ParquetFile(file) as table:
            (part,) = formats._parts_of_parquet(table, 1000, range(first, first + 1000))
            assert part["price"].to_pylist() == [*range(first, first + 1000)]
            return float(part.get_total_buffer_size())

    assert size(rows - 1000) <= 2 * size(0)


@pytest.mark.parametrize("after", [b"\x19", b"\x26"], ids=["of the file", "of its row group"])
def test_a_number_of_rows_that_is_wrong_makes_no_pieces_of_nothing(
    after: bytes, tmp_path: Path
) -> None:
    """In the footer, 70 becomes 2 ** 45, each as a Thrift integer of 8 bytes."""
    file, field = tmp_path / "cars.parquet", b"\x16"
    pd.concat([cars(), cars()[:10]]).to_parquet(file, index=False)
    content, seventy = file.read_bytes(), field + b"\x8c\x01" + after
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    body, footer = content[:start], content[start:-8]
    assert footer.count(seventy) == 1
    footer = footer.replace(seventy, field + b"\x80" * 6 + b"\x10" + after)
    file.write_bytes(body + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    assert pieces_of([str(file)]) == [Piece(str(file), range(70))]


NUMBER = {"columns": {"odometer": {"from": "odometer", "number": True}}}


@pytest.mark.parametrize(
    ("parts", "given", "told"),
    [
        ([cars(), cars().drop(columns="odometer"), cars()], {}, "no column"),
        ([cars(), POINTS], {}, "which may be"),
        (
            [cars(odometer=numbers("{}000 km")), cars(odometer=numbers("{}000 mi"))],
            NUMBER,
            "beside",
        ),
        ([cars(), cars(), cars(curr=["USD"] * ROWS), cars(curr=["EUR"] * ROWS)], {}, "INR"),
    ],
    ids=["a field lacks", "sign in doubt", "two units", "a currency beside"],
)
def test_what_is_wrong_with_files_is_told_alike(
    parts: list[pd.DataFrame], given: dict[str, Any], told: str, tmp_path: Path
) -> None:
    one, other = read(tmp_path, parts, **given)
    assert told in one
    assert one == other


def test_files_are_read_as_they_are_needed(tmp_path: Path) -> None:
    """Two files have a sign that is new, so that those after it are read anew, and no more."""
    for place, part in enumerate([cars(), cars(), WHOLE, POINTS, cars(), POINTS]):
        part.to_csv(tmp_path / f"{place}.csv", index=False)
    files, seen = pieces_of(sorted(map(str, tmp_path.iterdir()))), list[str]()

    def reading(task: Any, items: Iterable[Piece], *shared: Any) -> Iterator[Any]:
        for file in items:
            seen.append(Path(file.address).stem)
            yield task(file, *shared)

    manner = Manner(IngestSettings(), {}, learns=True)
    parts = read_parts(reading, manner, files, lambda _: lambda *_: None)
    for place in range(len(files)):
        assert next(parts)[0].tally.rows == ROWS
        assert seen[-1] == str(place)
    assert [*parts] == []
    assert sorted({*seen}) == [str(place) for place in range(len(files))]
    assert len(seen) <= len(files) + 2


def test_what_is_kept_of_rows_has_no_texts_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row has a description of its own, which no field reads."""
    monkeypatch.setattr(reading, "_ROWS_INSPECTED", 10)
    told = [f"{row:04000}" for row in range(ROWS)]
    file, folder = tmp_path / "cars.csv", tmp_path / "copy"
    cars(told=told).to_csv(file, index=False)
    folder.mkdir()
    settings = IngestSettings(source=str(file))
    source = read_source(settings, quiet, keep=folder)
    assert source.ignored["told"].tolist() == told[:10]
    assert len(pickle.dumps(source.ignored)) < 20 * 4000
    part = read_part(
        *(Piece(str(file)), Manner(settings, {}, learns=True)),
        *(Before(Notation(settings), {}), reading._keep_after(10_000)),
    )
    assert len(pickle.dumps(part.kept)) < 20 * 4000


def test_a_share_of_bare_numbers_is_judged_over_all_files(tmp_path: Path) -> None:
    """Alone, the last file has too many without a unit; among all there are few."""
    miles = cars(odometer=numbers("{}000 mi"))
    bare = cars(odometer=[*numbers("{}000 mi")[:54], *numbers("{}000")[54:]])
    one, other = read(tmp_path, [miles, miles, miles, bare, miles], **NUMBER)
    assert isinstance(one, Source), one
    same(one, other)
