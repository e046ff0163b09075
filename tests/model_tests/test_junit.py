from pathlib import Path

from junitparser import Failure, JUnitXml, Skipped

from carprice.model_tests.junit import write_junit
from carprice.model_tests.results import ModelTestResult, Status

RESULTS = (
    ModelTestResult("digest", "bytes", Status.PASSED, "7 files", 0.25),
    ModelTestResult("figures", "MAPE", Status.FAILED, "<b> & \x00 45 % against 30 %", 1.5),
    ModelTestResult("agreement", "all", Status.NOT_RUN, "the service did not start"),
    ModelTestResult("digest", "loads", Status.PASSED, "", 0.5),
)


def test_results_are_read_back_as_junit(tmp_path: Path) -> None:
    write_junit(RESULTS, tmp_path / "new" / "junit.xml")
    document = JUnitXml.fromfile(str(tmp_path / "new" / "junit.xml"))
    assert (document.tests, document.failures, document.skipped, document.errors) == (4, 1, 1, 0)
    assert [suite.name for suite in document] == ["digest", "figures", "agreement"]
    cases = {f"{case.classname}: {case.name}": case for suite in document for case in suite}
    assert cases["digest: loads"].time == 0.5
    assert cases["digest: bytes"].is_passed
    (failure,) = cases["figures: MAPE"].result
    assert isinstance(failure, Failure)
    assert failure.message == failure.text == "<b> & � 45 % against 30 %"
    (not_run,) = cases["agreement: all"].result
    assert isinstance(not_run, Skipped)
    assert not_run.message == "the service did not start"


def test_the_file_takes_the_place_of_the_one_before_in_one_step(tmp_path: Path) -> None:
    for count in (4, 1):
        write_junit(RESULTS[:count], tmp_path / "junit.xml")
    assert JUnitXml.fromfile(str(tmp_path / "junit.xml")).tests == 1
    assert [path.name for path in tmp_path.iterdir()] == ["junit.xml"]
