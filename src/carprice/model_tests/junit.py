"""Write results as JUnit XML, which every CI system shows."""

import re
from collections.abc import Sequence
from pathlib import Path

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from carprice.files import writing
from carprice.model_tests.results import ModelTestResult, Status

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(results: Sequence[ModelTestResult], target: Path) -> None:
    """Write a suite for each kind of test, and a case for each test."""
    document = JUnitXml("carprice model tests")
    for name in dict.fromkeys(one.suite for one in results):
        suite = TestSuite(name)
        suite.add_testcases([_case(one) for one in results if one.suite == name])
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    with writing(target) as path:
        document.write(str(path), pretty=True)


def _case(result: ModelTestResult) -> TestCase:
    message = _NOT_XML.sub("�", result.message)
    case = TestCase(result.name, classname=result.suite, time=round(result.seconds, 3))
    if result.status is Status.FAILED:
        failure = Failure(message, "failed")
        failure.text = message
        case.result = [failure]
    elif result.status is Status.NOT_RUN:
        case.result = [Skipped(message, "not run")]
    else:
        case.system_out = message
    return case
