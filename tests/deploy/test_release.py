"""release.sh, bundle.sh, rollout.sh and rollback.sh, with stand-ins for what they call."""

import json
import secrets
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Desk

DIGEST = f"sha256:{secrets.token_hex(32)}"
REPOSITORY = "registry.example.org/team/carprice"
IMAGE = f"{REPOSITORY}@{DIGEST}"
BUNDLE = "s3://bundles/carprice/carprice-7.tgz"
GROUP = {
    "CODEDEPLOY_APPLICATION": "cars",
    "CODEDEPLOY_GROUP": "production",
    "AWS_REGION": "xx-test-1",
    "POLL_SECONDS": "0",
}
SHIPPING = {
    "AWS_REGION": "xx-test-1",
    "BUNDLE_BUCKET": "bundles/carprice/",
    "MLFLOW_TRACKING_URI": "https://mlflow.example.org",
}


@pytest.fixture
def registry(desk: "Desk") -> str:
    """An image registry without the commit's image, whose scans find nothing; its password."""
    password = secrets.token_urlsafe(40)
    desk.environment |= {"IMAGE_REPOSITORY": REPOSITORY, "AWS_REGION": "xx-test-1"}
    desk.answers("aws ecr describe-images", code=254, error="ImageNotFoundException")
    desk.answers("aws ecr get-login-password", f"{password}\n")
    desk.answers("aws ecr describe-image-scan-findings", "None\n")
    scanned(desk, "COMPLETE")
    desk.answers("podman push", writes={"--digestfile": DIGEST})
    return password


def scanned(desk: "Desk", state: str, *, code: int = 0) -> None:
    desk.answers(
        "aws ecr describe-image-scan-findings --region xx-test-1 --repository-name team/carprice "
        f"--image-id imageDigest={DIGEST} --query imageScanStatus.status",
        state,
        code=code,
    )


def found(desk: "Desk", severity: str, count: int) -> None:
    desk.answers(
        "aws ecr describe-image-scan-findings --region xx-test-1 --repository-name team/carprice "
        f"--image-id imageDigest={DIGEST} --query "
        f"imageScanFindings.findingSeverityCounts.{severity}",
        f"{count}\n",
    )


@pytest.mark.parametrize("script", ["release.sh", "bundle.sh", "rollout.sh", "rollback.sh"])
def test_help_tells_what_a_script_does(desk: "Desk", script: str) -> None:
    done = desk.succeeds(script, "--help")
    assert done.stdout.startswith(script)
    assert "Environment:" in done.stdout
    assert desk.calls == []


@pytest.mark.parametrize("script", ["release.sh", "bundle.sh", "rollout.sh", "rollback.sh"])
def test_an_unknown_argument(desk: "Desk", script: str) -> None:
    desk.fails(2, ["'--fast'"], script, "--fast")


def test_built_scanned_and_tagged_in_this_order(desk: "Desk", registry: str) -> None:
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
    desk.never_shows(registry, done)
    assert list(desk.temporary.iterdir()) == []


def test_the_scan_is_asked_for_once_and_not_page_by_page(desk: "Desk", registry: str) -> None:
    """With hundreds of findings each page of the answer has the status, and a count or none."""
    desk.succeeds("release.sh")
    asked = desk.called("aws ecr describe-image-scan-findings")
    assert len(asked) >= 2
    assert all("--no-paginate" in call.words for call in asked)


def test_a_registry_that_does_not_tell_is_not_one_without_the_image(
    desk: "Desk", registry: str
) -> None:
    desk.answers("aws ecr describe-images", code=254, error="AccessDeniedException")
    desk.fails(1, ["ECR does not tell whether it has", "AccessDeniedException"], "release.sh")
    assert desk.called("podman build") == []


def test_an_image_that_was_scanned_before_is_not_built_again(desk: "Desk", registry: str) -> None:
    desk.answers("aws ecr describe-images", f"{DIGEST}\n")
    done = desk.succeeds("release.sh")
    assert done.stdout == f"{IMAGE}\n"
    (asked,) = desk.calls
    assert f"imageTag={desk.commit}" in asked.words


@pytest.mark.usefixtures("registry")
def test_vulnerabilities_keep_the_commits_tag_away(desk: "Desk") -> None:
    found(desk, "CRITICAL", 2)
    done = desk.fails(1, ["the scan found 2 vulnerabilities of severity CRITICAL"], "release.sh")
    assert done.stdout == ""
    (push,) = desk.called("podman push")
    assert push.words[-1].endswith("-unscanned")


@pytest.mark.usefixtures("registry")
def test_what_the_scan_refuses_is_set(desk: "Desk") -> None:
    found(desk, "HIGH", 1)
    desk.succeeds("release.sh")
    desk.fails(1, ["severity HIGH"], "release.sh", SCAN_REFUSES="CRITICAL HIGH")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("state", ["FAILED", "UNSUPPORTED_IMAGE"])
def test_an_image_that_cannot_be_scanned(desk: "Desk", state: str) -> None:
    scanned(desk, state)
    desk.fails(1, [f"the image was not scanned: {state}"], "release.sh")


@pytest.mark.usefixtures("registry")
def test_a_scan_is_not_waited_for_without_end(desk: "Desk") -> None:
    scanned(desk, "IN_PROGRESS")
    desk.fails(1, ["IN_PROGRESS"], "release.sh", SCAN_SECONDS="0")


@pytest.mark.usefixtures("registry")
def test_only_what_is_committed_is_released(desk: "Desk") -> None:
    dockerfile = desk.project / "Dockerfile"
    dockerfile.write_text("FROM scratch\n")
    desk.fails(2, ["the image's files differ from commit"], "release.sh")
    assert desk.calls == []
    desk.succeeds("release.sh", "--allow-dirty")
    assert desk.called("podman push")[-1].words[-1].endswith(f"{desk.commit}-dirty")


@pytest.mark.usefixtures("registry")
def test_a_baked_model_is_in_the_tag(desk: "Desk") -> None:
    desk.fails(2, ["models/none is not a model folder"], "release.sh", "--model", "models/none")
    folder = desk.project / "models" / "some"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    desk.succeeds("release.sh", "--model", "models/some")
    assert "MODEL=models/some" in desk.called("podman build")[0].words
    # The start of the SHA-256 of {}.
    assert desk.called("podman push")[-1].words[-1].endswith(f"{desk.commit}-44136fa355b3")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("failing", ["podman build", "aws ecr get-login-password", "podman push"])
def test_a_step_that_fails_ends_it(desk: "Desk", failing: str) -> None:
    desk.answers(failing, code=125, error="no such luck")
    done = desk.run("release.sh")
    assert done.returncode != 0
    assert "no such luck" in done.stderr
    assert done.stdout == ""
    assert list(desk.temporary.iterdir()) == []


@pytest.mark.parametrize("missing", ["IMAGE_REPOSITORY", "AWS_REGION"])
@pytest.mark.usefixtures("registry")
def test_a_variable_that_is_not_set(desk: "Desk", missing: str) -> None:
    desk.environment.pop(missing)
    desk.fails(2, [f"export {missing}="], "release.sh")


def test_the_bundle_has_all_that_an_instance_needs(desk: "Desk") -> None:
    desk.environment |= SHIPPING
    out = desk.temporary.parent / "bundle.tgz"
    done = desk.succeeds("bundle.sh", "--image", IMAGE, "--model-version", "7", "--out", str(out))
    assert done.stdout == f"{out}\n"
    with tarfile.open(out) as bundle:
        members = {member.name: member for member in bundle.getmembers()}
        settings = bundle.extractfile("./image.env").read().decode()  # type: ignore[union-attr]
        asked = bundle.extractfile("./known_listing.json").read()  # type: ignore[union-attr]
    assert {name for name in members if members[name].isfile()} == {
        *("./appspec.yml", "./image.env", "./known_listing.json"),
        *(f"./deploy/scripts/{path.name}" for path in (desk.project / "deploy/scripts").iterdir()),
    }
    assert members["./deploy/scripts/start_docker.sh"].mode & 0o100
    assert f"IMAGE={IMAGE}\n" in settings
    assert "MODEL_VERSION=7\n" in settings
    assert json.loads(asked)["make"]
    assert desk.calls == []


def test_a_bundle_never_takes_anothers_place(desk: "Desk") -> None:
    desk.environment |= SHIPPING
    done = desk.succeeds("bundle.sh", "--image", IMAGE, "--model-version", "7")
    (copied,) = desk.called("aws s3 cp")
    address = done.stdout.strip()
    assert copied.words[-1] == address
    start = f"s3://bundles/carprice/carprice-{DIGEST[7:19]}-model-7-2"
    assert address.startswith(start)
    assert address.endswith("Z.tgz")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--image", REPOSITORY, "--model-version", "7"), "REGISTRY/REPOSITORY@sha256:DIGEST"),
        (("--image", IMAGE, "--model-version", "latest"), "found 'latest'"),
        (("--image", IMAGE, "--model-version"), "--model-version wants a value"),
        (("--image", IMAGE), "--model-version wants a version's number"),
    ],
)
def test_a_bundle_of_nothing_that_can_be_named(
    desk: "Desk", words: tuple[str, ...], told: str
) -> None:
    desk.environment |= SHIPPING
    done = desk.fails(2, [], "bundle.sh", *words)
    assert told in done.stderr
    assert desk.calls == []


@pytest.mark.parametrize("missing", sorted(SHIPPING))
def test_a_bundle_without_its_settings(desk: "Desk", missing: str) -> None:
    desk.environment |= {key: text for key, text in SHIPPING.items() if key != missing}
    desk.fails(2, [f"export {missing}="], "bundle.sh", "--image", IMAGE, "--model-version", "7")


def test_a_bad_setting_stops_the_bundle(desk: "Desk") -> None:
    desk.environment |= SHIPPING
    (desk.project / "deploy" / "service.env").write_text("COLOUR=red\n")
    desk.fails(
        2,
        ["COLOUR is no setting of the service"],
        "bundle.sh",
        "--image",
        IMAGE,
        "--model-version",
        "7",
    )
    assert desk.calls == []


def rolling(desk: "Desk", status: str) -> None:
    desk.environment |= GROUP
    desk.answers("aws deploy create-deployment", "d-1\n")
    desk.answers("aws deploy get-deployment", f"{status}\n")


def test_a_rollout_that_succeeds(desk: "Desk") -> None:
    rolling(desk, "Succeeded")
    desk.succeeds("rollout.sh", BUNDLE)
    (created,) = desk.called("aws deploy create-deployment")
    assert "bucket=bundles,key=carprice/carprice-7.tgz,bundleType=tgz" in created.words
    assert created.words[created.words.index("--application-name") + 1] == "cars"
    assert created.words[created.words.index("--deployment-group-name") + 1] == "production"


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_rollout_that_fails_shows_the_hook(desk: "Desk", status: str) -> None:
    rolling(desk, status)
    desk.answers("aws deploy list-deployment-targets", "i-1\ti-2\n")
    told = "i-2\tApplicationStart\tdeploy/scripts/wait_for_health.sh\tScriptFailed"
    desk.answers("aws deploy get-deployment-target --deployment-id d-1 --target-id i-2", told)
    desk.fails(
        1,
        [
            "ApplicationStart\ndeploy/scripts/wait_for_health.sh\nScriptFailed",
            f"d-1 {status}; what served before serves on",
        ],
        "rollout.sh",
        BUNDLE,
    )
    asked = desk.called("aws deploy get-deployment-target")
    assert [call.words[call.words.index("--target-id") + 1] for call in asked] == ["i-1", "i-2"]


def test_an_instance_that_is_gone_does_not_hide_the_others(desk: "Desk") -> None:
    rolling(desk, "Failed")
    desk.answers("aws deploy list-deployment-targets", "i-1\ti-2\n")
    desk.answers("aws deploy get-deployment-target", code=254, error="DoesNotExist")
    told = "i-2\tValidateService"
    desk.answers("aws deploy get-deployment-target --deployment-id d-1 --target-id i-2", told)
    desk.fails(
        1, ["ValidateService", "d-1 Failed; what served before serves on"], "rollout.sh", BUNDLE
    )


def test_a_rollout_that_cannot_be_stopped_is_not_called_stopped(desk: "Desk") -> None:
    rolling(desk, "InProgress")
    desk.answers("aws deploy stop-deployment", code=254, error="ExpiredToken")
    desk.fails(
        1, ["d-1 goes on, for it could not be stopped"], "rollout.sh", BUNDLE, ROLLOUT_SECONDS="0"
    )


def test_a_rollout_that_does_not_end_is_stopped(desk: "Desk") -> None:
    rolling(desk, "InProgress")
    done = desk.fails(1, [], "rollout.sh", BUNDLE, ROLLOUT_SECONDS="0")
    (stopped,) = desk.called("aws deploy stop-deployment")
    assert "--auto-rollback-enabled" in stopped.words
    assert "stopped d-1: not done after 0 s" in done.stderr


def test_a_rollout_that_codedeploy_refuses(desk: "Desk") -> None:
    rolling(desk, "Succeeded")
    desk.answers("aws deploy create-deployment", code=255, error="DeploymentLimitExceeded")
    done = desk.run("rollout.sh", BUNDLE)
    assert done.returncode != 0
    assert "DeploymentLimitExceeded" in done.stderr
    assert desk.called("aws deploy get-deployment") == []


@pytest.mark.parametrize("address", ["bundle.tgz", "s3://bundles", "s3:///key"])
def test_what_is_no_bundles_address(desk: "Desk", address: str) -> None:
    desk.environment |= GROUP
    desk.fails(2, [f"(found '{address}')"], "rollout.sh", address)


@pytest.mark.parametrize("version", ["6", "7"])
def test_rolled_back_in_the_registry_and_on_the_instances(desk: "Desk", version: str) -> None:
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


@pytest.mark.parametrize(
    ("failing", "code"), [("carprice status", 1), ("carprice rollback", 1), ("aws s3 cp", 1)]
)
def test_a_rollback_that_fails_goes_no_further(desk: "Desk", failing: str, code: int) -> None:
    rolling(desk, "Succeeded")
    desk.environment |= SHIPPING
    desk.answers("carprice status", "[]")
    desk.answers(failing, code=code, error="no such luck")
    done = desk.run("rollback.sh", "--image", IMAGE, "--model-version", "6", "--why", "x")
    assert done.returncode == code
    assert "no such luck" in done.stderr
    assert desk.called("aws deploy") == []


def test_a_rollback_has_a_reason(desk: "Desk") -> None:
    desk.fails(
        2, ["--why wants the reason"], "rollback.sh", "--image", IMAGE, "--model-version", "6"
    )
