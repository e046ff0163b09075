import os
import secrets

import pytest
from delivery import Instance

SCRIPT = "start_docker.sh"
LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
USERNAME, PASSWORD = LOGIN
ODD = {
    "plain": "abc",
    "dollars": "$HOME $(id) `id`",
    "quotes": 'it\'s "quoted" \\ and \\n',
    "equals": "a=b==",
    "spaces": "two  words *",
    "options": "-n -e",
    "lines": "one\ntwo",
    "letters": "Grüße",
}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")


def secret_of(instance: Instance) -> str:
    """Put a secret into the Parameter Store and return it."""
    secret = secrets.token_urlsafe(24)
    instance.reads(PASSWORD, "ssm:/carprice/mlflow-password")
    instance.answers("aws ssm get-parameter", f"{secret}\n")
    return secret


@pytest.mark.usefixtures("ecr_password")
def test_the_old_container_goes_when_all_else_is_there(instance: Instance) -> None:
    secret_of(instance)
    instance.succeeds(SCRIPT)
    steps = [step for step in instance.order if not step.startswith("chown")]
    first = steps.index("docker pull " + str(instance.settings["IMAGE"]))
    assert steps[first + 1 :] == ["aws ssm get-parameter", "docker stop", "docker rm", "docker run"]
    (stopped,) = instance.called("docker stop")
    (removed,) = instance.called("docker rm")
    assert stopped.words == ["stop", "-t", "30", "carprice"]
    assert removed.words == ["rm", "--force", "carprice"]


@pytest.mark.usefixtures("ecr_password")
@pytest.mark.parametrize("failing", ["aws ecr", "docker login", "docker pull", "aws ssm",
                                     "aws secretsmanager"])  # fmt: skip
def test_the_old_container_stays_when_something_fails(instance: Instance, failing: str) -> None:
    secret_of(instance)
    instance.reads(USERNAME, "secretsmanager:carprice")
    instance.answers("aws secretsmanager", "me\n")
    instance.succeeds(SCRIPT)
    kept = (instance.secrets / PASSWORD).read_text()
    before = len(instance.calls)

    instance.answers(failing, code=1, error="denied\n")
    instance.fails(1, [], SCRIPT)
    for call in instance.calls[before:]:
        assert call.words[0] not in ("stop", "rm", "run")
    assert (instance.secrets / PASSWORD).read_text() == kept
    assert [path.name for path in instance.secrets.parent.iterdir()] == ["secrets"]


@pytest.mark.parametrize("source", ["ssm:/carprice/password", "secretsmanager:carprice/token"])
@pytest.mark.parametrize(("text", "code"), [("", 254), ("", 0), ("\n", 0), ("None\n", 0)])
def test_a_secret_that_cannot_be_read_or_has_no_text(
    instance: Instance, source: str, text: str, code: int
) -> None:
    instance.reads(PASSWORD, source)
    instance.answers("aws", text, code=code, error="AccessDeniedException\n")
    told = f"the secret {source} has no text or cannot be read"
    instance.fails(1, ["AccessDeniedException", told], SCRIPT)
    assert instance.called("docker run") == []


@pytest.mark.parametrize("source", ["", "ssm:", "secretsmanager:", "vault:/x", "/carprice/x"])
def test_an_unknown_source_leaves_no_secret(instance: Instance, source: str) -> None:
    secret = secret_of(instance)
    instance.reads("CARPRICE_API_KEYS", source)
    told = f"'{source}' names no secret; write ssm:/name or secretsmanager:id"
    done = instance.fails(2, [told], SCRIPT)
    assert instance.called("docker stop") == []
    instance.never_shows(secret, done)
    assert [path for path in instance.secrets.parent.rglob("*") if path.is_file()] == []


def test_both_sources_are_asked_with_the_bundles_region(instance: Instance) -> None:
    instance.reads(USERNAME, "ssm:/carprice/user")
    instance.reads(PASSWORD, "secretsmanager:carprice/token")
    instance.answers("aws", "x\n")
    instance.succeeds(SCRIPT)
    first, second = instance.called("aws")
    assert str(first).startswith(
        "aws ssm get-parameter --region xx-test-1 --name /carprice/user --with-decryption "
        "--query Parameter.Value --output text"
    )
    assert str(second).startswith(
        "aws secretsmanager get-secret-value --region xx-test-1 --secret-id carprice/token "
        "--query SecretString --output text"
    )
    for asked in (first, second):  # not for as long as it likes
        assert "--cli-connect-timeout 5 --cli-read-timeout 10" in str(asked)
        assert asked.environment["AWS_MAX_ATTEMPTS"] == "2"


@pytest.mark.parametrize("form", ODD.values(), ids=ODD)
@pytest.mark.parametrize("source", ["ssm:/x", "secretsmanager:x"])
def test_a_secret_arrives_whole_and_is_seen_nowhere(
    instance: Instance, form: str, source: str
) -> None:
    part = secrets.token_urlsafe(24)
    secret = f"{form}{part}{form}"
    instance.reads(PASSWORD, source)
    instance.answers("aws", f"{secret}\n")
    done = instance.succeeds(SCRIPT)
    found = instance.secrets / PASSWORD
    assert found.read_text(encoding="utf-8") == f"{secret}\n"
    instance.never_shows(part, done)
    assert part not in "".join(call.input for call in instance.calls)


def test_only_the_containers_user_can_read_them(instance: Instance) -> None:
    secret_of(instance)
    instance.succeeds(SCRIPT)
    found = instance.secrets / PASSWORD
    assert found.stat().st_mode & 0o7777 == 0o400
    assert instance.secrets.stat().st_mode & 0o7777 == 0o500
    if os.geteuid() == 0:
        for path in (found, instance.secrets, instance.state / "models"):
            assert (path.stat().st_uid, path.stat().st_gid) == (10001, 10001)
    else:
        (given,) = instance.called("chown")
        assert given.words[:2] == ["-R", "10001:10001"]


def test_the_container_may_do_next_to_nothing(instance: Instance) -> None:
    instance.settings |= {"PORT": 8123, "CARPRICE_MODEL_NAME": "cars", "WEB_CONCURRENCY": 2,
                          "CARPRICE_CORS_ORIGINS": "https://a.example.org, https://b",
                          "FORWARDED_ALLOW_IPS": "10.0.0.0/8"}  # fmt: skip
    instance.reads(PASSWORD, "ssm:/x")
    instance.answers("aws", "x\n")
    instance.succeeds(SCRIPT)
    (run,) = instance.called("docker run")
    words = str(run)
    for part in (
        "--detach", "--name carprice", "--publish 8123:8123", "--read-only", "--cap-drop all",
        "--security-opt no-new-privileges", "--tmpfs /tmp:", "--restart unless-stopped",
        f"--volume {instance.state}/models:/var/lib/carprice/models",
        f"--mount type=bind,source={instance.secrets},target=/run/secrets,readonly",
    ):  # fmt: skip
        assert part in words
    assert "--privileged" not in words
    assert "host" not in words
    given = {run.words[i + 1] for i, word in enumerate(run.words) if word == "--env"}
    assert given == {
        "PORT=8123",
        "MLFLOW_TRACKING_URI=https://mlflow.example.org",
        "CARPRICE_MODEL_NAME=cars",
        "CARPRICE_CORS_ORIGINS=https://a.example.org, https://b",
        "WEB_CONCURRENCY=2",
        "FORWARDED_ALLOW_IPS=10.0.0.0/8",
    }
    assert run.words[-1] == instance.settings["IMAGE"]


def test_what_is_to_be_kept_has_a_folder_of_the_machine(instance: Instance) -> None:
    instance.succeeds(SCRIPT)
    (without,) = instance.called("docker run")
    assert without.words.count("--volume") == 1
    assert [path.name for path in instance.state.iterdir()] == ["models"]

    instance.settings["CARPRICE_PREDICTION_LOG"] = "s3://cars/predictions"
    instance.settings["CARPRICE_MONITORING"] = "s3://cars/predictions/monitoring.json"
    instance.reads("CARPRICE_OUTCOMES", "ssm:/carprice/outcomes")
    instance.answers("aws", "/var/lib/carprice/outcomes\n")
    instance.succeeds(SCRIPT)
    run = instance.called("docker run")[-1]
    mounted = {run.words[i + 1] for i, word in enumerate(run.words) if word == "--volume"}
    names = ("models", "prediction-log", "outcomes")
    assert mounted == {f"{instance.state}/{name}:/var/lib/carprice/{name}" for name in names}
    assert "CARPRICE_PREDICTION_LOG=s3://cars/predictions" in run.words
    assert "CARPRICE_MONITORING=s3://cars/predictions/monitoring.json" in run.words
    for name in names:
        found = (instance.state / name).stat()
        assert os.geteuid() or (found.st_uid, found.st_gid) == (10001, 10001)


def test_a_login_in_the_registrys_address_is_refused(instance: Instance) -> None:
    part = secrets.token_urlsafe(24)
    instance.settings["MLFLOW_TRACKING_URI"] = f"https://me:{part}@mlflow.example.org"
    done = instance.fails(
        2, ["MLFLOW_TRACKING_URI must hold no login", f"SECRET_{PASSWORD}"], SCRIPT
    )
    instance.never_shows(part, done)
    assert instance.calls == []


def test_a_container_that_cannot_start(instance: Instance) -> None:
    instance.answers("docker run", code=125, error="port is already allocated\n")
    instance.fails(1, ["already allocated", "the container does not start"], SCRIPT)


@as_root
def test_the_second_time_gives_the_same_and_a_secret_wanted_no_more_is_gone(
    instance: Instance,
) -> None:
    secret_of(instance)
    instance.reads(USERNAME, "ssm:/carprice/user")

    def found() -> dict[str, tuple[int, int, bytes]]:
        return {
            path.name: (path.stat().st_mode, path.stat().st_uid, path.read_bytes())
            for path in instance.secrets.iterdir()
        }

    instance.succeeds(SCRIPT)
    first, calls = found(), [str(call) for call in instance.calls]
    instance.succeeds(SCRIPT)
    assert found() == first
    assert [str(call) for call in instance.calls] == 2 * calls
    del instance.settings[f"SECRET_{PASSWORD}"]
    instance.succeeds(SCRIPT)
    assert list(found()) == [USERNAME]
