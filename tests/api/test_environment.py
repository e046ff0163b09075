import secrets
from pathlib import Path

import pytest

from api.environment import DEFAULT_PORT, SECRETS, port, read_secrets
from carprice.errors import InputError

NAME = "MLFLOW_TRACKING_PASSWORD"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, DEFAULT_PORT),
        ({"PORT": ""}, DEFAULT_PORT),
        ({"PORT": "9000"}, 9000),
        ({"PORT": "0"}, 0),
        ({"PORT": "65535"}, 65535),
        ({"SAGEMAKER_BIND_TO_PORT": "8080"}, 8080),
        ({"PORT": "", "SAGEMAKER_BIND_TO_PORT": "8080"}, 8080),
        ({"PORT": "9000", "SAGEMAKER_BIND_TO_PORT": "8080"}, 9000),
    ],
)
def test_where_it_listens(environment: dict[str, str], expected: int) -> None:
    assert port(environment) == expected


@pytest.mark.parametrize("name", ["PORT", "SAGEMAKER_BIND_TO_PORT"])
@pytest.mark.parametrize("value", ["65536", "-1", "http", "80.0", "8_0", " 80", "٨٠", "1" * 5000])
def test_a_number_that_is_no_port_is_named(name: str, value: str) -> None:
    with pytest.raises(InputError) as refused:
        port({name: value})
    assert str(refused.value) == (
        f"{name} must be a port's number from 0 to 65535 (found {value!r})"
    )
    assert refused.value.exit_code == 2


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment whose secrets are in a folder of the test."""
    return {"CARPRICE_SECRETS": str(tmp_path)}


def test_the_names_are_those_of_every_login() -> None:
    assert set(SECRETS) == {
        *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
        *("DAGSHUB_USER_TOKEN", "DAGSHUB_PAT", "CARPRICE_API_KEYS", "CARPRICE_PROMOTION_KEY"),
        *("CARPRICE_OUTCOMES", "CARPRICE_WEBHOOK_SECRET"),
    }


def test_each_variable_is_read_from_the_file_of_its_name(
    environment: dict[str, str], tmp_path: Path
) -> None:
    values = {name: secrets.token_urlsafe(12) for name in SECRETS}
    for name, value in values.items():
        (tmp_path / name).write_text(f"{value}\n")
    read_secrets(environment)
    assert environment == {"CARPRICE_SECRETS": str(tmp_path), **values}


@pytest.mark.parametrize(
    "value", ["$HOME $(id)", 'it\'s "quoted"', "a=b==", "two words", "Grüße", "one\ntwo", ""]
)
@pytest.mark.parametrize("given", [{}, {NAME: ""}, {NAME: "of the environment"}])
def test_a_file_is_taken_as_it_is_where_the_environment_says_nothing(
    environment: dict[str, str], tmp_path: Path, given: dict[str, str], value: str
) -> None:
    environment |= given
    (tmp_path / NAME).write_text(f" {value}\r\n\n", encoding="utf-8", newline="")
    read_secrets(environment)
    assert environment[NAME] == (given.get(NAME) or value)


def test_other_files_and_folders_are_left_alone(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "PATH").write_text("/elsewhere")
    (tmp_path / "AWS_SECRET_ACCESS_KEY").write_text("x")
    (tmp_path / NAME).mkdir()
    nowhere = {"CARPRICE_SECRETS": str(tmp_path / "none")}
    for one in (environment, nowhere):
        read_secrets(one)
        assert set(one) == {"CARPRICE_SECRETS"}


def test_a_link_as_kubernetes_makes_them_is_followed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / NAME).write_text("linked")
    (tmp_path / NAME).symlink_to(tmp_path / "..data" / NAME)
    read_secrets(environment)
    assert environment[NAME] == "linked"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file that root cannot read")
def test_a_file_that_cannot_be_read_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to("/proc/self/mem")
    with pytest.raises(InputError, match="let the service's user") as refused:
        read_secrets(environment)
    assert str(refused.value).startswith(f"{tmp_path / NAME}: the secret {NAME} cannot be read")
    assert NAME not in environment


def test_bytes_that_are_no_text_are_not_shown(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"leaked\xff\xfe")
    with pytest.raises(InputError, match="it is not UTF-8 text") as refused:
        read_secrets(environment)
    assert "leaked" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
