"""Propose how a file of listings is read: a column map, with a comment on each doubt.

A column is known by its name, in the languages of the world's larger markets, and by its values:
of the columns whose names fit a field, the one whose values fit best is taken.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml

from carprice.errors import InputError
from carprice.listings.notation import Notation
from carprice.listings.numbers import (
    Decimal,
    codes_of,
    plain,
    read_quantity,
    sign_in,
    unit_of,
)
from carprice.listings.values import prepared
from carprice.schema import FIELDS, NUMERIC, PRICE, REQUIRED, alias, kind_of, names_of
from carprice.settings import ColumnRule, IngestSettings

_NAMES: Final = {
    "price": (
        "price asking asked sellingprice listingprice saleprice askingprice currentprice cost "
        "amount preis kaufpreis vbpreis prix precio preço preco valor prezzo prijs pris hinta "
        "cena cijena ár ara pret preț цена стоимость ціна fiyat harga giá gia 价格 售价 报价 "
        "价钱 価格 本体価格 総額 가격 ราคา قیمت السعر ثمن מחיר कीमत pricenzd priceusd "
        "priceeur pricegbp priceinr priceaud"
    ),
    "make": (
        "make brand manufacturer carmake carbrand maker mark marke hersteller marque "
        "fabricant marca fabricante casa merk märke merke mærke merkki značka znacka marka "
        "proizvođač марка бренд производитель merek hãng hang 品牌 厂商 メーカー 제조사 "
        "브랜드 ยี่ห้อ برند ماركة الماركة שם יצרן कंपनी company"
    ),
    "model": (
        "model carmodel modelname modell modèle modele modelo modello malli módl модель модел "
        "车型 车系 型号 車名 車種 모델 차종 รุ่น مدل موديل الموديل דגם मॉडल dòngxe dongxe "
        "tipe"
    ),
    "variant": (
        "variant trim version versión versao versão versione grade edition ausstattung "
        "finition ausführung výbava wersja комплектация модификация 配置 グレード 트림"
    ),
    "year": (
        "year modelyear yearofmanufacture manufactureyear yearbuilt buildyear regyear "
        "registration registrationyear yearofregistration firstregistration vehicleyear "
        "baujahr erstzulassung ez jahr année annee miseencirculation mec año ano anno "
        "anomodelo añomodelo matriculación immatricolazione bouwjaar årsmodell årgang "
        "vuosimalli rok rokvýroby rokprodukcji godina évjárat an anfabricatie год годвыпуска "
        "рік yıl modelyılı tahun năm nămsảnxuất 年份 年款 上牌时间 年式 연식 ปี سال سنة السنة "
        "שנה वर्ष"
    ),
    "odometer": (
        "odometer mileage miles kms km kilometers kilometres kilometer kilometre kmdriven "
        "kmsdriven kilometersdriven distance driven odo odometerreading mileagekm "
        "mileagemiles laufleistung km-stand kmstand kilometerstand kilométrage kilometrage "
        "kilometraje kilómetros kilometros quilometragem quilómetros chilometri "
        "chilometraggio percorrenza miltal mätarställning kilometrit najeto tachometr nájezd "
        "przebieg kilometraža futottkm kilometraj rulaj пробег пробіг jaraktempuh odoterbaca "
        "sốkm quãngđường 里程 行驶里程 表显里程 公里数 走行距離 주행거리 เลขไมล์ کارکرد "
        "كيلومترات الممشى المسافة קילומטר"
    ),
    "fuel_type": (
        "fuel fueltype kraftstoff treibstoff carburant énergie energie combustible "
        "combustível combustivel alimentazione carburante brandstof bränsle drivstoff "
        "drivmiddel polttoaine palivo paliwo gorivo üzemanyag combustibil топливо типтоплива "
        "паливо yakıt yakit bahanbakar nhiênliệu 燃料 燃油 燃料类型 연료 เชื้อเพลิง سوخت "
        "الوقود דלק"
    ),
    "transmission_type": (
        "transmission transmissiontype gearbox gears getriebe boîte boitedevitesse boite "
        "transmisión cambio câmbio caixa versnellingsbak växellåda girkasse gearkasse "
        "vaihteisto převodovka prevodovka skrzyniabiegów skrzynia mjenjač váltó cutie кпп "
        "коробка трансмиссия şanzıman vites transmisi hộpsố 变速箱 ミッション 변속기 เกียร์ "
        "گیربکس ناقلالحركة גיר"
    ),
    "body_type": (
        "body bodytype bodystyle type karosserie aufbau carrosserie carrocería carroceria "
        "carrozzeria carrosserievorm kaross karosseri karoserie nadwozie karoserija "
        "karosszéria caroserie кузов типкузова kasa bodi kiểudáng 车身 ボディタイプ 차체 بدنه "
        "الهيكل"
    ),
    "color": (
        "color colour paintcolor exteriorcolor farbe couleur cor colore kleur färg farge "
        "farve väri barva kolor boja szín culoare цвет колір renk warna màu 颜色 色 색상 สี "
        "رنگ اللون צבע"
    ),
    "engine_cc": (
        "enginecc engine enginesize enginecapacity displacement cc hubraum cylindrée "
        "cilindrada cilindrata cilinderinhoud motor motorvolym slagvolum objem pojemność "
        "zapremina hengerűrtartalom capacitatecilindrica объем объём двигатель motorhacmi "
        "dungtích 排量 排気量 배기량 حجم موتور litros"
    ),
    "power_bhp": (
        "powerbhp power maxpower bhp hp horsepower ps kw leistung puissance potencia potência "
        "potenza vermogen effekt teho výkon moc snaga teljesítmény putere мощность güç "
        "motorgücü tenaga côngsuất 马力 功率 馬力 마력"
    ),
    "fuel_economy": "fueleconomy mpg kmpl mileage verbrauch consommation consumo",
    "ownership": (
        "ownership owner owners ownertype previousowners numberofowners vorbesitzer "
        "propriétaires dueños proprietari владельцев"
    ),
    "seats": "seats seatingcapacity sitze places plazas posti miejsca мест 座位 定員",
    "cylinders": "cylinders cylinder zylinder cilindros cilindri",
    "road_tax": "roadtax tax",
    "drive": "drive drivetrain wheeldrive antrieb traction tracción trazione napęd привод",
    "condition": "condition zustand état estado condizione stan состояние",
    "seller_type": "sellertype seller verkäufer vendeur vendedor venditore продавец",
    "region": (
        "region city state location ort ville ciudad cidade città stad miasto město город "
        "регион 城市"
    ),
    "listed_on": (
        "listedon dateposted posted posteddate listingdate date lastseen datecreated datum "
        "fecha data дата publicado"
    ),
}
"""Names of columns by field, without spaces and signs and in lower case."""
_TITLES: Final = (
    "name title car carname vehicle listing ad headline bezeichnung titel titre título titolo "
    "nazwa název название 标题 车名 車名 品名"
)


def plain_name(name: object) -> str:
    """Return a column's name as it is looked up: letters and digits only, in lower case.

    Examples
    --------
    >>> plain_name("Km_Driven "), plain_name("Preis (€)"), plain_name("Boîte de vitesse")
    ('kmdriven', 'preis', 'boîtedevitesse')
    """
    text = unicodedata.normalize("NFKC", str(name)).casefold()
    text = re.sub(r"\(.*?\)|\[.*?\]", "", text) or text
    return "".join(sign for sign in text if sign.isalnum() or unicodedata.category(sign)[0] == "M")


@dataclass(frozen=True)
class Proposal:
    """How a source may be read.

    Attributes
    ----------
    rules : by field, the keys of its rule.
    decimal : the sign before decimals; None where no text has one.
    currency, distance : of the market; the currency is empty where nothing tells it.
    doubts : by field or setting, what a person should look at.
    """

    rules: dict[str, dict[str, Any]]
    decimal: str | None
    currency: str
    distance: str
    doubts: dict[str, str] = field(default_factory=dict)


def propose(frame: pd.DataFrame) -> Proposal:
    """Propose how the first rows of a source are read.

    Parameters
    ----------
    frame : raw rows, as :func:`carprice.listings.sources.read_chunks` yields them.
    """
    columns = {str(name): frame[name].dropna() for name in frame if frame[name].notna().any()}
    doubts: dict[str, str] = {}
    decimal = _decimal(columns, doubts)
    settings = IngestSettings.model_validate({"decimal": decimal})
    rules: dict[str, dict[str, Any]] = {}
    for choices in _candidates(columns):
        for name, names in choices.items():
            taken = {rule["from"] for rule in rules.values()}
            fits = {
                column: fit
                for column in names
                if name not in rules
                and column not in taken
                and (fit := _fit(name, column, columns[column], settings)) is not None
            }
            if not fits:
                continue
            best = max(fits, key=lambda column: fits[column].share)
            rules[name] = {"from": best, **fits[best].rule}
            if others := [column for column in fits if column != best]:
                doubts[name] = f"or {', '.join(others)}?"
            elif fits[best].share < _MOST_READ:
                doubts[name] = f"{1 - fits[best].share:.0%} of its values cannot be read"
    _split_title(columns, rules, doubts)
    for name in (*REQUIRED, PRICE):
        if name not in rules:
            doubts[name] = "no column was recognised: write its name here"
    currency = _currency(columns, rules, doubts)
    distance = _distance(columns, rules, currency, doubts)
    return Proposal(rules, decimal, currency, distance, doubts)


@dataclass(frozen=True)
class _Fit:
    share: float
    rule: dict[str, Any]


_USUAL: Final = {
    PRICE: (100.0, math.inf),
    "year": (1950.0, 2100.0),
    "odometer": (1000.0, 500_000.0),
    "engine_cc": (500.0, 9000.0),
    "power_bhp": (20.0, 900.0),
    "fuel_economy": (2.0, 99.0),
    "seats": (2.0, 20.0),
    "cylinders": (2.0, 16.0),
}
"""Least and most that the median of a field usually is."""
ROWS: Final = 10_000
"""Rows that are looked at."""
_MOST_READ: Final = 0.95
_SHORT: Final = 4
"""A name of at most this many letters is looked for as a whole only."""
_PREPARED: Final[tuple[dict[str, Any], ...]] = ({}, {"number": True}, {"match": r"((?:19|20)\d\d)"})


def _candidates(columns: Mapping[str, pd.Series]) -> tuple[dict[str, list[str]], ...]:
    """Return, by field, the columns whose whole names fit, and then those of which a part does."""
    whole: dict[str, list[str]] = {}
    part: dict[str, list[str]] = {}
    known = {column: plain_name(column) for column in columns}
    for name in (PRICE, *FIELDS):
        words = [*map(plain_name, names_of(name)), *_NAMES.get(name, "").split()]
        long = [word for word in words if len(word) > _SHORT]
        whole[name] = sorted(
            (column for column, text in known.items() if text in words),
            key=lambda column: words.index(known[column]),
        )
        part[name] = [c for c, text in known.items() if any(word in text for word in long)]
    return whole, part


def _fit(name: str, column: str, values: pd.Series, settings: IngestSettings) -> _Fit | None:
    """Return how well a column's values fit a field, and by which rule; None if they do not."""
    if kind_of(name) not in NUMERIC:
        return _Fit(1.0, {})
    for changes in _PREPARED if name == "year" else _PREPARED[:2]:
        rule = ColumnRule.model_validate({"from": column, **changes})
        notation = Notation(settings)
        cells = prepared(name, values, rule)
        try:
            read, bad = notation.read(name, cells, rule, column)
        except InputError:
            read, bad = notation.read(name, cells, rule.model_copy(update={"unit": {}}), column)
        share = 1.0 - float(np.mean(bad | np.isnan(read)))
        if share < 0.5:
            continue
        low, high = _USUAL.get(name, (-math.inf, math.inf))
        median = float(np.nanmedian(read[read > 0])) if (read > 0).any() else 0.0
        if name == "engine_cc" and median < 20:
            return _Fit(share, {**changes, "unit": "l"})
        if name == "year" and median < 100:
            return _Fit(share, {**changes, "add": 2000})
        if low <= median <= high:
            return _Fit(share, changes)
    return None


def _decimal(columns: Mapping[str, pd.Series], doubts: dict[str, str]) -> Decimal | None:
    """Guess the sign before decimals from the columns that look numeric by their names."""
    numeric = {
        column
        for choices in _candidates(columns)
        for name, names in choices.items()
        if kind_of(name) in NUMERIC
        for column in names
    }
    texts = [text for c in numeric for text in columns[c].unique() if isinstance(text, str)]
    signs = Counter(sign_in(text, inside=True) for text in texts)
    if signs["."] or signs[","]:
        return "." if signs["."] >= signs[","] else ","
    if not signs["?"]:
        return None
    example = next(text for text in texts if sign_in(text, inside=True) == "?")
    doubts["decimal"] = f"{example!r} was taken to part thousands"
    return "." if "," in example else ","


def _split_title(
    columns: Mapping[str, pd.Series], rules: dict[str, dict[str, Any]], doubts: dict[str, str]
) -> None:
    """Take make, model and variant out of one text where they have no columns of their own."""
    if "make" in rules and "model" in rules:
        return
    title = rules.get("model", {}).get("from")
    if title is None:
        titles = [c for c in columns if plain_name(c) in _TITLES.split()]
        title = titles[0] if titles and "make" not in rules else None
    if title is None:
        return
    words = columns[title].astype(str).str.split()
    if words.str.len().median() < 2:
        return
    rules["make"] = {"from": title, "words": 1}
    if words.str.len().median() > 2 and "variant" not in rules:
        rules["model"] = {"from": title, "words": 2}
        rules["variant"] = {"from": title, "words": "3-"}
    else:
        rules["model"] = {"from": title, "words": "2-"}
    doubts["make"] = "the first word; name makes and models of several words in phrases"


def _currency(
    columns: Mapping[str, pd.Series], rules: Mapping[str, Mapping[str, Any]], doubts: dict[str, str]
) -> str:
    """Return the currency that names or values of the price tell, or the empty text."""
    column = rules.get(PRICE, {}).get("from", "")
    for word in re.findall(r"[A-Za-z]{3}|[€£₹¥]", str(column)):
        if len(codes_of(word)) == 1:
            return next(iter(codes_of(word)))
    if column:
        texts = [text for text in columns[column].unique() if isinstance(text, str)][:1000]
        read = (
            read_quantity(text, PRICE, ".") or read_quantity(text, PRICE, ",") for text in texts
        )
        named = Counter(one.currency for one in read if one and one.currency)
        if named:
            codes = sorted(codes_of(named.most_common(1)[0][0]))
            if len(codes) > 1:
                doubts["currency"] = f"one of {', '.join(codes)}"
            return codes[0]
    doubts["currency"] = "nothing tells it"
    return ""


def _distance(
    columns: Mapping[str, pd.Series],
    rules: Mapping[str, Mapping[str, Any]],
    currency: str,
    doubts: dict[str, str],
) -> str:
    """Return the unit of distances that names or values tell, or is usual with a currency."""
    column = rules.get("odometer", {}).get("from", "")
    texts = map(str, columns[column].unique()[:1000]) if column else ()
    words = Counter(
        unit_of("odometer", word)
        for text in (column, *texts)
        for word in re.findall(r"[^\W\d_]+", plain(text.replace("_", " ")))
    )
    if words["km"] or words["miles"]:
        return "miles" if words["miles"] > words["km"] else "km"
    doubts["distance"] = "nothing tells it"
    return "miles" if currency in ("GBP", "USD") else "km"


def to_yaml(proposal: Proposal, source: str) -> str:
    """Return a params file; each doubt is a comment."""

    def line(indent: int, text: str, key: str = "") -> str:
        doubt = proposal.doubts.get(key)
        return " " * indent + text + (f"  # ? {doubt}" if doubt else "")

    units = _flow({"currency": proposal.currency or "XXX", "distance": proposal.distance})
    unit_doubts = [
        proposal.doubts[key] for key in ("currency", "distance") if key in proposal.doubts
    ]
    lines = ["ingest:", line(2, f"source: {_flow(source)}"), line(2, f"units: {units}")]
    if unit_doubts:
        lines[-1] += f"  # ? {'; '.join(unit_doubts)}"
    if proposal.decimal:
        lines.append(line(2, f"decimal: '{proposal.decimal}'", "decimal"))
    lines.append(line(2, "columns:"))
    for name in dict.fromkeys([PRICE, *REQUIRED, *proposal.rules]):
        rule = proposal.rules.get(name)
        if rule is None:
            lines.append(line(4, f"# {alias(name)}: ", name))
        else:
            short = rule["from"] if rule.keys() == {"from"} else rule
            lines.append(line(4, f"{alias(name)}: {_flow(short)}", name))
    return "\n".join(lines) + "\n"


def _flow(content: Any) -> str:
    text = yaml.safe_dump(
        content, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**6
    )
    return text.removesuffix("\n").removesuffix("\n...")
