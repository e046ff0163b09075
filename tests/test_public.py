import subprocess
import sys

import pytest

import carprice


@pytest.mark.parametrize("name", carprice.__all__)
def test_a_public_name_is_documented(name: str) -> None:
    assert getattr(carprice, name).__doc__
    assert name in dir(carprice)


def test_another_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="module 'carprice' has no attribute 'nothing'"):
        carprice.nothing  # noqa: B018


def test_the_package_alone_loads_nothing_heavy() -> None:
    program = "import sys, carprice; print('pandas' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
