import datetime
from typing import Any

import pytest
from broken_off import Bench, add, digest, furnish, memory_registry

from carprice.errors import InputError, RefusedError
from carprice.redaction import PROMOTION_KEY, hide_secrets
from carprice.registry.promotion import promote, record_tests, rollback
from carprice.registry.record import Record, promotion_key
from carprice.registry.versions import Registry

NOW = datetime.datetime(2025, 8, 1, 12, 0, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(days=1)
KEY, OTHER_KEY = "k" * 32, "x" * 40
UNTESTED = f"nobody who has the {PROMOTION_KEY} says that it passed the model tests"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("carprice.registry.promotion.damage_of", lambda *_: "")
    monkeypatch.delenv(PROMOTION_KEY, raising=False)
    bench = Bench(memory_registry())
    furnish(bench.client)
    return bench


@pytest.fixture
def signed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Version 6 promoted, and 7 after it, by whoever has the key."""
    monkeypatch.setenv(PROMOTION_KEY, KEY)
    for model, now in ((6, NOW), (7, LATER)):
        bench.registry.point("staging", add(bench.registry, model), now)
        promote(bench.registry, now, "signed")
    return bench.registry


def record_of(registry: Registry, number: int, **tags: str) -> Record:
    version = registry.numbered(number)
    return Record(registry.name, str(number), version.digest, {**version.tags, **tags})


def test_what_was_promoted_or_brought_back_is_borne_out_by_its_record(bench: Bench) -> None:
    registry = bench.registry
    assert record_of(registry, 2).objection() == ""
    promote(registry, NOW, "")
    assert record_of(registry, 5).objection() == ""
    assert rollback(registry, NOW, "").number == 2
    assert record_of(registry, 2).objection() == ""


def test_an_alias_that_was_set_by_hand_is_not_borne_out(bench: Bench) -> None:
    registry = bench.registry
    promote(registry, NOW, "")
    objections = {number: record_of(registry, number).objection() for number in range(1, 6)}
    assert objections == {
        1: "it was replaced at 2025-07-01T12:02:00+00:00 and not brought back",
        2: "it was replaced at 2025-08-01T12:00:00+00:00 and not brought back",
        3: "it was rolled back",
        4: "nothing says that it was promoted",
        5: "",
    }


@pytest.mark.parametrize(
    ("tags", "objection"),
    [
        ({"tests": "failed"}, "it failed the model tests"),
        ({"tests": ""}, "it has not been through the model tests"),
        ({"tests_digest": "0"}, "it passed the model tests with another digest"),
        ({"production_since": "once"}, "nothing says that it was promoted"),
    ],
)
def test_the_very_digest_has_to_have_passed(
    bench: Bench, tags: dict[str, str], objection: str
) -> None:
    assert record_of(bench.registry, 2, **tags).objection() == objection


def test_a_signature_is_of_this_very_promotion(signed: Registry) -> None:
    key = promotion_key()
    assert record_of(signed, 7).objection(key) == ""
    assert "promoted with this digest" in record_of(
        signed, 7, production_since="2026-01-01T00:00:00+00:00"
    ).objection(key)
    assert record_of(signed, 7).objection(OTHER_KEY.encode()) == UNTESTED
    taken = signed.numbered(7).tags
    copied = {name: taken[name] for name in ("production_signature", "tests_signature")}
    for number in (2, 6):
        assert record_of(signed, number, **copied, previous_since="").objection(key) == UNTESTED
    assert record_of(signed, 6, previous_since="").objection(key) == ""  # it was there, once
    forged = Record(signed.name, "7", digest(8), {**taken, "tests_digest": digest(8)})
    assert forged.objection(key) == UNTESTED


def test_with_a_key_forged_tags_promote_nothing(signed: Registry) -> None:
    forged = add(signed, 8)
    signed.untag(forged, "tests_signature")
    signed.point("staging", forged, LATER)
    with pytest.raises(RefusedError, match=f"{UNTESTED}; run `carprice test-model`"):
        promote(signed, LATER, "")
    signed.tag(forged, {"production_since": LATER.isoformat()})
    with pytest.raises(RefusedError, match=f"version {forged} cannot be brought back: {UNTESTED}"):
        rollback(signed, LATER, "", to=forged)
    record_tests(signed, signed.numbered(forged), (), LATER)
    assert promote(signed, LATER, "").number == forged


def test_a_rollback_is_signed_with_its_own_time(signed: Registry) -> None:
    again = LATER + datetime.timedelta(days=1)
    before = signed.numbered(6).tags["production_signature"]
    assert rollback(signed, again, "").number == 6
    assert signed.numbered(6).tags["production_signature"] != before
    assert record_of(signed, 6).objection(promotion_key()) == ""


def test_what_was_promoted_without_the_key_is_signed_once_it_is_tested_with_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = bench.registry
    promote(registry, NOW, "")
    monkeypatch.setenv(PROMOTION_KEY, KEY)
    with pytest.raises(RefusedError, match=UNTESTED):
        promote(registry, LATER, "")
    record_tests(registry, registry.numbered(5), (), LATER)
    assert promote(registry, LATER, "").number == 5
    assert record_of(registry, 5).objection(promotion_key()) == ""


def test_a_key_that_is_too_short_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert promotion_key({}) == b""
    with pytest.raises(InputError, match=f"{PROMOTION_KEY} has 31 characters; it needs 32") as told:
        promotion_key({PROMOTION_KEY: "y" * 31})
    assert "yy" not in str(told.value)
    assert hide_secrets(f"it was {KEY}", environment={PROMOTION_KEY: KEY}) == "it was ***"


def test_a_record_of_any_tags_is_judged(bench: Bench) -> None:
    """Tags are whatever somebody wrote."""
    odd: Any = {"production_since": "9999-12-31T23:59:59-23:00", "previous_since": "ä\0"}
    record = record_of(bench.registry, 2, **odd, production_signature="ä", tests_signature="ä")
    assert record.objection() == "nothing says that it was promoted"
    assert record.objection(KEY.encode()) == UNTESTED
