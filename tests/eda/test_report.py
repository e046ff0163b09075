import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from carprice.eda.advice import Severity, advise
from carprice.eda.findings import Findings
from carprice.eda.report import render, write_report
from carprice.errors import CarpriceError
from carprice.sample.market import generate
from carprice.settings import Settings

HEADER = "make,model,year,odometer,price"
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """The elements of a page; fails where one is closed out of order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []
        self.tags = Counter(tag for tag, _ in self.elements)

    def all(self, *names: str) -> list[str]:
        """Return the values of these attributes."""
        return [str(one[name]) for _, one in self.elements for name in names if name in one]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def csv(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "cars.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def plain_rows(count: int, make: str = "Kia") -> list[str]:
    return [
        f"{make},Model {n % 4},{2005 + n % 15},{10_000 + 137 * n},{5000 + (7919 * n) % 20_000}"
        for n in range(count)
    ]


def test_the_page_is_whole_and_asks_nobody_for_anything(sample_page: str) -> None:
    page = Page(sample_page)
    assert page.tags["script"] == page.tags["iframe"] == page.tags["img"] == 0
    ids, addresses = page.all("id"), page.all("href", "src")
    assert len(set(ids)) == len(ids)
    assert {address[1:] for address in addresses if address.startswith("#")} <= set(ids)
    assert {kind.split(":")[0] for kind in addresses if not kind.startswith("#")} == {"data"}
    assert not re.search(r"https?:|@import", sample_page)
    urls = re.findall(r"url\((.)([^)]*)\)", sample_page)
    assert {start for start, _ in urls} == {"#"}
    assert {name for _, name in urls} <= set(ids)
    assert len(sample_page.encode()) < 5_000_000
    # Every chart says in words what it shows.
    assert page.tags["svg"] == page.all("role").count("img") == page.tags["figcaption"] >= 9
    words = [one["aria-label"] for _, one in page.elements if one.get("role") == "img"]
    assert all(len(str(text)) > 20 for text in words)


def test_the_same_listings_give_the_same_page(sample_findings: Findings, sample_page: str) -> None:
    assert render(sample_findings) == sample_page


def test_the_columns_computed_from_the_price_are_named(sample_findings: Findings) -> None:
    leaks = {column.name for column in sample_findings.leaks}
    assert leaks == {
        *("cashDownPayment", "emiStartingValue", "emiEndingValue", "avgEmi", "roiMinDiscounted")
    }
    (advice,) = (one for one in advise(sample_findings) if "computed from the price" in one.title)
    assert all(name in advice.text for name in leaks)


def test_what_the_sample_is_made_with_is_found(sample_findings: Findings) -> None:
    market = sample_findings.market
    assert market is not None
    assert sample_findings.rejected["exact duplicate"] == 25
    assert market.noise.mdape is not None
    assert 4 < market.noise.mdape < 12  # of few pairs
    assert market.drift.market == pytest.approx(0.03, abs=0.03)
    assert market.suspects == ()
    assert any("Noise floor" in one.title for one in advise(sample_findings))


def test_prices_that_are_no_cars_are_told_without_odometers(
    look: Callable[..., Findings], tmp_path: Path
) -> None:
    odd = generate(400, 7).astype({"listingPrice": float})
    odd.loc[odd.index % 20 == 0, "listingPrice"] = 1.0
    odd.to_csv(tmp_path / "cars.csv", index=False)
    findings = look(tmp_path / "cars.csv", price_range=[0.5, 1e9])
    (advice,) = (one for one in advise(findings) if "look like no car's price" in one.title)
    assert advice.severity is Severity.CAREFUL
    assert "in INR: 1 (" in advice.text
    assert "such a car costs about" in advice.text
    assert " km:" not in advice.text
    believed = look(tmp_path / "cars.csv", price_range=[0.5, 1e9], junk="believe")
    assert not [one for one in advise(believed) if "look like no car's price" in one.title]


def test_clean_prices_are_all_believed(sample_findings: Findings) -> None:
    assert sample_findings.market is not None
    assert sample_findings.market.junk.rows == 0


def test_no_row_of_a_listing_is_on_the_page(look: Callable[..., Findings], tmp_path: Path) -> None:
    rows = [f"{row},VIN-{n:05}" for n, row in enumerate(plain_rows(300))]
    page = render(look(csv(tmp_path, *rows, header=f"{HEADER},vin")))
    assert "VIN-" not in page
    assert "an identifier?" in page


def test_names_from_a_file_are_no_html(look: Callable[..., Findings], tmp_path: Path) -> None:
    rows = plain_rows(300, make="<script>alert(1)</script><b>$x_{")
    header = f"{HEADER},<i>emi</i>"
    page = render(look(csv(tmp_path, *(f"{row},1" for row in rows), header=header)))
    assert Page(page).tags["script"] == Page(page).tags["b"] == Page(page).tags["i"] == 0
    assert "&lt;i&gt;emi&lt;/i&gt;" in page


@pytest.mark.parametrize(
    ("rows", "severity", "title"),
    [
        (["Kia,Rio,2015,40000,5000"], Severity.STOP, "Too few listings to learn from"),
        (["Kia,Rio,2015,40000,"] * 3, Severity.STOP, "No listing is left"),
        (plain_rows(9), Severity.STOP, "Too few listings to learn from"),
        (plain_rows(30), Severity.STOP, "Too few listings to learn from"),
        (plain_rows(300), Severity.CAREFUL, "One make only"),
        (plain_rows(300), Severity.CAREFUL, "Few listings"),
        (
            [f"Kia,Rio,{2005 + n % 15},{10_000 + n},5000" for n in range(300)],
            Severity.STOP,
            "All prices are equal",
        ),
        (plain_rows(40), Severity.NOTE, "No variant"),
        (
            [",".join([*row.split(",")[:3], "", row.split(",")[4]]) for row in plain_rows(300)],
            Severity.CAREFUL,
            "No odometer",
        ),
    ],
)
def test_poor_data_gets_a_page_that_says_so(
    rows: list[str], severity: Severity, title: str, look: Callable[..., Findings], tmp_path: Path
) -> None:
    findings = look(csv(tmp_path, *rows))
    assert (severity, title) in {(one.severity, one.title) for one in advise(findings)}
    page = render(findings)
    Page(page)
    assert title in page


def test_fewer_than_ten_listings_are_not_shown_one_by_one(
    look: Callable[..., Findings], tmp_path: Path
) -> None:
    findings = look(csv(tmp_path, *plain_rows(9, make="Koenigsegg")))
    assert findings.market is None
    assert "Koenigsegg" not in render(findings)


def test_a_mapped_column_that_knows_the_price_stops(
    look: Callable[..., Findings], tmp_path: Path
) -> None:
    rows = [f"{row},{0.02 * float(row.split(',')[4]):.1f}" for row in plain_rows(1000)]
    findings = look(csv(tmp_path, *rows, header=f"{HEADER},roadTax"))
    first = advise(findings)[0]
    assert (first.severity, first.title) == (Severity.STOP, "roadTax knows the price")
    assert "roadTax: null" in first.text


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("eda.pdf", "the ending must be .html"),
        ("folder.html", "is a folder"),
        ("cars.csv/eda.html", "cannot be written"),
    ],
)
def test_a_page_that_cannot_be_written_is_named(tmp_path: Path, out: str, words: str) -> None:
    (tmp_path / "folder.html").mkdir()
    settings = Settings.model_validate({"ingest": {"source": str(csv(tmp_path, *plain_rows(5)))}})
    with pytest.raises(CarpriceError, match=words):
        write_report(settings, tmp_path / out, lambda _: None)
