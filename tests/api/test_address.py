import pytest

from api.address import DEFAULT_PORT, port
from carprice.errors import InputError

NAMES = ["PORT", "SAGEMAKER_BIND_TO_PORT"]


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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["65536", "-1", "http", "80.0", "8_0", " 80", "٨٠", "1" * 5000])
def test_a_number_that_is_no_port_is_named(name: str, value: str) -> None:
    with pytest.raises(InputError) as refused:
        port({name: value})
    assert str(refused.value) == (
        f"{name} must be a port's number from 0 to 65535 (found {value!r})"
    )
    assert refused.value.exit_code == 2
