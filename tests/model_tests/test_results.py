import base64

import pytest

from carprice.model_tests.results import ModelTestResults


def test_no_message_shows_the_registrys_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "<a-token>")
    sent = base64.b64encode(b"ann:<s3cret>").decode()

    def echo() -> str:
        raise ValueError(f"Basic {sent}\nBearer <a-token>")

    results = ModelTestResults("https://ann:<s3cret>@store/x")
    results.run("suite", "name", echo)
    assert results.every[0].message == "crashed: ValueError: Basic *** Bearer ***"
