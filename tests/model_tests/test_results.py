import base64
from pathlib import Path

import pytest
from junitparser import Failure, JUnitXml, Skipped

from carprice.model_tests.results import (
    ModelTestResult,
    ModelTestResults,
    Status,
    UndecidedError,
    write_junit,
)

RESULTS = (
    ModelTestResult("digest", "bytes", Status.PASSED, "7 files", 0.25),
    ModelTestResult("figures", "MAPE", Status.FAILED, "<b> & \x00 45 % against 30 %", 1.5),
    ModelTestResult("agreement", "all", Status.NOT_RUN, "the service did not start"),
    ModelTestResult("digest", "loads", Status.PASSED, "", 0.5),
    ModelTestResult("behaviour", "falls", Status.UNDECIDED, "the listings say nothing"),
)


def test_a_crash_is_a_failure_of_one_line_without_the_registrys_login(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "<a-token>")
    sent = base64.b64encode(b"ann:<s3cret>").decode()

    def crash() -> str:
        raise ValueError(f"Basic {sent}\nBearer <a-token> at https://me:<s3cret>@example.org")

    def undecided() -> str:
        raise UndecidedError("the data do not tell")

    results = ModelTestResults("https://ann:<s3cret>@store/x")
    assert not results.run("a", "b", crash)
    results.not_run("a", "c", "nothing is left")
    assert results.run("a", "e", undecided)
    assert results.run("a", "d", lambda: "fine")
    assert results.every[0].message == (
        "crashed: ValueError: Basic *** Bearer *** at https://***@example.org"
    )
    assert [one.status for one in results.failures] == [Status.FAILED, Status.NOT_RUN]
    assert [(one.name, one.message) for one in results.warnings] == [("e", "the data do not tell")]


def test_results_are_read_back_as_junit_in_the_place_of_the_ones_before(tmp_path: Path) -> None:
    target = tmp_path / "new" / "junit.xml"
    for results in (RESULTS[:1], RESULTS):
        write_junit(results, target)
    assert [path.name for path in target.parent.iterdir()] == ["junit.xml"]
    document = JUnitXml.fromfile(str(target))
    assert (document.tests, document.failures, document.skipped, document.errors) == (5, 1, 1, 0)
    assert [suite.name for suite in document] == ["digest", "figures", "agreement", "behaviour"]
    cases = {f"{case.classname}: {case.name}": case for suite in document for case in suite}
    assert cases["digest: loads"].time == 0.5
    assert cases["digest: bytes"].is_passed
    assert cases["behaviour: falls"].is_passed
    assert cases["behaviour: falls"].system_out == "warning: the listings say nothing"
    (failure,) = cases["figures: MAPE"].result
    assert isinstance(failure, Failure)
    assert failure.message == failure.text == "<b> & \ufffd 45 % against 30 %"
    (not_run,) = cases["agreement: all"].result
    assert isinstance(not_run, Skipped)
    assert not_run.message == "the service did not start"
