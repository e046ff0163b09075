"""release.sh, bundle.sh, rollout.sh and rollback.sh, with stand-ins for what they call."""

import json
import re
import secrets
import tarfile

import pytest
from delivery import Desk

DIGEST = f"sha256:{secrets.token_hex(32)}"
BASE_DIGEST = f"sha256:{secrets.token_hex(32)}"
REPOSITORY = "registry.example.org/team/carprice"
IMAGE = f"{REPOSITORY}@{DIGEST}"
NAMED = ("--image", IMAGE, "--model-version", "7")
BUNDLE = "s3://bundles/carprice/carprice-7.tgz"
GROUP = {
    "CODEDEPLOY_APPLICATION": "cars",
    "CODEDEPLOY_GROUP": "production",
    "AWS_REGION": "xx-test-1",
    "POLL_SECONDS": "0",
}
STATUS, COUNTS = "imageScanStatus.status", "imageScanFindings.findingSeverityCounts"
SHIPPING = {
    "AWS_REGION": "xx-test-1",
    "BUNDLE_BUCKET": "bundles/carprice/",
    "MLFLOW_TRACKING_URI": "https://mlflow.example.org",
}


@pytest.fixture
def registry(desk: Desk) -> str:
    """An image registry without the commit's image, whose scans find nothing; its password."""
    password = secrets.token_urlsafe(40)
    desk.environment |= {"IMAGE_REPOSITORY": REPOSITORY, "AWS_REGION": "xx-test-1"}
    desk.answers("aws ecr describe-images", code=254, error="ImageNotFoundException")
    desk.answers("aws ecr get-login-password", f"{password}\n")
    desk.answers("aws ecr describe-image-scan-findings", "None\n")
    scanned(desk, STATUS, "COMPLETE")
    desk.answers("podman push", writes={"--digestfile": DIGEST})
    desk.answers("podman image inspect", f"{BASE_DIGEST}\n")
    return password


def scanned(desk: Desk, query: str, text: str) -> None:
    desk.answers(
        "aws ecr describe-image-scan-findings --region xx-test-1 --repository-name team/carprice "
        f"--image-id imageDigest={DIGEST} --query {query}",
        f"{text}\n",
    )


@pytest.mark.parametrize(
    "script",
    [
        "release.sh",
        "bundle.sh",
        "rollout.sh",
        "rollback.sh",
        "scan.sh",
        "base_image.sh",
        "install_training.sh",
    ],
)
def test_help_tells_what_a_script_does_and_an_unknown_argument_is_refused(
    desk: Desk, script: str
) -> None:
    done = desk.succeeds(script, "--help")
    assert done.stdout.startswith(script)
    assert "Environment:" in done.stdout
    desk.fails(2, ["'--fast'"], script, "--fast")
    assert desk.calls == []


def test_built_scanned_and_tagged_in_this_order(desk: Desk, registry: str) -> None:
    done = desk.succeeds("release.sh", "--", "--pull=never")
    assert done.stdout == f"{IMAGE}\n"
    tag = f"{REPOSITORY}:{desk.commit}"
    (build,) = desk.called("podman build")
    assert build.words[-2:] == ["--pull=never", "."]
    assert f"REVISION={desk.commit}" in build.words
    pushes = [call.words[-1] for call in desk.called("podman push")]
    assert pushes == [f"docker://{tag}-unscanned", f"docker://{tag}"]
    whole = [str(call) for call in desk.calls]
    scan = next(i for i, call in enumerate(whole) if "imageScanStatus" in call)
    first, last = (i for i, call in enumerate(whole) if call.startswith("podman push"))
    assert first < scan < last
    (login,) = desk.called("podman login")
    assert login.input == f"{registry}\n"
    assert login.words[-1] == "registry.example.org"
    # With hundreds of findings each page of the answer has the status, and a count or none.
    asked = desk.called("aws ecr describe-image-scan-findings")
    assert len(asked) >= 2
    assert all("--no-paginate" in call.words for call in asked)
    desk.never_shows(registry, done)
    assert list(desk.temporary.iterdir()) == []


@pytest.mark.usefixtures("registry")
def test_the_base_image_is_named_by_its_digest(desk: Desk) -> None:
    (name,) = re.findall(
        r"^ARG BASE=(\S+)$", (desk.project / "Dockerfile").read_text(), re.MULTILINE
    )

    def base(*options: str) -> str:
        desk.succeeds("release.sh", "--allow-dirty", "--", *options)
        words = desk.called("podman build")[-1].words
        (found,) = (word.removeprefix("BASE=") for word in words if word.startswith("BASE="))
        return found

    assert base() == f"{name}@{BASE_DIGEST}"
    assert base("--build-arg", "BASE=localhost/stand-in") == "localhost/stand-in"
    locked = f"{name}@sha256:{7:064d}"
    lock = desk.project / "deploy" / "base_image.txt"
    lock.write_text(f"{locked}\n")
    desk.fails(2, ["differ from commit", "--allow-dirty"], "release.sh")
    pulled = len(desk.called("podman pull"))
    assert base() == locked
    assert len(desk.called("podman pull")) == pulled == 1
    assert desk.succeeds("base_image.sh", "--now").stdout == f"{name}@{BASE_DIGEST}\n"
    for wrong in (name, f"{name}@sha256:12", f"docker.io/library/other:1@sha256:{7:064d}"):
        lock.write_text(wrong)
        desk.fails(2, ["base_image.txt" if "other" in wrong else "is named as"], "base_image.sh")


def test_an_image_that_was_scanned_before_is_not_built_again(desk: Desk, registry: str) -> None:
    desk.answers("aws ecr describe-images", f"{DIGEST}\n")
    done = desk.succeeds("release.sh")
    assert done.stdout == f"{IMAGE}\n"
    (asked,) = desk.calls
    assert f"imageTag={desk.commit}" in asked.words


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("query", "text", "variables", "told"),
    [
        (f"{COUNTS}.CRITICAL", "2", {}, "the scan found 2 vulnerabilities of severity CRITICAL"),
        (f"{COUNTS}.HIGH", "1", {}, ""),
        (f"{COUNTS}.HIGH", "1", {"SCAN_REFUSES": "CRITICAL HIGH"}, "severity HIGH"),
        (STATUS, "FAILED", {}, "the image was not scanned: FAILED"),
        (STATUS, "UNSUPPORTED_IMAGE", {}, "the image was not scanned: UNSUPPORTED_IMAGE"),
        (STATUS, "IN_PROGRESS", {"SCAN_SECONDS": "0"}, "IN_PROGRESS"),
    ],
)
def test_a_scan_that_refuses_keeps_the_commits_tag_away(
    desk: Desk, query: str, text: str, variables: dict[str, str], told: str
) -> None:
    scanned(desk, query, text)
    done = desk.fails(1 if told else 0, [told], "release.sh", **variables)
    assert done.stdout == ("" if told else f"{IMAGE}\n")
    pushes = [call.words[-1] for call in desk.called("podman push")]
    assert [push.endswith("-unscanned") for push in pushes] == ([True] if told else [True, False])


@pytest.mark.usefixtures("registry")
def test_only_what_is_committed_is_released(desk: Desk) -> None:
    dockerfile = desk.project / "Dockerfile"
    dockerfile.write_text("ARG BASE=example.org/base:1\nFROM $BASE\n")
    desk.fails(2, ["the image's files differ from commit"], "release.sh")
    assert desk.calls == []
    desk.succeeds("release.sh", "--allow-dirty")
    assert desk.called("podman push")[-1].words[-1].endswith(f"{desk.commit}-dirty")


@pytest.mark.usefixtures("registry")
def test_a_baked_model_is_in_the_tag(desk: Desk) -> None:
    desk.fails(2, ["models/none is not a model folder"], "release.sh", "--model", "models/none")
    folder = desk.project / "models" / "some"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    desk.succeeds("release.sh", "--model", "models/some")
    assert "MODEL=models/some" in desk.called("podman build")[0].words
    # The start of the SHA-256 of {}.
    assert desk.called("podman push")[-1].words[-1].endswith(f"{desk.commit}-44136fa355b3")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("line", "has_log"),
    [
        ("CARPRICE_PREDICTION_LOG=s3://cars/predictions", True),
        ("SECRET_CARPRICE_OUTCOMES=ssm:/carprice/outcomes", True),
        ("CARPRICE_MONITORING=s3://cars/predictions/monitoring.json", True),
        ("CARPRICE_PREDICTION_LOG=", False),
        ("# CARPRICE_PREDICTION_LOG=s3://cars/predictions", False),
        ("CARPRICE_PREDICTION_LOG_DAYS=30", False),
    ],
)
def test_an_image_for_a_log_has_what_it_needs_and_a_tag_of_its_own(
    desk: Desk, line: str, has_log: bool
) -> None:
    with (desk.project / "deploy" / "service.env").open("a") as settings:
        settings.write(f"{line}\n")
    desk.succeeds("release.sh")
    (build,) = desk.called("podman build")
    assert ("PREDICTION_LOG=yes" in build.words) == has_log
    tag = f":{desk.commit}-log" if has_log else f":{desk.commit}"
    assert desk.called("podman push")[-1].words[-1].endswith(tag)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("failing", "told"),
    [
        ("aws ecr describe-images", "ECR does not tell whether it has"),
        *((step, "") for step in ("podman build", "aws ecr get-login-password", "podman push")),
    ],
)
def test_a_step_that_fails_ends_it(desk: Desk, failing: str, told: str) -> None:
    desk.answers(failing, code=125, error="no such luck")
    done = desk.run("release.sh")
    assert done.returncode != 0
    assert "no such luck" in done.stderr
    assert told in done.stderr
    assert done.stdout == ""
    assert str(desk.calls[-1]).startswith(failing) or failing == "aws ecr get-login-password"
    assert list(desk.temporary.iterdir()) == []


@pytest.mark.parametrize("missing", ["IMAGE_REPOSITORY", "AWS_REGION"])
@pytest.mark.usefixtures("registry")
def test_a_variable_that_is_not_set(desk: Desk, missing: str) -> None:
    desk.environment.pop(missing)
    desk.fails(2, [f"export {missing}="], "release.sh")


def test_the_bundle_has_all_that_an_instance_needs(desk: Desk) -> None:
    desk.environment |= {**SHIPPING, "LOG_GROUP": "/cars"}
    out = desk.temporary.parent / "bundle.tgz"
    done = desk.succeeds("bundle.sh", *NAMED, "--out", str(out))
    assert done.stdout == f"{out}\n"
    with tarfile.open(out) as bundle:
        members = {member.name: member for member in bundle.getmembers()}
        settings = bundle.extractfile("./image.env").read().decode().splitlines()  # type: ignore[union-attr]
        asked = bundle.extractfile("./known_listing.json").read()  # type: ignore[union-attr]
    assert {name for name in members if members[name].isfile()} == {
        *("./appspec.yml", "./image.env", "./known_listing.json"),
        *(f"./deploy/scripts/{path.name}" for path in (desk.project / "deploy/scripts").iterdir()),
    }
    for hook in re.findall(r"location: (\S+)", (desk.project / "appspec.yml").read_text("utf-8")):
        assert members[f"./{hook}"].mode & 0o555 == 0o555
    assert {f"IMAGE={IMAGE}", "MODEL_VERSION=7", "LOG_GROUP=/cars"} <= set(settings)
    scripts = "".join(path.read_text("utf-8") for path in (desk.scripts / "scripts").iterdir())
    wanted = set(re.findall(r"\((?:setting|amount) ([A-Z_]+)\)", scripts))
    assert wanted <= {line.partition("=")[0] for line in settings}
    assert json.loads(asked)["make"]
    assert desk.calls == []


def test_a_bundle_never_takes_anothers_place(desk: Desk) -> None:
    desk.environment |= SHIPPING
    done = desk.succeeds("bundle.sh", *NAMED)
    (copied,) = desk.called("aws s3 cp")
    address = done.stdout.strip()
    assert copied.words[-1] == address
    start = f"s3://bundles/carprice/carprice-{DIGEST[7:19]}-model-7-2"
    assert address.startswith(start)
    assert address.endswith("Z.tgz")


@pytest.mark.parametrize(
    ("words", "lacking", "told"),
    [
        (("--image", REPOSITORY, "--model-version", "7"), "", "REGISTRY/REPOSITORY@sha256:DIGEST"),
        (("--image", IMAGE, "--model-version", "latest"), "", "found 'latest'"),
        (("--image", IMAGE, "--model-version"), "", "--model-version wants a value"),
        (("--image", IMAGE), "", "--model-version wants a version's number"),
        *((NAMED, name, f"export {name}=") for name in sorted(SHIPPING)),
    ],
)
def test_a_bundle_of_nothing_that_can_be_named(
    desk: Desk, words: tuple[str, ...], lacking: str, told: str
) -> None:
    desk.environment |= {key: text for key, text in SHIPPING.items() if key != lacking}
    desk.fails(2, [told], "bundle.sh", *words)
    assert desk.calls == []


def test_a_bad_setting_stops_the_bundle(desk: Desk) -> None:
    desk.environment |= SHIPPING
    (desk.project / "deploy" / "service.env").write_text("COLOUR=red\n")
    desk.fails(2, ["COLOUR is no setting of the service"], "bundle.sh", *NAMED)
    assert desk.calls == []


def rolling(desk: Desk, status: str) -> None:
    desk.environment |= GROUP
    desk.answers("aws deploy create-deployment", "d-1\n")
    desk.answers("aws deploy get-deployment", f"{status}\n")


def test_a_rollout_that_succeeds(desk: Desk) -> None:
    rolling(desk, "Succeeded")
    desk.succeeds("rollout.sh", BUNDLE)
    (created,) = desk.called("aws deploy create-deployment")
    assert "bucket=bundles,key=carprice/carprice-7.tgz,bundleType=tgz" in created.words
    assert created.words[created.words.index("--application-name") + 1] == "cars"
    assert created.words[created.words.index("--deployment-group-name") + 1] == "production"


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_rollout_that_fails_shows_the_hook_also_beside_an_instance_that_is_gone(
    desk: Desk, status: str
) -> None:
    rolling(desk, status)
    desk.answers("aws deploy list-deployment-targets", "i-1\ti-2\n")
    desk.answers("aws deploy get-deployment-target", code=254, error="DoesNotExist")
    told = "i-2\tApplicationStart\tdeploy/scripts/wait_for_health.sh\tScriptFailed"
    desk.answers("aws deploy get-deployment-target --deployment-id d-1 --target-id i-2", told)
    script = "ApplicationStart\ndeploy/scripts/wait_for_health.sh\nScriptFailed"
    desk.fails(1, [script, f"d-1 {status}; what served before serves on"], "rollout.sh", BUNDLE)
    asked = desk.called("aws deploy get-deployment-target")
    assert [call.words[call.words.index("--target-id") + 1] for call in asked] == ["i-1", "i-2"]


@pytest.mark.parametrize(
    ("code", "told"),
    [(0, "stopped d-1: not done after 0 s"), (254, "d-1 goes on, for it could not be stopped")],
)
def test_a_rollout_that_does_not_end_is_stopped_if_that_can_be(
    desk: Desk, code: int, told: str
) -> None:
    rolling(desk, "InProgress")
    desk.answers("aws deploy stop-deployment", code=code)
    desk.fails(1, [told], "rollout.sh", BUNDLE, ROLLOUT_SECONDS="0")
    (stopped,) = desk.called("aws deploy stop-deployment")
    assert "--auto-rollback-enabled" in stopped.words


def test_a_rollout_that_codedeploy_refuses(desk: Desk) -> None:
    rolling(desk, "Succeeded")
    desk.answers("aws deploy create-deployment", code=255, error="DeploymentLimitExceeded")
    done = desk.run("rollout.sh", BUNDLE)
    assert done.returncode != 0
    assert "DeploymentLimitExceeded" in done.stderr
    assert desk.called("aws deploy get-deployment") == []


@pytest.mark.parametrize("address", ["bundle.tgz", "s3://bundles", "s3:///key"])
def test_what_is_no_bundles_address(desk: Desk, address: str) -> None:
    desk.environment |= GROUP
    desk.fails(2, [f"(found '{address}')"], "rollout.sh", address)


@pytest.mark.parametrize("version", ["6", "7"])
def test_rolled_back_in_the_registry_and_on_the_instances(desk: Desk, version: str) -> None:
    rolling(desk, "Succeeded")
    desk.environment |= SHIPPING
    status = [{"number": 6, "aliases": []}, {"number": 7, "aliases": ["production"]}]
    desk.answers("carprice status", json.dumps(status))
    words = ("--image", IMAGE, "--model-version", version, "--why", "it's too dear")
    desk.succeeds("rollback.sh", *words)
    rolled = [call.words for call in desk.called("carprice rollback")]
    there = ["rollback", "--to", version, "--why", "it's too dear"]
    assert rolled == ([] if version == "7" else [there])
    (copied,) = desk.called("aws s3 cp")
    (created,) = desk.called("aws deploy create-deployment")
    assert copied.words[-1].removeprefix("s3://bundles/") in str(created)


def test_a_rollback_starts_although_an_alarm_is_on(desk: Desk) -> None:
    """CodeDeploy refuses a deployment while an alarm of its group is on."""
    rolling(desk, "Succeeded")
    desk.environment |= SHIPPING
    desk.answers("carprice status", json.dumps([{"number": 7, "aliases": ["production"]}]))
    desk.succeeds("rollback.sh", *NAMED, "--why", "x")
    desk.succeeds("rollout.sh", BUNDLE)
    back, usual = desk.called("aws deploy create-deployment")
    assert "--override-alarm-configuration enabled=false" in str(back)
    assert "alarm" not in str(usual)


@pytest.mark.parametrize("failing", ["carprice status", "carprice rollback", "aws s3 cp"])
def test_a_rollback_that_fails_goes_no_further(desk: Desk, failing: str) -> None:
    rolling(desk, "Succeeded")
    desk.environment |= SHIPPING
    desk.answers("carprice status", "[]")
    desk.answers(failing, code=1, error="no such luck")
    desk.fails(1, ["no such luck"], "rollback.sh", *NAMED, "--why", "x")
    assert desk.called("aws deploy") == []


def test_a_rollback_has_a_reason(desk: Desk) -> None:
    desk.fails(2, ["--why wants the reason"], "rollback.sh", *NAMED)


@pytest.mark.parametrize("bucket", ["cars/carprice", "cars/carprice/bundles/", "cars"])
def test_bundles_do_not_lie_among_the_listings(desk: Desk, bucket: str) -> None:
    config = desk.project / ".dvc" / "config"
    config.parent.mkdir(exist_ok=True)
    config.write_text("['remote \"storage\"']\n    url = s3://cars/carprice\n")
    told = ["s3://cars/carprice, lie in each other", "carprice-bundles"]
    desk.fails(2, told, "bundle.sh", *NAMED, **{**SHIPPING, "BUNDLE_BUCKET": bucket})
    assert desk.called("aws s3 cp") == []
    desk.succeeds("bundle.sh", *NAMED, **{**SHIPPING, "BUNDLE_BUCKET": "cars/carprice-bundles"})
