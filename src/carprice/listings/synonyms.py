"""Spellings of gearboxes, fuels, bodies and drives that are one value, in several languages.

What a market calls its values is never changed by what another means: only words that are sure
stand here. Words that differ by case, accents, spaces or hyphens need no line of their own.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Final

SYNONYMS: Final[Mapping[str, Mapping[str, str]]] = {
    "transmission": {
        "manual": "mt, m/t, manual transmission, manual gearbox, manual gear, stick, stick shift, "
        "standard shift, 5mt, 6mt, manuell, "
        "schaltgetriebe, handschaltung, handgeschaltet, schaltung, manuelle, manuel, "
        "boîte manuelle, mécanique, manuale, cambio manuale, cambio manual, caja manual, mecánico, "
        "mecânico, mecanica, manualna, ręczna, skrzynia manualna, manuální, manuálna, manuális, "
        "handgeschakeld, handmatig, handbak, schakel, manuala, manuelt, manuaalinen, düz, "
        "düz vites, механика, механическая, механічна, механіка, ручная, ручна, мкпп, мт, мех, "
        "ръчна, ручни, χειροκίνητο, 手动, 手动挡, 手動, 手排, マニュアル, 수동, 수동변속기, يدوي, "
        "عادي, دنده ای, دستی, ידנית, ידני, मैनुअल, số sàn, số tay, เกียร์ธรรมดา",
        "automatic": "at, a/t, auto, tiptronic, steptronic, automatic transmission, "
        "automatic gearbox, automatic gear, "
        "autom, 6at, 8at, automatik, automatikgetriebe, "
        "automatique, boîte automatique, automatico, automatica, automático, automática, "
        "cambio automatico, caja automática, automático/a, automatisch, automaat, automatyczna, "
        "automatyczny, skrzynia automatyczna, automat, automatická, automatický, automata, "
        "automată, automatisk, automaatti, automatgear, otomatik, otomatis, автомат, "
        "автоматическая, автоматична, автоматичен, автоматический, акпп, ат, αυτόματο, 自动, "
        "自动挡, 自動, 自排, オートマ, オートマチック, 자동, 자동변속기, أوتوماتيك, اوتوماتيك, "
        "آتوماتیک, اتوماتیک, אוטומטית, אוטומט, ऑटोमैटिक, số tự động, เกียร์อัตโนมัติ",
        "semi-automatic": "semi auto, semiauto, semiautomatic, halbautomatik, semi automatique, "
        "semiautomatico, semiautomático, halfautomaat, półautomatyczna, yarı otomatik",
        "cvt": "continuously variable, continuously variable transmission, variator, вариатор, "
        "варіатор, 无级变速, stufenlos",
        "dct": "dual clutch, dual clutch transmission, dsg, s tronic, pdk, powershift, "
        "doppelkupplung, doppelkupplungsgetriebe, "
        "double embrayage",
        "amt": "automated manual, automated manual transmission, робот, роботизированная, "
        "automatisiertes schaltgetriebe",
    },
    "fuel": {
        "petrol": "gasoline, gasolene, benzin, benzine, benzina, benzyna, benzín, bensin, "
        "bensiini, essence, gasolina, petrol fuel, petrol engine, super benzin, ottomotor, "
        "unleaded, unleaded petrol, benzinli, бензин, бензиновый, бензинов, βενζίνη, 汽油, "
        "ガソリン, 휘발유, 가솔린, بنزين, بنزین, בנזין, पेट्रोल, xăng, เบนซิน",
        "diesel": "diesel fuel, diesel engine, dizel, diésel, gasoil, gazole, gasóleo, gasolio, "
        "nafta motorová, motorová nafta, dízel, dieseli, olej napędowy, дизель, дизел, дизельный, "
        "дизельне, ντίζελ, πετρέλαιο, 柴油, ディーゼル, 軽油, 디젤, 경유, ديزل, گازوئیل, דיזל, "
        "डीज़ल, dầu, ดีเซล",
        "electric": "ev, bev, battery electric, electricity, electric vehicle, fully electric, "
        "pure electric, elektro, elektrisch, elektrik, elektrikli, elektro (strom), électrique, "
        "electrique, eléctrico, elettrica, elettrico, elétrico, elektryczny, elektryczna, "
        "elektromos, elektrický, elektřina, electric (bev), electrică, elektrisk, el, sähkö, "
        "электро, электричество, электрический, электромобиль, електро, ηλεκτρικό, 纯电动, 电动, "
        "電気, 전기, كهرباء, كهربائي, برقی, חשמלי, điện, ไฟฟ้า",
        "hybrid": "hev, hybrid electric, full hybrid, hybride, híbrido, ibrida, ibrido, hybryda, "
        "hybrydowy, hibrid, hybridi, hibrit, гибрид, гібрид, хибрид, υβριδικό, 混合动力, "
        "油电混合, ハイブリッド, 하이브리드, هجين, هایبرید, היברידי",
        "plug-in hybrid": "phev, plug in, plugin hybrid, hybrid plug in, hybride rechargeable, "
        "híbrido enchufable, ibrida plug in, laddhybrid, подключаемый гибрид, 插电混动",
        "lpg": "lp gas, autogas, gpl, propane, liquefied petroleum gas, flüssiggas, glp, "
        "gas licuado, lpg autogas",
        "cng": "natural gas, compressed natural gas, erdgas, metano, aardgas, gas natural, "
        "метан, gnc, gnv",
        "hydrogen": "fuel cell, fcev, wasserstoff, hydrogène, hidrógeno, idrogeno, водород",
        "petrol/electric": "petrol electric, petrol hybrid, hybrid petrol, petrol electric hybrid, "
        "hybrid petrol electric, gasoline hybrid, hybrid gasoline, elektro benzin, "
        "hybrid benzin elektro, benzin elektro",
        "diesel/electric": "diesel electric, diesel hybrid, hybrid diesel, diesel electric hybrid, "
        "hybrid diesel electric, elektro diesel, hybrid diesel elektro",
        "petrol/cng": "petrol cng, petrol+cng, cng petrol, petrol & cng, petrol cng bi fuel",
        "petrol/lpg": "petrol lpg, petrol+lpg, lpg petrol, petrol & lpg, benzyna+lpg, benzin/lpg, "
        "gasoline lpg",
        "flex fuel": "flex, flexfuel, flexi fuel, e85, ffv, flexible fuel",
    },
    "body": {
        "suv": "sport utility, sports utility, sport utility vehicle, sports utility vehicle, "
        "utility suv, jeep suv, suv/4x4, 4x4 suv, geländewagen, suv/geländewagen, "
        "suv/geländewagen/pickup, todoterreno, внедорожник, позашляховик, джип, 越野车, 休旅车, "
        "شاسی بلند, 스포츠 유틸리티",
        "hatchback": "hatch, hatch back, hb, hatchback car, ferdehátú, schrägheck, hayon, "
        "хэтчбек, хетчбек, хечбек, хэтчбэк, 两厢, 两厢车, ハッチバック, 해치백, هاتشباك, هاچبک",
        "sedan": "saloon, saloon car, sedan car, berline, berlina, berlină, limuzyna, limousine, "
        "stufenheck, sedã, 4 door sedan, 4dr sedan, седан, 三厢, 三厢车, 轿车, セダン, 세단, "
        "سيدان, سدان, סדאן",
        "estate": "wagon, station wagon, stationwagon, station, estate car, station car, kombi, "
        "kombiwagen, break, familiar, station wagen, sw, touring wagon, "
        "stw, farmari, универсал, універсал, комби, 旅行车, ステーションワゴン, 왜건, ستيشن",
        "coupe": "cupe, coupé, 2 door coupe, купе, 轿跑, クーペ, 쿠페, كوبيه, کوپه",
        "convertible": "cabrio, cabriolet, cabriolé, descapotable, drop top, drophead, "
        "kabriolet, soft top, décapotable, decapotabile, descapotável, cabriolet/roadster, "
        "cabrio/roadster, кабриолет, кабріолет, 敞篷, 敞篷车, オープンカー, 컨버터블",
        "mpv": "minivan, mini van, muv, multi purpose vehicle, multi utility vehicle, "
        "people carrier, people mover, monospace, monovolume, monovolumen, "
        "минивэн, мінівен, миниван, 商务车, ミニバン, 미니밴",
        "pickup": "pick up, pickup truck, pick up truck, ute, camioneta pickup, пикап, пікап, "
        "皮卡, ピックアップ, 픽업",
        "van": "panel van, kastenwagen, furgon, fourgon, furgone, cargo van, фургон, バン",
        "roadster": "spider, spyder, родстер, ロードスター",
        "crossover": "cuv, crossover utility, кроссовер, кросовер, クロスオーバー",
    },
    "drive": {
        "4wd": "4x4, four wheel drive, 4 wheel drive, 4 wd",
        "awd": "all wheel drive, allrad, allradantrieb, полный, полный привод",
        "fwd": "front, front wheel drive, front wheel, frontantrieb, vorderradantrieb, traction, "
        "передний, передний привод",
        "rwd": "rear, rear wheel drive, rear wheel, heckantrieb, hinterradantrieb, propulsion, "
        "задний, задний привод",
        "2wd": "4x2, two wheel drive, 2 wheel drive",
    },
}
"""Category → the name of a value → its other spellings."""
_BROADER: Final[Mapping[str, Mapping[str, str]]] = {
    "transmission": dict.fromkeys(("cvt", "dct", "amt", "semi-automatic"), "automatic"),
    "fuel": {"plug-in hybrid": "hybrid", "petrol/electric": "hybrid", "diesel/electric": "hybrid"},
    "body": {"crossover": "suv", "roadster": "convertible"},
    "drive": {"4wd": "awd", "awd": "4wd"},
}
"""What a value is counted to by a model that does not know it."""
_OTHER_GASES: Final = frozenset({"lpg", "cng", "petrol/lpg", "petrol/cng"})
"""With one of these about, gas is no short word for gasoline."""
_SPEEDS: Final = re.compile(r"\b\d{1,2}[ -]?(?:speed|spd|sp|gang|gänge|vitesses|marce)\b,?")
_SEPARATORS: Final = re.compile(r"[\s\-_.\u2010-\u2014\u200b-\u200d\u2060\ufeff]+")


@lru_cache(maxsize=20_000)
def folded(text: str) -> str:
    """Return what spellings that differ by case, accents, spaces or hyphens have in common.

    Examples
    --------
    >>> folded("Pick-Up") == folded("pick up") == folded("PICKUP"), folded("Coupé")
    (True, 'coupe')
    """
    plain = _SEPARATORS.sub("", text.casefold())
    if plain.isascii():
        return plain
    parts = unicodedata.normalize("NFKD", plain)
    kept = "".join(part for part in parts if not unicodedata.combining(part))
    return unicodedata.normalize("NFC", kept)


def _table(of_category: Mapping[str, str]) -> dict[str, str]:
    words = {folded(word): name for name, text in of_category.items() for word in text.split(", ")}
    return words | {folded(name): name for name in of_category}


_NAMES: Final = {category: _table(names) for category, names in SYNONYMS.items()}


@lru_cache(maxsize=20_000)
def canonical(category: str, text: str) -> str:
    """Return the one name of a category's value; a text that has none as it is.

    Examples
    --------
    >>> canonical("transmission", "m/t"), canonical("body", "suvs"), canonical("fuel", "benzin")
    ('manual', 'suv', 'petrol')
    >>> canonical("fuel", "wood gas"), canonical("region", "front"), canonical("fuel", "")
    ('wood gas', 'front', '')
    """
    key, names = folded(text), _NAMES.get(category, {})
    found = names.get(key) or names.get(key.removesuffix("s"))
    return found or text


def known_spelling(category: str, text: str, known: Collection[str]) -> str:
    """Return which of the known values a text stands for; empty if for none; all are normalised.

    The text itself wins; then its name, a known spelling of that, one that differs in spaces,
    hyphens or a plural, and at last what the value is counted to.

    Examples
    --------
    >>> known_spelling("fuel", "gasoline", ["gas", "petrol"])
    'petrol'
    >>> known_spelling("fuel", "petrol", ["benzin", "diesel"])
    'benzin'
    >>> known_spelling("transmission", "dsg", ["automatic", "manual"])
    'automatic'
    >>> known_spelling("color", "sky-blue", ["sky blue"]), known_spelling("color", "teal", ["red"])
    ('sky blue', '')
    """
    name = canonical(category, text)
    for found in (text, name):
        if found in known:
            return found
    key = folded(text)
    alike: Iterable[str] = (
        value
        for value in known
        if canonical(category, value) == name
        or folded(value).removesuffix("s") == key.removesuffix("s")
    )
    if found := min(alike, default=""):
        return found
    if category == "fuel" and {text, *known}.isdisjoint(_OTHER_GASES):
        other = {"gas": "petrol", "petrol": "gas"}.get(name, "")
        if other in known:
            return other
    if category == "transmission" and (rest := " ".join(_SPEEDS.sub(" ", text).split())) != text:
        return known_spelling(category, rest, known) if rest else ""
    broader = _BROADER.get(category, {}).get(name, "")
    return broader if broader in known else ""
