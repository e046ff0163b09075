import secrets
import shutil

import pytest
from delivery import Instance, Service, free_port

SCRIPT = "validate_service.sh"
KEY = "VALIDATION_API_KEY"


@pytest.fixture
def instance(instance: Instance, service: Service) -> Instance:
    instance.settings["PORT"] = service.port
    return instance


@pytest.mark.parametrize("price", ["300000.0", "523000", "899999.99", "900000"])
def test_a_price_in_its_range(instance: Instance, service: Service, price: str) -> None:
    service.body = f'{{"currency": "INR", "predictedPrice": {price}, "warnings": []}}'
    done = instance.succeeds(SCRIPT)
    assert f"the known listing is worth {price}, says model version 3" in done.stdout
    ((method, path, headers, body),) = service.asked
    assert (method, path, headers["Content-Type"]) == ("POST", "/predict", "application/json")
    assert body == (instance.bundle / "known_listing.json").read_bytes()
    assert "X-API-Key" not in headers
    assert instance.calls == []
    assert list(instance.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        *(
            (f'{{"predictedPrice":{price}}}', f"is {price}, not from 300000 to 900000")
            for price in ("299999.99", "900000.01", "5", "1000000000")
        ),
        *(
            (body, f"answered without a predictedPrice: {body}")
            for body in (
                *("", "{}", '{"predictedPrice":null}', '{"predictedPrice":-1.0}'),
                "<html></html>",
            )
        ),
    ],
)
def test_no_price_in_its_range(instance: Instance, service: Service, body: str, told: str) -> None:
    service.body = body
    instance.fails(1, [told], SCRIPT)


@pytest.mark.parametrize("status", [204, 401, 404, 422, 500, 503])
def test_another_status(instance: Instance, service: Service, status: int) -> None:
    service.price = status
    body = "" if status == 204 else service.body
    instance.fails(1, [f"/predict answered {status}: {body}"], SCRIPT)


def test_nobody_listens(instance: Instance) -> None:
    instance.settings["PORT"] = free_port()
    instance.fails(1, ["/predict answered nothing"], SCRIPT)


@pytest.mark.parametrize(
    ("version", "told"), [("2", "2"), ("33", "33"), ("", "unknown"), (None, "unknown")]
)
def test_another_model(
    instance: Instance, service: Service, version: str | None, told: str
) -> None:
    service.version = version
    instance.fails(1, [f"model version {told} answered, not 3", '{"status":"ok"}'], SCRIPT)


def test_a_service_that_still_asks_the_registry_is_asked_again(
    instance: Instance, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.version = "2"

    def answer(method: str, _: str) -> tuple[int, str]:
        if method == "POST":
            return 200, service.body
        service.version = "3"
        return 200, '{"status":"ok","detail":"the registry is being asked; serving version 2"}'

    monkeypatch.setattr(service, "answer", answer)
    done = instance.succeeds(SCRIPT)
    assert "says model version 3" in done.stdout
    assert [path for _, path, _, _ in service.asked] == ["/predict", "/", "/predict"]


def test_no_known_listing_and_no_api_key(instance: Instance, service: Service) -> None:
    instance.settings[KEY] = "ssm:/carprice/key"
    instance.answers("aws", code=254)
    instance.fails(1, ["the secret ssm:/carprice/key"], SCRIPT)
    (instance.bundle / "known_listing.json").unlink()
    instance.fails(2, ["known_listing.json is missing; deploy/bundle.sh"], SCRIPT)
    assert service.asked == []


@pytest.mark.parametrize("form", ["{}", '{}"', "\\{}\\n", "$HOME{}"])
def test_the_api_key_goes_into_the_header_alone(
    instance: Instance, service: Service, form: str
) -> None:
    part = secrets.token_urlsafe(24)
    instance.settings[KEY] = "ssm:/carprice/key"
    instance.answers("aws ssm get-parameter", f"{form.format(part)}\n")
    real = instance.programs / "curl"
    found = real.readlink()
    real.unlink()
    words = instance.temporary / "curl-words"
    real.write_text(
        f'#!{shutil.which("bash")}\nprintf "%s\\n" "$@" >>{words}\nenv >>{words}\n'
        f'exec {found} "$@"\n'
    )
    real.chmod(0o755)
    done = instance.succeeds(SCRIPT)
    ((_, _, headers, _),) = service.asked
    assert headers["X-API-Key"] == form.format(part)
    assert "/predict" in words.read_text()
    assert part not in words.read_text()
    instance.never_shows(part, done)
