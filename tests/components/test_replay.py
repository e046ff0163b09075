"""``carprice replay``: quotes that were kept are priced again, and changed ones are refused."""

import dataclasses
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_line import Carprice, caller

from carprice.appraisal.appraisal import PARTS, Appraised, parts_of
from carprice.arrays import quiet
from carprice.components import replay as replaying
from carprice.components.workspace import Workspace
from carprice.listings.problems import read_value
from carprice.model import PriceModel
from carprice.schema import Listing, example_listing

QUOTES = 1_000


@pytest.fixture(scope="module")
def answers(promoted: Workspace) -> list[str]:
    """1,000 answers of the production model, one text each, the first with all parts."""
    model = PriceModel.load(promoted.model)
    frame = pd.read_parquet(promoted.train_listings)[[*Listing.model_fields]].head(QUOTES)
    frame["odometer"] = frame["odometer"].fillna(50_000.0)
    kept: list[str] = []
    for _, row in frame.iterrows():
        given = row.dropna().to_dict().items()
        listing = Listing.model_validate({name: read_value(name, one) for name, one in given})
        valuation = model.pricer.value(vars(listing), 0.9)
        without = {*PARTS} - {"quote"} if kept else ()
        parts = parts_of(Appraised(model, listing, 0.9, valuation), without)
        kept.append(json.dumps({**valuation.content(), **parts, **model.content(0.9)}))
    return kept


@pytest.fixture
def carprice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Carprice:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return caller(monkeypatch, capsys)


@pytest.fixture
def kept(answers: list[str], tmp_path: Path) -> Path:
    path = tmp_path / "quotes.jsonl"
    path.write_text("".join(f"{one}\n" for one in answers), encoding="utf-8")
    return path


def edited(answer: str, **change: Any) -> str:
    return json.dumps({**json.loads(answer), **change})


def test_a_thousand_quotes_of_another_version_of_the_package_are_the_same_to_the_cent(
    carprice: Carprice, kept: Path, promoted: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carprice.__version__", "99.0.0")
    done = carprice("replay", kept, "--model", promoted.model)
    assert done.code == 0, done.printed
    assert "replay: 1,000 of 1,000 are the same to the cent" in done.err


def test_the_model_is_fetched_from_the_registry_and_then_taken_from_the_cache(
    carprice: Carprice, kept: Path, promoted: Workspace, tmp_path: Path
) -> None:
    root = shutil.copytree(promoted.root, tmp_path / "project")
    (tmp_path / "params.yaml").write_text("ingest: {source: sample}\n")
    digest = PriceModel.load(promoted.model).digest
    done = carprice("replay", kept, "--workdir", root)
    assert done.code == 0, done.printed
    assert (root / ".carprice" / "models" / digest).is_dir()
    (tmp_path / "params.yaml").unlink()
    (root / "mlflow.db").unlink()
    cached = carprice("replay", kept, "--workdir", root, "--json")
    assert cached.code == 0
    told = json.loads(cached.out)
    assert (told["quotes"], told["same"]) == (QUOTES, QUOTES)
    assert {row["model"] for row in told["rows"]} == {digest}
    assert not (root / "mlflow.db").exists()


def test_changed_quotes_are_refused_and_named(
    carprice: Carprice, answers: list[str], promoted: Workspace, tmp_path: Path
) -> None:
    lines = answers[:50]
    lines[6] = edited(lines[6], predictedPrice=1.0)
    lines[8] = edited(lines[8], quote={**json.loads(lines[8])["quote"], "confidence": 0.8})
    lines[9] = edited(lines[9], modelDigest="0" * 64)
    (tmp_path / "kept.jsonl").write_text("\n".join(lines))
    done = carprice("replay", "kept.jsonl", "--model", promoted.model)
    assert done.code == 1
    assert "3 of 50 quotes do not hold; the first: kept.jsonl:7: it was changed" in done.refusal
    for line in (7, 9, 10):
        assert f"kept.jsonl:{line} " in done.err
    told = json.loads(carprice("replay", "kept.jsonl", "--model", promoted.model, "--json").out)
    assert (told["same"], told["differs"], told["refused"]) == (47, 0, 3)
    assert [row["verdict"] for row in told["rows"][5:8]] == ["same", "refused", "same"]


def test_a_price_that_the_model_does_not_give_differs_though_its_id_was_made_anew(
    carprice: Carprice, answers: list[str], promoted: Workspace, tmp_path: Path
) -> None:
    model = PriceModel.load(promoted.model)
    forged = json.loads(answers[0])
    listing = Listing(**example_listing())
    valuation = model.pricer.value(vars(listing), 0.5)
    parts = parts_of(Appraised(model, listing, 0.9, valuation), {*PARTS} - {"quote"})
    forged = {**valuation.content(), **parts, **model.content(0.9)}
    (tmp_path / "one.json").write_text(json.dumps(forged, indent=2))
    done = carprice("replay", "one.json", "--model", promoted.model)
    assert done.code == 1
    assert "one.json:1: priceLow is " in done.refusal


def test_each_model_is_loaded_before_the_next_is_fetched(
    answers: list[str], promoted: Workspace, tmp_path: Path
) -> None:
    """The cache deletes old models when it gets new ones."""
    model, folder = PriceModel.load(promoted.model), tmp_path / "cached"
    texts = answers[:2]
    listing = Listing(**example_listing())
    others: dict[str, PriceModel] = {}
    for number in range(5):
        other = dataclasses.replace(model, metrics={**model.metrics, "number": float(number)})
        digest = other.save(tmp_path / "made")
        others[digest] = other
        valuation = other.pricer.value(vars(listing), 0.9)
        priced = Appraised(dataclasses.replace(other, digest=digest), listing, 0.9, valuation)
        parts = parts_of(priced, {*PARTS} - {"quote"})
        texts.append(json.dumps({**valuation.content(), **parts, **priced.model.content(0.9)}))
    (tmp_path / "kept.jsonl").write_text("\n".join(texts))

    def model_of(digest: str) -> Path:
        if folder.exists():
            shutil.rmtree(folder)
        others.get(digest, model).save(folder)
        return folder

    outcome = replaying.replay(
        replaying.read_quotes([str(tmp_path / "kept.jsonl")]), model_of, quiet
    )
    assert outcome.odd == []
    assert len(outcome.by_model) == 6


@pytest.mark.parametrize("between", ["", "\n", "\n\n", "\r\n", " ", "\ufeff"])
@pytest.mark.parametrize("indent", [None, 2])
def test_answers_may_follow_one_another_as_they_were_sent(
    between: str, indent: int | None, answers: list[str], tmp_path: Path
) -> None:
    """So ``curl … >> quotes.jsonl`` keeps them: the service ends no answer with a line break."""
    some = [json.loads(one) for one in answers[:40]]
    text = between.join(json.dumps(one, indent=indent, ensure_ascii=False) for one in some)
    (tmp_path / "kept.jsonl").write_bytes(text.encode())
    kept = replaying.read_quotes([str(tmp_path / "kept.jsonl")])
    assert [one.quote.id for one in kept] == [one["quote"]["id"] for one in some]
    assert all(one.quote.is_as_told for one in kept)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_where_a_file_is_parted_in_reading_says_nothing(
    size: int, answers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps(
        {**json.loads(answers[1]), "more": ["Citroën", -1.5e-7, True, None, "\u20ac"]}
    )
    (tmp_path / "kept.jsonl").write_bytes(f"{text}{text}\n{text}".encode())
    monkeypatch.setattr(replaying, "_CHUNK", size)
    kept = replaying.read_quotes([str(tmp_path / "kept.jsonl")])
    assert [one.place.rpartition(":")[2] for one in kept] == ["1", "1", "2"]
    assert all(one.quote.is_as_told for one in kept)


@pytest.mark.parametrize("indent", [None, 2])
def test_one_quote_may_come_on_standard_input(
    carprice: Carprice,
    answers: list[str],
    promoted: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    indent: int | None,
) -> None:
    text = json.dumps(json.loads(answers[0]), indent=indent)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf" + text.encode())))
    done = carprice("replay", "-", "--model", promoted.model)
    assert done.code == 0, done.printed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "kept.jsonl does not exist"),
        (b"", "kept.jsonl holds no quote"),
        (b"\n \n", "kept.jsonl holds no quote"),
        (b"5", "kept.jsonl:1: it has no 'quote': it is no answer of POST /appraise"),
        (b"[1,\n2]", "kept.jsonl:1: it has no 'quote'"),
        (b'{"predictedPrice": 5}\n', "kept.jsonl:1: it has no 'quote'"),
        (b'{"a": 1', "kept.jsonl:1: it is not JSON"),
        (b'{"a": NaN}', "kept.jsonl:1: it is not JSON: NaN is no number of JSON"),
        (b'{"a": "\xff"}', "kept.jsonl:1: it is not UTF-8"),
        (b"[" * 200_000 + b"]", "kept.jsonl:1: it is nested too deep"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "kept.jsonl:1: it is not JSON"),
        (b" " * (replaying.LONGEST + 5), "kept.jsonl holds no quote"),
        (b'{"a": "' + b"x" * 2 * replaying.LONGEST, "kept.jsonl:1 has more than 1,048,576 bytes"),
        (b'{"a": [' + b"1, " * replaying.LONGEST, "kept.jsonl:1 has more than 1,048,576 bytes"),
        (b'\n\n{"a": "b', "kept.jsonl:3: it is not JSON"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(
    carprice: Carprice, tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "kept.jsonl").write_bytes(content)
    done = carprice("replay", "kept.jsonl")
    assert done.code == 2
    assert words in done.line
    assert len(done.line) < 300


def test_a_broken_line_among_good_ones_is_named(
    carprice: Carprice, answers: list[str], tmp_path: Path
) -> None:
    (tmp_path / "kept.jsonl").write_text("\n".join([*answers[:3], answers[3][:200], *answers[4:6]]))
    done = carprice("replay", "kept.jsonl")
    assert done.code == 2
    assert "kept.jsonl:4: it is not JSON" in done.line


def test_too_many_quotes_are_refused(
    carprice: Carprice, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "MOST_QUOTES", 10)
    done = carprice("replay", kept)
    assert done.code == 2
    assert "quotes.jsonl:11: more than 10 quotes; replay some at a time" in done.line


def test_a_model_that_is_nowhere_is_named_with_the_remedy(
    carprice: Carprice, kept: Path, promoted: Workspace, newer_model: Any, tmp_path: Path
) -> None:
    digest = PriceModel.load(promoted.model).digest
    (tmp_path / "params.yaml").write_text("ingest: {source: sample}\n")
    done = carprice("replay", kept)
    assert done.code == 2
    assert f"the model {digest} of a quote is not in .carprice/models" in done.line
    assert done.line.endswith("and there is no registry; name its folder with --model")
    assert not (tmp_path / "mlflow.db").exists()
    other = newer_model(promoted.model, tmp_path / "other")
    done = carprice("replay", kept, "--model", other)
    assert done.code == 2
    assert f"a quote is of the model {digest}, and --model names " in done.line
    assert carprice("replay", kept, "--model", other, "--model", promoted.model).code == 0
    done = carprice("replay", kept, "--model", tmp_path)
    assert done.code == 2
    assert "is not a model folder: it has no model.json" in done.line


def test_a_model_folder_that_was_changed_prices_nothing(
    carprice: Carprice, kept: Path, promoted: Workspace, tmp_path: Path
) -> None:
    folder = shutil.copytree(promoted.model, tmp_path / "model")
    (folder / "ranges.json").write_bytes(b"{}")
    done = carprice("replay", kept, "--model", folder)
    assert done.code == 2
    assert "ranges.json is missing or not the file that was written" in done.line
