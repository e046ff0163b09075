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
from carprice.errors import CarpriceError, CorruptModelError, InputError, RefusedError
from carprice.evaluation.ageing import read_backtest, why_unfit
from carprice.files import check_writable, write_text
from carprice.model import PriceModel
from carprice.model.trial import try_model
from carprice.model_folder import folder_digest, read_manifest
from carprice.model_tests import (
    agreement,
    behaviour,
    clean_process,
    figures,
    mlflow_process,
    signature,
)
from carprice.model_tests.card import Subject, model_card, page
from carprice.model_tests.clean_process import RunningService
from carprice.model_tests.evidence import Evidence
from carprice.model_tests.figures import Measured
from carprice.model_tests.panel import Panel, with_unseen_names
from carprice.model_tests.results import ModelTestResults, write_junit
from carprice.model_tests.serving_requirements import installed
from carprice.redaction import redact
from carprice.registry.promotion import record_tests, staged_version
from carprice.registry.versions import STAGING, Registry, Version
from carprice.settings import RegisterSettings

JUNIT: Final = "junit.xml"
CARD: Final = "model_card.md"
PAGE: Final = "model_card.html"
_ARTIFACTS: Final = "model_tests"
_DIGEST: Final = "digest"
_LOAD_SECONDS: Final = 120.0
_NEED_THE_MODEL: Final = (clean_process, signature, behaviour, figures, agreement)


def version_to_test(registry: Registry, alias: str, number: int | None) -> Version:
    """Return the version of a number, else the one under an alias.

    Raises
    ------
    RefusedError
        If there is none; the message says what to do.
    """
    if number is not None:
        return registry.numbered(number)
    if alias == STAGING:
        return staged_version(registry)
    found = registry.at(alias)
    if found is None:
        raise RefusedError(
            f"registry {redact(registry.uri)} has no {alias} version of {registry.name}; see "
            "`carprice status`"
        )
    return found


def run_model_tests(
    registry: Registry,
    version: Version,
    workspace: Workspace,
    settings: RegisterSettings,
    out: Path,
    now: datetime.datetime,
    progress: Progress,
) -> ModelTestResults:
    """Download a version, test it, and write, log and record the results.

    Parameters
    ----------
    workspace : holds the test listings.
    out : folder for the JUnit file and the model card.

    Raises
    ------
    InputError, RefusedError
        If a file in ``out`` cannot be written; nothing is tested then.
    RefusedError
        If the registry does not take the record or, the verdict recorded, the files.
    """
    check_writable(*(out / name for name in (JUNIT, CARD, PAGE)))
    results = ModelTestResults(registry.uri)
    with tempfile.TemporaryDirectory(prefix="carprice-model-tests-") as scratch:
        tests = _Tests(registry, version, workspace, settings, Path(scratch), progress, results)
        model, measured, libraries = tests.run()
        progress("recording in the registry")
        # Recorded first: if writing a file fails below, the verdict stands.
        failures = [f"{one.title}: {one.message}" for one in results.failures]
        record_tests(registry, version, failures, now, settings)
        subject = Subject(
            registry.name,
            version,
            results.by_suite(),
            settings.gate,
            model,
            libraries,
            measured,
            tests.report_of_the_data(),
            tests.parameters(),
            tests.backtest(),
        )
    progress("writing the model card")
    card, title = model_card(subject), f"{registry.name}, version {version.number}"
    try:
        write_junit(subject.results, out / JUNIT)
        write_text(out / CARD, card)
        write_text(out / PAGE, page(title, card))
    except CarpriceError as error:
        raise RefusedError(
            f"the verdict on version {version.number} is recorded, but {error}"
        ) from None
    if version.run:
        registry.log_files(version, {out / name: _ARTIFACTS for name in (JUNIT, CARD, PAGE)})
    return results


@dataclass(frozen=True)
class _Tests:
    """The tests of one version, and where their results go."""

    registry: Registry
    version: Version
    workspace: Workspace
    settings: RegisterSettings
    scratch: Path
    progress: Progress
    results: ModelTestResults

    def run(self) -> tuple[PriceModel | None, Measured | None, Mapping[str, str] | None]:
        """Run every test whose model, service and data are available.

        Returns
        -------
        tuple
            The model, its figures, and the libraries that made it; None for what is missing.
        """
        get, progress = self.results.get, self.progress
        progress("downloading the model")
        downloaded = self.scratch / "downloaded"
        downloaded.mkdir()
        folder = get(
            _DIGEST, "every byte is the registered one", partial(self._download, downloaded), _size
        )
        model = None
        if folder is not None:
            model = get(_DIGEST, "it loads", partial(self._load, folder), _models_known)
        if folder is None or model is None:
            why = f"failed before: {self.results.every[-1].name}"
            for later in _NEED_THE_MODEL:
                self.results.not_run(later.SUITE, "all", why)
            return None, None, None
        downloaded = folder.parents[1]
        with contextlib.ExitStack() as stack:
            progress("starting the service in a clean process")
            service = self._start(folder, stack)
            progress("loading it as MLflow does")
            pyfunc = get(
                signature.SUITE,
                "MLflow loads it",
                lambda: stack.enter_context(mlflow_process.loaded(downloaded)),
                lambda _: "loaded",
            )
            if pyfunc is not None:
                self.results.run_all(signature.SUITE, signature.checks(pyfunc, downloaded))
            measured = self._test_model(model, folder)
            if service is None:
                self.results.not_run(agreement.SUITE, "all", "the service did not start")
            else:
                self._test_service(service, model, pyfunc, measured)
        return model, measured, read_manifest(folder).get("libraries")

    def _start(self, folder: Path, stack: contextlib.ExitStack) -> RunningService | None:
        own = self.scratch / "service"
        own.mkdir()
        limit, start = self.settings.tests.start_seconds, time.perf_counter()
        return self.results.get(
            clean_process.SUITE,
            "it starts",
            lambda: stack.enter_context(clean_process.running(folder, own, limit)),
            lambda _: (
                f"ready after {time.perf_counter() - start:.1f} s with {len(installed())} "
                f"distributions; needs {limit:g} s"
            ),
        )

    def _test_model(self, model: PriceModel, folder: Path) -> Measured | None:
        """Run what needs neither the service nor MLflow; return the figures."""
        self.progress("measuring the test set")
        is_judged = self.settings.gate.max_mape_of_age is not None
        backtest = self.workspace.backtest if is_judged else None
        measured = self.results.get(
            figures.SUITE,
            "the data are those of the model",
            partial(figures.read_and_measure, model, self.version, self.workspace, backtest),
            lambda found: f"{len(found.test):,} test rows",
        )
        if measured is not None:
            own = figures.checks(measured, self.version, folder, self.settings.gate)
            self.results.run_all(figures.SUITE, own)
        self.progress("asking for a panel of cars")
        evidence = None
        if measured is not None:
            evidence = self.results.get(
                behaviour.SUITE,
                "the market's listings say what prices depend on",
                partial(Evidence.of, model, measured.train),
                str,
            )
        panel = behaviour.checks(model, Panel.of(model), self.settings.tests, evidence)
        self.results.run_all(behaviour.SUITE, panel)
        for name in behaviour.NEED_EVIDENCE if evidence is None else ():
            self.results.not_run(behaviour.SUITE, name, "there are no listings to hold it against")
        return measured

    def _test_service(
        self, service: RunningService, model: PriceModel, pyfunc: Any, measured: Measured | None
    ) -> None:
        """Run what needs the service, and stop it."""
        results = self.results
        results.run_all(clean_process.SUITE, clean_process.checks(service, self.version.digest))
        self.progress("comparing the service with MLflow's pyfunc")
        if pyfunc is None:
            results.not_run(agreement.SUITE, "all", "MLflow does not load the model")
        else:
            panel, listings = with_unseen_names(Panel.of(model).cars), None
            if measured is not None:
                listings = agreement.some_listings(
                    measured.test, knows_distances="odometer" in model.trained_on
                )
            tests = agreement.checks(pyfunc, service, panel, listings)
            results.run_all(agreement.SUITE, tests)
            for name in agreement.NEED_LISTINGS if listings is None else ():
                results.not_run(agreement.SUITE, name, "there are no test listings")
        self.progress("stopping the service")
        stop = partial(clean_process.stop, service)
        results.run(clean_process.SUITE, "it stops when it is asked to", stop)

    def _load(self, folder: Path) -> PriceModel:
        """Load a model that a process without secrets has loaded and priced a car with."""
        try_model(folder, self.version.digest, _LOAD_SECONDS)
        return PriceModel.load(folder)

    def _download(self, target: Path) -> Path:
        return self.registry.verified(self.version, self.registry.download(self.version, target))

    def report_of_the_data(self) -> Mapping[str, Any] | None:
        """Return ingest's report on this version's data, from the workspace or else its run."""
        logged = None
        with contextlib.suppress(RefusedError, CorruptModelError):
            logged = self.registry.read_file(self.version, "data/report.json", self.scratch)
        for path in (self.workspace.report, logged):
            with contextlib.suppress(ValueError, OSError, RecursionError):
                report = json.loads(path.read_text("utf-8")) if path else {}
                if not isinstance(report, dict):
                    continue
                if report.get("data_digest") == self.version.tags.get("data_digest", ""):
                    return report
        return None

    def backtest(self) -> Mapping[str, Any] | None:
        """Return the workspace's report of a backtest; None without a whole one of this data."""
        with contextlib.suppress(InputError):
            report = read_backtest(self.workspace.backtest)
            if report and not why_unfit(report, self.version.tags.get("data_digest", "")):
                return report
        return None

    def parameters(self) -> Mapping[str, str]:
        """Return the parameters of the run that made the version; none if there is no answer."""
        with contextlib.suppress(RefusedError):
            return self.registry.parameters(self.version)
        return {}


def _size(folder: Path) -> str:
    sizes = [path.stat().st_size for path in folder.iterdir()]
    digest = folder_digest(folder)[:12]
    return f"{len(sizes)} files, {sum(sizes):,} bytes, digest {digest}"


def _models_known(model: PriceModel) -> str:
    return f"{len(model.hedonic.coefficients['model']):,} models of cars"
