"""Outcomes as JUnit XML, which every CI system shows."""

import re
from collections.abc import Sequence
from pathlib import Path

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from carprice.files import writing
from carprice.model_tests.outcomes import Outcome, Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(outcomes: Sequence[Outcome], target: Path) -> None:
    """Write a suite for each kind of test, and a case for each test."""
    document = JUnitXml("carprice model tests")
    for name in dict.fromkeys(one.suite for one in outcomes):
        suite = TestSuite(name)
        suite.add_testcases([_case(one) for one in outcomes if one.suite == name])
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    with writing(target) as path:
        document.write(str(path), pretty=True)


def _case(outcome: Outcome) -> TestCase:
    message = _NOT_XML.sub("�", outcome.message)
    case = TestCase(outcome.name, classname=outcome.suite, time=round(outcome.seconds, 3))
    if outcome.verdict is Verdict.FAILED:
        failure = Failure(message, "failed")
        failure.text = message
        case.result = [failure]
    elif outcome.verdict is Verdict.NOT_RUN:
        case.result = [Skipped(message, "not run")]
    else:
        case.system_out = message
    return case
