"""Run all tests of a model version; write JUnit XML and the model card, and tell the registry."""

import contextlib
import datetime
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from carprice.arrays import Progress
from carprice.components.workspace import Workspace
from carprice.errors import InputError, RefusedError
from carprice.files import write_text
from carprice.model import PriceModel
from carprice.model_folder import read_manifest
from carprice.model_tests import agreement, behaviour, clean_process, figures, signature
from carprice.model_tests.card import Subject, model_card
from carprice.model_tests.clean_process import Service
from carprice.model_tests.figures import Figures
from carprice.model_tests.junit import write_junit
from carprice.model_tests.page import page
from carprice.model_tests.panel import Panel, with_unseen_names
from carprice.model_tests.results import ModelTestResult, ModelTestResults
from carprice.model_tests.serving_requirements import installed
from carprice.redaction import redact
from carprice.registry.promotion import record_tests, staged_version
from carprice.registry.versions import STAGING, Registry, Version, load_pyfunc
from carprice.settings import RegisterSettings

JUNIT: Final = "junit.xml"
CARD: Final = "model_card.md"
PAGE: Final = "model_card.html"
_ARTIFACTS: Final = "model_tests"
_DIGEST: Final = "digest"
_LATER: Final = (
    clean_process.SUITE,
    signature.SUITE,
    behaviour.SUITE,
    figures.SUITE,
    agreement.SUITE,
)


@dataclass(frozen=True)
class Report:
    """The results of a version's tests, and the folder of the files."""

    version: Version
    results: tuple[ModelTestResult, ...]
    failures: tuple[ModelTestResult, ...]
    folder: Path


def version_to_test(registry: Registry, alias: str, number: int | None) -> Version:
    """Return the version of a number, else the one under an alias.

    Raises
    ------
    RefusedError
        If there is none; the message says what to do.
    """
    if number is not None:
        for version in registry.versions():
            if version.number == number:
                return version
        raise RefusedError(f"{registry.name} has no version {number}; see `carprice status`")
    found = registry.at(alias)
    if found is not None:
        return found
    if alias == STAGING:
        return staged_version(registry)
    raise RefusedError(
        f"registry {redact(registry.uri)} has no {alias} version of {registry.name}; see "
        "`carprice status`"
    )


def run_model_tests(
    registry: Registry,
    version: Version,
    workspace: Workspace,
    settings: RegisterSettings,
    out: Path,
    now: datetime.datetime,
    progress: Progress,
) -> Report:
    """Download a version, test it, and write, log and record the results.

    Parameters
    ----------
    workspace : where the test listings lie.
    out : folder of the files.

    Raises
    ------
    InputError
        If ``out`` cannot be written to; nothing is tested then.
    RefusedError
        If the registry does not take the record or, the verdict recorded, the files.
    """
    _check_folder(out)
    with tempfile.TemporaryDirectory(prefix="carprice-model-tests-") as scratch:
        tests = _Tests(registry, version, workspace, settings, Path(scratch), progress)
        tests.run()
        results = tests.results
        progress("recording in the registry")
        # First of all: whatever fails below, the verdict stands.
        failures = tuple(f"{one.title}: {one.message}" for one in results.failures)
        record_tests(registry, version, failures, now, settings)
        subject = tests.subject()
    progress("writing the model card")
    try:
        files = _write(subject, out)
    except OSError as error:
        raise RefusedError(
            f"the verdict on version {version.number} is recorded, but {out} cannot be written: "
            f"{error.strerror or error}"
        ) from None
    if version.run:
        registry.log_files(version, dict.fromkeys(files, _ARTIFACTS))
    return Report(version, results.by_suite(), results.failures, out)


def _check_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(
            f"{out} cannot be written to: {error.strerror or error}; name another folder with --out"
        ) from None


def _write(subject: Subject, out: Path) -> tuple[Path, ...]:
    card = model_card(subject)
    title = f"{subject.name}, version {subject.version.number}"
    write_junit(subject.results, out / JUNIT)
    write_text(out / CARD, card)
    write_text(out / PAGE, page(title, card))
    return out / JUNIT, out / CARD, out / PAGE


class _Tests:
    """Runs the tests of one version, and keeps what one test loads for the next."""

    def __init__(
        self,
        registry: Registry,
        version: Version,
        workspace: Workspace,
        settings: RegisterSettings,
        scratch: Path,
        progress: Progress,
    ) -> None:
        self._registry, self._version, self._workspace = registry, version, workspace
        self._settings, self._scratch, self._progress = settings, scratch, progress
        self._downloaded = self._folder = scratch
        self._model: PriceModel | None = None
        self._pyfunc: Any = None
        self._service: Service | None = None
        self._figures: Figures | None = None
        self.results = ModelTestResults(registry.uri)

    def run(self) -> None:
        """Run every test whose model, service or data could be had."""
        run, progress = self.results.run, self._progress
        progress("downloading the model")
        for name, test in (
            ("every byte is the registered one", self._get),
            ("it loads", self._load),
        ):
            if not run(_DIGEST, name, test):
                for suite in _LATER:
                    self.results.not_run(suite, "all", f"failed before: {name}")
                return
        with contextlib.ExitStack() as stack:
            progress("starting the service in a clean process")
            run(clean_process.SUITE, "it starts", partial(self._start, stack))
            self._test_alone()
            self._test_service()

    def subject(self) -> Subject:
        """Return all that the card tells."""
        manifest = read_manifest(self._folder) if self._model else {}
        return Subject(
            self._registry.name,
            self._version,
            self.results.by_suite(),
            self._settings.gate,
            self._model,
            manifest.get("libraries"),
            self._figures,
            self._report_of_the_data(),
            self._parameters(),
        )

    def _test_alone(self) -> None:
        """Run what needs no service."""
        assert self._model is not None  # noqa: S101 - it was loaded, else nothing of this runs
        run, run_all, progress = self.results.run, self.results.run_all, self._progress
        progress("loading it as MLflow does")
        if run(signature.SUITE, "MLflow loads it", self._load_pyfunc):
            run_all(signature.SUITE, signature.checks(self._pyfunc, self._downloaded))
        progress("asking for a panel of cars")
        run_all(
            behaviour.SUITE,
            behaviour.checks(self._model, Panel.of(self._model), self._settings.tests),
        )
        progress("measuring the test set")
        if run(figures.SUITE, "the data are those of the model", self._measure):
            assert self._figures is not None  # noqa: S101 - measured just now
            own = figures.checks(self._figures, self._version, self._folder, self._settings.gate)
            run_all(figures.SUITE, own)

    def _test_service(self) -> None:
        """Run what needs the service, and stop it."""
        service, results = self._service, self.results
        if service is None:
            results.not_run(agreement.SUITE, "all", "the service did not start")
            return
        results.run_all(clean_process.SUITE, clean_process.checks(service, self._version.digest))
        self._progress("comparing the service with MLflow's pyfunc")
        if self._pyfunc is None:
            results.not_run(agreement.SUITE, "all", "MLflow does not load the model")
        else:
            self._test_agreement(service)
        self._progress("stopping the service")
        results.run(
            clean_process.SUITE,
            "it stops when it is asked to",
            partial(clean_process.stop, service),
        )

    def _test_agreement(self, service: Service) -> None:
        assert self._model is not None  # noqa: S101 - as above
        listings = None
        if self._figures is None:
            for name in agreement.NEED_LISTINGS:
                self.results.not_run(agreement.SUITE, name, "there are no test listings")
        else:
            listings = agreement.some_listings(self._figures.test)
        panel = with_unseen_names(Panel.of(self._model).cars)
        tests = agreement.checks(self._pyfunc, service, panel, listings)
        self.results.run_all(agreement.SUITE, tests)

    def _get(self) -> str:
        target = self._scratch / "downloaded"
        target.mkdir()
        self._downloaded = self._registry.download(self._version, target)
        self._folder = self._registry.verified(self._version, self._downloaded)
        files = [path.stat().st_size for path in self._folder.iterdir()]
        return f"{len(files)} files, {sum(files):,} bytes, digest {self._version.digest[:12]}"

    def _load(self) -> str:
        self._model = PriceModel.load(self._folder)
        return f"{len(self._model.hedonic.coefficients['model']):,} models of cars"

    def _start(self, stack: contextlib.ExitStack) -> str:
        own = self._scratch / "service"
        own.mkdir()
        seconds = self._settings.tests.start_seconds
        start = time.perf_counter()
        self._service = stack.enter_context(clean_process.running(self._folder, own, seconds))
        took = time.perf_counter() - start
        return (
            f"ready after {took:.1f} s with {len(installed())} distributions; needs {seconds:g} s"
        )

    def _load_pyfunc(self) -> str:
        self._pyfunc = load_pyfunc(self._downloaded)
        return "loaded"

    def _measure(self) -> str:
        assert self._model is not None  # noqa: S101 - as above
        self._figures = figures.read_and_measure(self._model, self._version, self._workspace)
        return f"{len(self._figures.test):,} test rows"

    def _report_of_the_data(self) -> Mapping[str, Any] | None:
        """Return what ingest reported of this version's data, from here or from its run."""
        own = self._workspace.report
        logged = self._scratch / "report"
        logged.mkdir()
        for path in (own if own.is_file() else None, self._logged_report(logged)):
            with contextlib.suppress(ValueError):
                report: dict[str, Any] = json.loads(path.read_text("utf-8")) if path else {}
                if report.get("data_digest") == self._version.tags.get("data_digest", ""):
                    return report
        return None

    def _logged_report(self, folder: Path) -> Path | None:
        with contextlib.suppress(RefusedError):
            return self._registry.read_file(self._version, "data/report.json", folder)
        return None

    def _parameters(self) -> Mapping[str, str]:
        with contextlib.suppress(RefusedError):
            return self._registry.parameters(self._version)
        return {}
