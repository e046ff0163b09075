"""The workflows keep the rules of docs/ci.md, and their jobs run to green with act."""

import datetime
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from command_line import caller
from image_env import OPTIONAL

if TYPE_CHECKING:
    from conftest import DagsHub

ROOT = Path(__file__).parents[1]
NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
WORKFLOWS = {
    path.name: yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
}
JOBS = [
    (name, job)
    for name, workflow in WORKFLOWS.items()
    for job, content in workflow["jobs"].items()
    if "steps" in content
]
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
SECRET = re.compile(r"\bsecrets\b *[.\[]\s*(?!py\b)")
PROMOTING = [("ci.yml", "pipeline"), ("retrain.yml", "retrain")]
DELIVERING = [("deploy.yml", "deploy"), ("rollback.yml", "rollback")]
MONITORING = [("retrain.yml", "monitor")]
SOURCE = {"SOURCE_URL"}
SEEN = {"CARPRICE_OUTCOMES"}
LOOK, DECIDE = "carprice monitor --act", "carprice challenge decide --act"
SIGNING = ("carprice test-model", "carprice promote", "deploy/rollback.sh", LOOK, DECIDE)
KEY = {"CARPRICE_PROMOTION_KEY"}
LOGINS = {"DAGSHUB_USER_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
# Commands of the pipeline that ask the registry, and so need its login.
ASKING = ("carprice setup check", "dvc repro", "carprice test-model", "carprice promote",
          "carprice status", "deploy/rollback.sh", LOOK, DECIDE)  # fmt: skip

at_each_job = pytest.mark.parametrize(("workflow", "job"), JOBS)


def steps(workflow: str, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = WORKFLOWS[workflow]["jobs"][job]["steps"]
    return found


def commands(workflow: str, job: str) -> list[str]:
    return [step["run"] for step in steps(workflow, job) if "run" in step]


def test_every_action_is_pinned_by_one_commit_and_its_version_told() -> None:
    used = set()
    for workflow, job in JOBS:
        text = (ROOT / ".github" / "workflows" / workflow).read_text(encoding="utf-8")
        actions = {step["uses"] for step in steps(workflow, job) if "uses" in step}
        assert actions
        for action in actions:
            assert PINNED.fullmatch(action)
            assert re.search(re.escape(action) + r" # v\d+\.\d+\.\d+\n", text)
        used |= actions
    assert len(used) == len({action.partition("@")[0] for action in used})


@at_each_job
def test_a_job_has_a_time_limit_and_no_more_than_it_needs(workflow: str, job: str) -> None:
    content = WORKFLOWS[workflow]["jobs"][job]
    assert WORKFLOWS[workflow]["permissions"] == {}
    assert 0 < int(content["timeout-minutes"]) <= 120
    allowed = {"contents": "read"}
    if (workflow, job) in (*PROMOTING, *MONITORING, *DELIVERING):
        allowed["id-token"] = "write"
    assert content["permissions"] == allowed
    checkout = next(step for step in content["steps"] if "checkout" in step.get("uses", ""))
    assert checkout["with"]["persist-credentials"] == "false"


@at_each_job
def test_a_secret_is_only_where_it_is_used(workflow: str, job: str) -> None:
    content = WORKFLOWS[workflow]["jobs"][job]
    rest = {**content, "steps": [{**step, "env": {}} for step in content["steps"]]}
    assert not SECRET.search(str(rest))
    assert not SECRET.search(str(WORKFLOWS[workflow].get("env", {})))
    for step in content["steps"]:
        named = {name for name, value in step.get("env", {}).items() if SECRET.search(value)}
        with_secrets = (workflow, job) in (*PROMOTING, *MONITORING, *DELIVERING)
        command = step.get("run", "") if with_secrets else ""
        # Reading the source again does not ask the registry.
        asks = command.startswith(ASKING) and "--single-item" not in command
        reads = command.startswith(("dvc repro", LOOK))
        signs = command.startswith(SIGNING)
        looks = command.startswith((LOOK, DECIDE))
        wanted = [LOGINS] * asks + [SOURCE] * reads + [KEY] * signs + [SEEN] * looks
        assert named == set().union(*wanted)
        for name in named:
            assert step["env"][name] == f"${{{{ secrets.{name} }}}}"
        assert "${{" not in step.get("run", "")  # nothing from outside is pasted into a script


def test_forks_see_no_secret_and_promote_nothing() -> None:
    events = WORKFLOWS["ci.yml"]["on"]
    assert set(events) == {"push", "pull_request", "workflow_dispatch"}
    assert events["push"]["branches"] == ["main"]
    jobs = WORKFLOWS["ci.yml"]["jobs"]
    on_main = "github.ref == 'refs/heads/main'"
    assert jobs["pipeline"]["if"] == f"github.event_name != 'pull_request' && {on_main}"
    assert on_main in WORKFLOWS["retrain.yml"]["jobs"]["retrain"]["if"].split(" && ")
    assert set(jobs["pipeline"]["needs"]) == {"lint", "test"}
    assert jobs["sample"]["if"] == "github.event_name == 'pull_request'"
    assert jobs["sample"]["env"] == {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    for job in ("lint", "test", "lowest", "sample"):
        assert not SECRET.search(str(jobs[job]))
        assert "vars." not in str(jobs[job])


@pytest.mark.parametrize(("workflow", "job"), PROMOTING)
def test_a_promotion_waits_for_others_and_refuses_a_registry_that_ends_with_the_runner(
    workflow: str, job: str
) -> None:
    order = commands(workflow, job)
    assert order.index("carprice setup check --shared") < order.index("dvc repro")
    content = WORKFLOWS[workflow]["jobs"][job]
    assert content["concurrency"] == {"group": "production", "cancel-in-progress": "false"}
    assert content["environment"] == "production"
    assert set(content["outputs"]) == {"version", "digest"}


def test_a_daily_look_decides_where_it_is_on_and_mondays_where_it_is_not() -> None:
    content = WORKFLOWS["retrain.yml"]
    daily, weekly = (one["cron"] for one in content["on"]["schedule"])
    assert (daily.split()[2:], weekly.split()[2:]) == (["*", "*", "*"], ["*", "*", "1"])
    on_main = "github.ref == 'refs/heads/main'"
    look, retrain = (" ".join(content["jobs"][job]["if"].split()) for job in ("monitor", "retrain"))
    assert look == f"{on_main} && github.event.schedule == '{daily}' && vars.MONITOR == 'true'"
    assert retrain == (
        f"{on_main} && (github.event_name == 'workflow_dispatch' || "
        f"(github.event.schedule == '{weekly}' && vars.MONITOR != 'true'))"
    )
    order = commands("retrain.yml", "monitor")
    first, *acts, last = [one for one in order if one.startswith(("carprice ", "dvc push"))]
    assert (first, last) == ("carprice setup check --shared", "dvc push")
    acts = [one.partition(" ${")[0] for one in acts]
    before, after = (f"carprice status --json > {name}.json" for name in ("before", "after"))
    assert acts == [before, DECIDE, after, LOOK]
    # A challenger that is not decided on holds neither a retraining back nor its data.
    done = {one["run"].partition(" ${")[0]: one for one in steps("retrain.yml", "monitor")
            if "run" in one}  # fmt: skip
    assert (done[DECIDE]["id"], done[LOOK]["id"]) == ("decide", "look")
    for command in (after, LOOK):
        assert done[command]["if"] == "${{ !cancelled() && steps.decide.outcome != 'skipped' }}"
    assert done[last]["if"] == "${{ !cancelled() && steps.look.outcome == 'success' }}"
    job = content["jobs"]["monitor"]
    assert job["concurrency"] == {"group": "production", "cancel-in-progress": "false"}
    assert job["environment"] == "production"
    assert not any("promote" in command for command in order)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [(6, 7, "version=7\n"), (7, 7, ""), (None, None, ""), (7, 6, "version=6\n")],
)
def test_a_decision_that_changed_production_is_delivered(
    tmp_path: Path, before: int | None, after: int | None, told: str
) -> None:
    """The job's own step, run on what ``carprice status --json`` says."""
    for name, number in (("before", before), ("after", after)):
        there = [{"number": one, "aliases": ["production"] * (one == number)} for one in (6, 7)]
        (tmp_path / f"{name}.json").write_text(json.dumps(there), encoding="utf-8")
    (step,) = (one for one in steps("retrain.yml", "monitor") if one.get("id") == "decided")
    output = tmp_path / "output"
    output.touch()
    subprocess.run(
        [sys.executable, "-c", step["run"]],
        cwd=tmp_path, env={**os.environ, "GITHUB_OUTPUT": str(output)}, check=True,
    )  # fmt: skip
    assert output.read_text(encoding="utf-8") == told
    jobs = WORKFLOWS["retrain.yml"]["jobs"]
    assert jobs["monitor"]["outputs"] == {"version": "${{ steps.decided.outputs.version }}"}
    delivered = jobs["deliver-decision"]
    assert delivered["needs"] == "monitor"
    assert delivered["if"] == (
        "${{ !cancelled() && vars.DEPLOY == 'true' && needs.monitor.outputs.version != '' }}"
    )
    for key in ("uses", "permissions"):
        assert delivered[key] == jobs["deploy"][key]
    assert delivered["with"] == {"version": "${{ needs.monitor.outputs.version }}"}
    assert "secrets" not in delivered


def test_what_was_promoted_is_delivered_where_that_is_switched_on() -> None:
    for workflow, job in PROMOTING:
        content = WORKFLOWS[workflow]["jobs"]["deploy"]
        assert content["uses"] == "./.github/workflows/deploy.yml"
        assert content["needs"] == job
        assert content["if"] == "vars.DEPLOY == 'true'"
        assert content["with"] == {"version": f"${{{{ needs.{job}.outputs.version }}}}"}
        assert content["permissions"] == {"contents": "read", "id-token": "write"}
        assert "secrets" not in content
    events = WORKFLOWS["deploy.yml"]["on"]
    assert set(events) == {"workflow_call", "workflow_dispatch"}
    for event in events.values():
        assert event["inputs"]["version"]["required"] == "true"
    assert set(WORKFLOWS["rollback.yml"]["on"]) == {"workflow_dispatch"}


def test_one_deployment_at_a_time() -> None:
    one = {"group": "deploy", "cancel-in-progress": "false"}
    assert WORKFLOWS["deploy.yml"]["jobs"]["deploy"]["concurrency"] == one
    assert WORKFLOWS["rollback.yml"]["concurrency"] == one
    # It does not wait for a training that goes on.
    assert "concurrency" not in WORKFLOWS["rollback.yml"]["jobs"]["rollback"]
    for workflow, job in DELIVERING:
        content = WORKFLOWS[workflow]["jobs"][job]
        # Its own variables, and so its own role: not that which reads the listings.
        assert content["environment"] == "delivery"
        assert content["if"] == "github.ref == 'refs/heads/main'"


@pytest.mark.parametrize(("workflow", "job"), DELIVERING)
def test_the_delivery_is_in_scripts_with_all_that_they_need(workflow: str, job: str) -> None:
    """What a script ``needs``, or a bundle may have, is in the job's environment, no more."""
    called = set(re.findall(r"deploy/\w+\.sh", " ".join(commands(workflow, job))))
    assert called
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in called]
    calls = re.findall(r"deploy/\w+\.sh", re.sub(r"(?m)^ *#.*", "", "".join(texts)))
    texts += [(ROOT / name).read_text(encoding="utf-8") for name in calls]
    needed = {*re.findall(r"\bneeds ([A-Z][A-Z_]+)", " ".join(texts)), *OPTIONAL}
    given = WORKFLOWS[workflow]["jobs"][job]["env"]
    assert set(given) == needed
    assert given == {name: f"${{{{ vars.{name} }}}}" for name in needed}


def test_retraining_goes_through_the_same_steps_on_what_the_source_holds_now() -> None:
    again = "dvc repro --force --single-item ingest"
    retrain = [step for step in steps("retrain.yml", "retrain") if step.get("run") != again]
    assert len(retrain) == len(steps("retrain.yml", "retrain")) - 1
    pipeline = steps("ci.yml", "pipeline")
    for content in (retrain, pipeline):
        for step in content:
            step.get("env", {}).pop("WHY", None)
    assert retrain == pipeline
    order = commands("retrain.yml", "retrain")
    assert order.index("dvc pull --allow-missing") < order.index(again) < order.index("dvc repro")
    assert set(WORKFLOWS["retrain.yml"]["on"]) == {"schedule", "workflow_dispatch"}


def test_all_python_versions_of_the_package_are_tested() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r"Python :: (3\.\d+)", text)
    assert WORKFLOWS["ci.yml"]["jobs"]["test"]["strategy"]["matrix"]["python"] == named


def test_a_person_can_run_the_same_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each call of ``carprice`` is one of the command line's, with options that it has."""
    monkeypatch.setenv("COLUMNS", "200")
    carprice = caller(monkeypatch, capsys)
    lines = [line for one in JOBS for command in commands(*one) for line in command.splitlines()]
    calls = {line.strip() for line in lines if line.strip().startswith("carprice ")}
    assert len(calls) >= 4
    for call in calls:
        words = call.partition(">")[0].split()[1:]
        names = [word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)]
        done = carprice(*names[: 2 if names[0] in ("challenge", "setup") else 1], "--help")
        assert done.code == 0, f"{call}: {done.err}"
        for option in (word for word in words if word.startswith("--")):
            assert re.search(rf"{option}\b", done.out), f"{call}: no {option}"


def program(name: str) -> str:
    """Return a program beside this Python or on the PATH."""
    beside = shutil.which(name, path=Path(sys.executable).parent)
    found = beside or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


PROGRAMS = (
    *(".ci/run", "deploy/aws", "deploy/compose/up", "deploy/host/carprice-host"),
    "deploy/rehearse",
)
SHELL = [*PROGRAMS, *map(str, (ROOT / "deploy").rglob("*.sh"))]


@pytest.mark.parametrize(
    "command",
    [
        ("actionlint",),
        ("hadolint", "Dockerfile"),
        ("shellcheck", "--external-sources", *SHELL),
        ("yamllint", "--strict", "."),
        ("zizmor", "--offline", "--pedantic", "--no-progress", ".github"),
    ],
    ids=lambda command: command[0],
)
def test_a_linter_finds_nothing(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [program(command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def stand_ins(project: Path) -> Iterator[str]:
    """Yield act's options that put the folders of tests/workflows in the place of the actions."""
    for action in {step["uses"] for one in JOBS for step in steps(*one) if "uses" in step}:
        folder = project / "tests" / "workflows" / action.partition("@")[0].rpartition("/")[2]
        yield from ("--local-repository", f"{action}={folder}")


class Act:
    """Runs jobs of a copy of the project on this machine, as GitHub's runners would."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.project = folder, folder / "project"
        self.artifacts = folder / "artifacts"

    def run(
        self,
        event: str,
        workflow: str,
        job: str,
        *options: str,
        secret: Mapping[str, str] = MappingProxyType({}),
        programs: str = "",
        **env: str,
    ) -> subprocess.CompletedProcess[str]:
        """Commit the project as it is, and run a job of it."""
        identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.com")
        for action in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "all")):
            subprocess.run(["git", *identity, *action], cwd=self.project, check=False)
        secrets_file = self.folder.parent / f"{self.folder.name}.secrets"
        secrets_file.write_text("".join(f"{key}={text}\n" for key, text in secret.items()))
        given = {**env, "OMP_NUM_THREADS": "1", "STAND_IN_ARTIFACTS": str(self.artifacts)}
        command = [
            *(program("act"), event, "--job", job, "--platform", "ubuntu-latest=-self-hosted"),
            *("--workflows", f".github/workflows/{workflow}", "--no-cache-server"),
            *("--action-cache-path", str(self.folder / "act"), *stand_ins(self.project)),
            # GitHub would replace a secret in the log; here a test shall see that none is written.
            *("--secret-file", str(secrets_file), "--insecure-secrets"),
            *(part for key, text in given.items() for part in ("--env", f"{key}={text}")),
            *options,
        ]
        path = os.pathsep.join([programs, str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path.strip(os.pathsep), "COLUMNS": "160"}
        try:
            done = subprocess.run(
                command, cwd=self.project, env=environment, capture_output=True, text=True,
                check=False, timeout=900,
            )  # fmt: skip
        finally:
            secrets_file.unlink()
        # act notes what the stand-in for AWS's action exports; GitHub's own action masks it.
        done.stdout = re.sub(r".*::set-env:: AWS_.*\n", "", done.stdout)
        log = self.folder / f"{workflow}-{job}.log"
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
        return done

    def files_with(self, text: str) -> list[Path]:
        """Return what the jobs left and holds a text: all below the folder but their source."""
        return [
            path
            for path in self.folder.rglob("*")
            if not path.is_relative_to(self.project)
            and path.is_file()
            and not path.is_symlink()
            and text.encode() in path.read_bytes()
        ]


@pytest.fixture(scope="module")
def act(tmp_path_factory: pytest.TempPathFactory, copy_project: Callable[[Path], Path]) -> Act:
    """The project's present files in a repository of their own, with no job's needs."""
    if os.environ.get("ACT"):
        pytest.skip("act does not run in act")
    program("act")
    folder = tmp_path_factory.mktemp("act")
    index = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "hatchling"]
    if subprocess.run([*index, "--dest", folder], capture_output=True, check=False).returncode:
        pytest.skip("the jobs' `pip install -e .` needs the package index")
    runner = Act(folder / "act")
    copy_project(runner.project)
    workflow = runner.project / ".github" / "workflows" / "ci.yml"
    text = workflow.read_text(encoding="utf-8")
    workflow.write_text(text.replace("    needs: [lint, test]\n", ""), encoding="utf-8")
    assert text != workflow.read_text(encoding="utf-8")
    return runner


def change(project: Path, **sections: Any) -> None:
    """Set keys of params.yaml, over a small sample and model."""
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["ingest"] = {"source": "sample", "sample": {"rows": 2000, "seed": 7}}
    params["train"]["folds"] = 3
    params["train"]["booster"] = {"n_estimators": 60, "max_depth": 4, "learning_rate": 0.1}
    for name, keys in sections.items():
        params[name] |= keys
    path.write_text(yaml.safe_dump(params), encoding="utf-8")


in_full = pytest.mark.skipif(
    os.environ.get("CARPRICE_ACT") != "all",
    reason="some minutes for what the other tests do without act; CARPRICE_ACT=all runs it",
)


@in_full
def test_lint_is_green_in_act(act: Act) -> None:
    done = act.run("push", "ci.yml", "lint")
    assert done.returncode == 0, done.stdout[-5000:]
    assert "Job succeeded" in done.stdout


@in_full
def test_a_pull_request_runs_on_the_sample_without_secrets(act: Act) -> None:
    change(act.project, tracking={"dagshub": "nobody/nothing"})
    done = act.run("pull_request", "ci.yml", "sample")
    assert done.returncode == 0, done.stdout[-5000:]
    assert "Version 1 is in production." in done.stdout
    assert (act.artifacts / "sample-reports" / "reports" / "metrics.json").is_file()


@pytest.mark.usefixtures("no_aws_login")
def test_the_pipeline_promotes_in_act_and_shows_no_token(
    act: Act, s3: str, dagshub: "DagsHub"
) -> None:
    import boto3

    aws = secrets.token_urlsafe(30)
    store = boto3.client(
        "s3", endpoint_url=s3, aws_access_key_id="tests", aws_secret_access_key=aws
    )
    store.create_bucket(Bucket="ci-data")
    config = act.project / ".dvc" / "config"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("s3://<your-bucket>/", "s3://ci-data/"), encoding="utf-8")
    change(act.project, tracking={"dagshub": dagshub.repo}, register={"name": "ci-cars"})
    secret = {"DAGSHUB_USER_TOKEN": dagshub.token}
    env = {
        "DAGSHUB_CLIENT_HOST": dagshub.host,
        "AWS_ENDPOINT_URL": s3,
        "STAND_IN_AWS_SECRET": aws,
        "NO_PROXY": "*",
    }

    done = act.run("push", "ci.yml", "pipeline", secret=secret, **env)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "Version 1 is in production." in done.stdout
    reports = act.artifacts / "reports"
    for name in ("metrics.json", "model-tests/junit.xml", "status.json"):
        assert (reports / "reports" / name).is_file()
    assert re.search(r"\bversion=1\n.*\bdigest=[0-9a-f]{64}\n", done.stdout)
    assert re.search(r"\| reports/metrics.json +\|", done.stdout), "no figures in the summary"
    assert store.list_objects_v2(Bucket="ci-data")["KeyCount"] > 5

    logs = [done]
    if os.environ.get("CARPRICE_ACT") == "all":  # a minute more; its steps are the pipeline's
        logs.append(act.run("workflow_dispatch", "retrain.yml", "retrain", secret=secret, **env))
        assert logs[-1].returncode == 0, logs[-1].stdout[-5000:]
    for token in (dagshub.token, aws):
        assert all(token not in log.stdout + log.stderr for log in logs)
        assert act.files_with(token) == []


VARIABLES = {
    "AWS_REGION": "xx-test-1",
    "BUNDLE_BUCKET": "bundles",
    "CODEDEPLOY_APPLICATION": "cars",
    "CODEDEPLOY_GROUP": "production",
    "IMAGE_REPOSITORY": "registry.example.org/cars",
    "MLFLOW_TRACKING_URI": "https://mlflow.example.org",
}


@pytest.mark.parametrize("deployment", ["Succeeded", "Failed"])
def test_the_delivery_runs_to_the_end_in_act_and_fails_with_its_hook(
    act: Act, deployment: str
) -> None:
    aws = secrets.token_urlsafe(30)
    done = act.run(
        *("workflow_dispatch", "deploy.yml", "deploy", "--input=version=3"),
        *(f"--var={name}={value}" for name, value in VARIABLES.items()),
        programs=str(act.project / "tests" / "workflows" / "programs"),
        STAND_IN_AWS_SECRET=aws,
        STAND_IN_DEPLOYMENT=deployment,
    )
    assert (done.returncode == 0) == (deployment == "Succeeded"), done.stdout[-5000:]
    assert f"image=registry.example.org/cars@sha256:{7:064d}" in done.stdout
    bundle = r"bundle=s3://bundles/carprice-0{12}-model-3-\d{8}T\d{6}Z.tgz"
    assert re.search(bundle, done.stdout)
    shown = "deploy/scripts/validate_service.sh" in done.stdout
    assert shown == (deployment == "Failed")
    assert list(act.artifacts.glob("*.tgz"))
    assert aws not in done.stdout + done.stderr
    assert act.files_with(aws) == []


@pytest.mark.parametrize("store", ["server"], indirect=True)
def test_a_rollback_runs_to_the_end_in_act(
    act: Act, store: Any, finished: Any, another_model: Callable[..., Path], tmp_path: Path
) -> None:
    """The registry goes back to version 1, and the instances get its image and version."""
    from carprice.registry.promotion import history, promote

    first, aws = finished[0].model, secrets.token_urlsafe(30)
    for model in (first, another_model(first, tmp_path / "second", 2)):
        store.stage(model)
        promote(store.registry, NOW, "for the tests")
    change(act.project, register={"name": store.registry.name})
    variables = {**VARIABLES, "MLFLOW_TRACKING_URI": store.registry.uri}
    inputs = {
        "image": f"registry.example.org/cars@sha256:{9:064d}",
        "version": 1,
        "why": "too dear",
    }
    done = act.run(
        *("workflow_dispatch", "rollback.yml", "rollback"),
        *(f"--input={name}={value}" for name, value in inputs.items()),
        *(f"--var={name}={value}" for name, value in variables.items()),
        programs=str(act.project / "tests" / "workflows" / "programs"),
        STAND_IN_AWS_SECRET=aws,
        STAND_IN_DEPLOYMENT="Succeeded",
        NO_PROXY="*",
    )
    assert done.returncode == 0, done.stdout[-5000:]
    in_production = store.registry.at("production")
    assert in_production is not None
    assert in_production.number == 1
    assert any("too dear" in event.why for event in history(store.registry))
    assert list(act.artifacts.glob("carprice-000000000000-model-1-*.tgz"))
    assert aws not in done.stdout + done.stderr


def test_a_token_in_a_log_would_be_seen(act: Act) -> None:
    """The search above can fail: a workflow that writes its token is found out."""
    token = secrets.token_urlsafe(30)
    leak = {"env": {"TOKEN": "${{ secrets.LEAK }}"}, "run": 'echo "$TOKEN"'}
    content = {"on": "push", "jobs": {"leak": {"runs-on": "ubuntu-latest", "steps": [leak]}}}
    path = act.project / ".github" / "workflows" / "leak.yml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = act.run("push", "leak.yml", "leak", secret={"LEAK": token})
    assert done.returncode == 0
    assert token in done.stdout
    assert act.files_with(token)
