"""The service on ECS: its template on moto, the roles' rights, and the function that checks."""

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import ModuleType
from typing import Any

import cfnlint.decode.cfn_yaml
import pytest
from aws_account import ACCOUNT, REGION, AwsAccount, aws_account
from delivery import Service, free_port
from moto.ecs.models import Service as EcsService
from moto.ecs.models import ecs_backends
from moto.iam.aws_managed_policies import aws_managed_policies_data
from rights import PULLS, Policy, actions, arn, as_list, for_everything, may, rights_of
from web import serving

from api.environment import SECRETS
from api.gateway import HEALTH

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "ecs"
TEMPLATE = cfnlint.decode.cfn_yaml.load(FOLDER / "service.yaml")
GUIDE = (FOLDER / "README.md").read_text(encoding="utf-8")
KNOWN = (ROOT / "deploy" / "known_listing.json").read_text(encoding="utf-8")
IMAGES = [f"123456789012.dkr.ecr.us-east-1.amazonaws.com/carprice@sha256:{n:064d}" for n in (7, 8)]
HERE = "127.0.0.1"
ENTRIES = "entries"  # name of a parameter

pytestmark = pytest.mark.slow


# --- the stack --------------------------------------------------------------------------------


class Stacks:
    """The stacks that README.md's commands make, and what moto was told of the service."""

    def __init__(self, account: AwsAccount, service: list[dict[str, Any]]) -> None:
        self.account = account
        self.service = service
        self.given = {"MlflowTrackingUri": "https://mlflow.example.org", "KnownListing": KNOWN}
        self.there: set[str] = set()
        for name in ("storage", "network"):
            self.make(name, ROOT / "deploy" / "cloudformation" / f"{name}.yaml", {})
            self.given |= self.outputs(name)

    def make(self, name: str, path: Path, given: dict[str, str]) -> None:
        client = self.account.client("cloudformation")
        call = client.update_stack if name in self.there else client.create_stack
        call(
            StackName=f"carprice-{name}",
            TemplateBody=path.read_text(encoding="utf-8"),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        self.there.add(name)

    def deploy(self, **given: str) -> dict[str, str]:
        """As the README's function of that name does; return the outputs."""
        self.given |= given
        known = {key: value for key, value in self.given.items() if key in TEMPLATE["Parameters"]}
        self.make("ecs", FOLDER / "service.yaml", known)
        return self.outputs("ecs")

    def outputs(self, name: str) -> dict[str, str]:
        client = self.account.client("cloudformation")
        (stack,) = client.describe_stacks(StackName=f"carprice-{name}")["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

    def container(self) -> dict[str, Any]:
        """Return the container of the one task definition, from within moto.

        After an update that has a template's names for keys, which moto's answers leave out.
        """
        (active,) = self.account.client("ecs").list_task_definitions()["taskDefinitionArns"]
        family, _, revision = active.rpartition("/")[2].partition(":")
        known = ecs_backends[ACCOUNT][REGION].task_definitions[family]
        (container,) = known[int(revision)].container_definitions
        found = {key[0].lower() + key[1:]: value for key, value in container.items()}
        for key in ("environment", "secrets"):  # in which AWS::NoValue is None
            found[key] = [one for one in found[key] if one is not None]
        return found


@pytest.fixture
def stacks(no_aws_login: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stacks]:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "test")
    told: list[dict[str, Any]] = []
    create = EcsService.create_from_cloudformation_json

    def listening(name: str, content: Any, *words: Any, **more: Any) -> Any:
        told.append(content["Properties"])
        return create(name, content, *words, **more)

    monkeypatch.setattr(EcsService, "create_from_cloudformation_json", listening)
    with aws_account(monkeypatch) as account:
        yield Stacks(account, told)


def test_made_updated_and_removed(stacks: Stacks) -> None:
    """With next to nothing given, then a new image, then gone."""
    before = stacks.account.resources()
    made = stacks.deploy(Image=IMAGES[0], ModelVersion="7")
    assert stacks.container()["image"] == IMAGES[0]
    balancing = stacks.account.client("elbv2")
    (balancer,) = balancing.describe_load_balancers()["LoadBalancers"]
    assert balancer["DNSName"] == made["Address"]
    groups = balancing.describe_target_groups()["TargetGroups"]
    assert [
        (one["Port"], one["TargetType"], one["HealthCheckPath"], one["HealthCheckTimeoutSeconds"])
        for one in groups
    ] == [(8000, "ip", HEALTH[0], 3)] * 2
    (listener,) = balancing.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])[
        "Listeners"
    ]
    rules = {
        one["Priority"]: one
        for one in balancing.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    }
    (settings,) = stacks.service
    (balanced,) = settings["LoadBalancers"]
    more = balanced["AdvancedConfiguration"]
    assert {balanced["TargetGroupArn"], more["AlternateTargetGroupArn"]} == {
        one["TargetGroupArn"] for one in groups
    }
    assert rules["10"]["RuleArn"] == more["TestListenerRule"]  # asked before the other
    assert rules["20"]["RuleArn"] == more["ProductionListenerRule"]
    for priority in ("10", "20"):
        (action,) = rules[priority]["Actions"]
        weights = {
            one["TargetGroupArn"]: one["Weight"] for one in action["ForwardConfig"]["TargetGroups"]
        }
        assert weights == {balanced["TargetGroupArn"]: 100, more["AlternateTargetGroupArn"]: 0}
    functions = stacks.account.client("lambda")
    (function,) = functions.list_functions()["Functions"]
    (hook,) = settings["DeploymentConfiguration"]["LifecycleHooks"]
    assert hook["HookTargetArn"] == function["FunctionArn"]
    assert hook["RoleArn"] == more["RoleArn"] == made["DeploymentRoleArn"]
    told = function["Environment"]["Variables"]
    assert (told["BALANCER"], told["MODEL_VERSION"]) == (made["Address"], "7")
    assert json.loads(told["KNOWN_LISTING"]) == json.loads(KNOWN)

    again = stacks.deploy(Image=IMAGES[1], ModelVersion="8")
    assert again["TaskDefinition"] != made["TaskDefinition"]
    assert stacks.container()["image"] == IMAGES[1]  # and no other definition is there
    (function,) = functions.list_functions()["Functions"]
    assert function["Environment"]["Variables"]["MODEL_VERSION"] == "8"
    assert TEMPLATE["Resources"]["Service"]["Properties"]["TaskDefinition"] == {
        "Ref": "TaskDefinition"
    }

    stacks.account.client("cloudformation").delete_stack(StackName="carprice-ecs")
    assert stacks.account.resources() == before
    lacking = re.findall(r"`(AWS::\w+::\w+)`", GUIDE.partition("moto makes no")[2])
    assert stacks.account.skipped == {*lacking, "AWS::S3::BucketPolicy"}


@pytest.mark.parametrize(
    ("strategy", "steps"),
    [
        ("BLUE_GREEN", {}),
        ("CANARY", {"CanaryConfiguration": ["5", "10"]}),
        ("LINEAR", {"LinearConfiguration": ["5", "10"]}),
    ],
)
def test_the_strategy_is_a_parameter(
    stacks: Stacks, strategy: str, steps: dict[str, list[str]]
) -> None:
    given = {"Strategy": strategy, "StepPercent": "5", "Check": "no", "AllowedCidr": "10.0.0.0/8"}
    made = stacks.deploy(Image=IMAGES[0], **given)
    (settings,) = stacks.service
    told = {key: value for key, value in settings["DeploymentConfiguration"].items() if value}
    assert told.pop("Strategy") == strategy
    assert told["Alarms"]["Rollback"] is told["DeploymentCircuitBreaker"]["Rollback"] is True
    assert len(told["Alarms"]["AlarmNames"]) == 2
    found = {key: sorted(map(str, told[key].values()), key=len) for key in told.keys() & steps}
    assert found == steps
    assert "LifecycleHooks" not in told
    assert stacks.account.client("lambda").list_functions()["Functions"] == []
    assert "CheckRoleArn" not in made


def test_with_all_that_can_be_chosen_no_role_may_do_too_much(stacks: Stacks) -> None:
    """With TLS, keys and a prediction log."""
    issued = stacks.account.client("acm").request_certificate(DomainName="a.example.org")
    made = stacks.deploy(
        Image=IMAGES[0],
        CertificateArn=issued["CertificateArn"],
        Domain="a.example.org",
        DagshubTokenParameter="dagshub",
        ApiKeysParameter=ENTRIES,
        OutcomesParameter="outcomes",
        OutcomesPort="5432",
        PromotionKeyParameter="promotion",
        CheckKeyParameter="check-key",
        PredictionLogPrefix="carprice-predictions",
        Monitoring="yes",
        RegistryPort="5000",
    )
    there = stacks.outputs("storage")
    bucket = f"arn:aws:s3:::{there['BucketName']}"
    container = stacks.container()
    environment = {one["name"]: one["value"] for one in container["environment"]}
    assert environment["CARPRICE_PREDICTION_LOG"] == (
        f"s3://{there['BucketName']}/carprice-predictions"
    )
    assert environment["CARPRICE_MONITORING"] == (
        f"s3://{there['BucketName']}/carprice-predictions/monitoring.json"
    )
    assert environment["CARPRICE_REQUIRE_RECORD"] == "true"
    names = {one["name"]: one["valueFrom"] for one in container["secrets"]}
    assert set(names) < set(SECRETS)
    assert len(names) == 6
    assert not set(environment) & set(SECRETS)

    roles = {
        name.removesuffix("RoleArn"): rights_of(stacks.account, role)
        for name, role in made.items()
        if name.endswith("RoleArn")
    }
    policies = {name: policy for name, (policy, _) in roles.items()}
    wide = for_everything(policies.values())
    assert wide == {
        "ecr:GetAuthorizationToken",
        *(f"elasticloadbalancing:Describe{what}" for what in
          ("Listeners", "Rules", "TargetGroups", "TargetHealth")),
    }  # fmt: skip
    principals = {
        name: [one["Principal"]["Service"] for one in trust] for name, (_, trust) in roles.items()
    }
    assert principals == {
        "Execution": ["ecs-tasks.amazonaws.com"],
        "Task": ["ecs-tasks.amazonaws.com"],
        "Deployment": ["ecs.amazonaws.com"],
        "Check": ["lambda.amazonaws.com"],
    }

    starting = policies["Execution"]
    for secret in names.values():
        assert may(starting, "ssm:GetParameters", secret)
    for other in ("other/key", "carprice/check-key", "carprice/other"):
        assert not may(starting, "ssm:GetParameters", arn("ssm", f"parameter/{other}"))
    for action in PULLS:
        assert may(starting, action, arn("ecr", "repository/carprice"))
        assert not may(starting, action, arn("ecr", "repository/other"))
    logs = {"logs:CreateLogStream", "logs:PutLogEvents"}
    group = container["logConfiguration"]["options"]["awslogs-group"]
    for policy in (starting, policies["Check"]):
        for action in logs:
            assert may(policy, action, arn("logs", f"log-group:{group}:log-stream:ecs/a"))
            assert not may(policy, action, arn("logs", "log-group:/other:log-stream:a"))
    assert actions(starting) == PULLS | logs | {"ecr:GetAuthorizationToken", "ssm:GetParameters"}

    logging = policies["Task"]
    file = f"{bucket}/carprice-predictions/predictions-1.parquet"
    adds = {"s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject", "s3:DeleteObject"}
    for action in adds:
        assert may(logging, action, file)
        assert not may(logging, action, f"{bucket}/carprice/a")
    for prefix in ("carprice-predictions/", "carprice/"):
        listed = may(logging, "s3:ListBucket", bucket, **{"s3:prefix": prefix})
        assert listed == (prefix == "carprice-predictions/")
    assert actions(logging) == adds | {"s3:ListBucket"}

    (function,) = stacks.account.client("lambda").list_functions()["Functions"]
    key = function["Environment"]["Variables"]["KEY_PARAMETER"]
    assert may(policies["Check"], "ssm:GetParameter", arn("ssm", f"parameter{key}"))
    assert not may(policies["Check"], "ssm:GetParameter", names["CARPRICE_API_KEYS"])
    assert actions(policies["Check"]) == logs | {"ssm:GetParameter"}

    moves_traffic_of_its_own_alone(policies["Deployment"], stacks, function["FunctionArn"])


def moves_traffic_of_its_own_alone(moving: Policy, stacks: Stacks, function: str) -> None:
    (settings,) = stacks.service
    (balanced,) = settings["LoadBalancers"]
    more = balanced["AdvancedConfiguration"]
    secure = more["ProductionListenerRule"].replace("listener-rule", "listener").rpartition("/")[0]
    own = {
        "targetgroup": [balanced["TargetGroupArn"], more["AlternateTargetGroupArn"]],
        "listener": [secure],
        "listener-rule": [more["ProductionListenerRule"], more["TestListenerRule"]],
    }
    for action, kind in allowed_by_aws().items():
        assert not may(moving, action, arn("elasticloadbalancing", f"{kind}/app/other/a/b/c"))
        for resource in own[kind]:
            assert may(moving, action, resource), (action, resource)
    assert may(moving, "lambda:InvokeFunction", function)
    assert not may(moving, "lambda:InvokeFunction", arn("lambda", "function:other"))
    reads = {one for one in actions(moving) if one.startswith("elasticloadbalancing:Describe")}
    assert actions(moving) == {*reads, *allowed_by_aws(), "lambda:InvokeFunction"}


def allowed_by_aws() -> dict[str, str]:
    """Return what AWS's policy for such a role lets it change, and of what kind that is."""
    policy = json.loads(aws_managed_policies_data)[
        "AmazonECSInfrastructureRolePolicyForLoadBalancers"
    ]["Document"]
    return {
        action: resource.split(":")[5].partition("/")[0]
        for one in policy["Statement"]
        for resource in as_list(one["Resource"])
        if resource != "*" and "/net/" not in resource
        for action in as_list(one["Action"])
    }


def test_a_container_without_a_log_has_no_rights(stacks: Stacks) -> None:
    made = stacks.deploy(Image=IMAGES[0])
    name = made["TaskRoleArn"].rpartition("/")[2]
    iam = stacks.account.client("iam")
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == []
    assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == []


@pytest.mark.parametrize("given", [{}, {"UsernameParameter": "", "PasswordParameter": ""}])
def test_a_secret_that_is_not_given_may_not_be_read(stacks: Stacks, given: dict[str, str]) -> None:
    made = stacks.deploy(Image=IMAGES[0], **given)
    starting, _ = rights_of(stacks.account, made["ExecutionRoleArn"])
    names = {one["name"]: one["valueFrom"] for one in stacks.container()["secrets"]}
    assert len(names) == (0 if given else 2)
    for name in ("mlflow-username", "mlflow-password", ENTRIES, "dagshub"):
        secret = arn("ssm", f"parameter/carprice/{name}")
        assert may(starting, "ssm:GetParameters", secret) == (secret in names.values())


def test_a_second_stack_beside_the_first(stacks: Stacks) -> None:
    """As the guide has it for TLS: nothing has a name that the other has."""
    stacks.deploy(Image=IMAGES[0])
    known = {key: value for key, value in stacks.given.items() if key in TEMPLATE["Parameters"]}
    issued = stacks.account.client("acm").request_certificate(DomainName="a.example.org")
    known |= {"CertificateArn": issued["CertificateArn"], "Domain": "a.example.org"}
    stacks.make("ecs-tls", FOLDER / "service.yaml", known)
    first, second = stacks.outputs("ecs"), stacks.outputs("ecs-tls")
    assert first["TaskDefinition"] != second["TaskDefinition"]
    differ = {key for key in first if first[key] != second[key]}
    assert differ == set(first)


def value(one: Any, given: dict[str, str]) -> Any:
    """Return what an expression of the template's rules comes to, which moto does not look at."""
    if not isinstance(one, dict):
        return one
    ((function, words),) = one.items()
    if function == "Ref":
        return given.get(words, TEMPLATE["Parameters"][words].get("Default"))
    found = [value(word, given) for word in words]
    return {"Fn::Not": lambda: not found[0], "Fn::Equals": lambda: found[0] == found[1]}[function]()


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({}, set()),
        ({"ApiKeysParameter": ENTRIES}, {"KeysAreNotSentInPlainText"}),
        ({"CertificateArn": "arn"}, {"ACertificateHasAName"}),
        ({"AllowedCidr": "10.0.0.0/8"}, {"TheCheckComesFromTheInternet"}),
        ({"ApiKeysParameter": ENTRIES, "CertificateArn": "arn", "Domain": "a.example.org"}, set()),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, str], refused: set[str]) -> None:
    assert refused == {
        name
        for name, rule in TEMPLATE["Rules"].items()
        if value(rule["RuleCondition"], given)
        and not all(value(one["Assert"], given) for one in rule["Assertions"])
    }


@pytest.mark.parametrize(
    ("service", "balancer", "requests", "percent"),
    [
        (None, 30, None, 100),  # no target is left: none of these is a request that one got
        (None, None, None, 0),
        (None, None, 1000, 0),
        (15, None, 1000, 1.5),
        (15, 5, 995, 2),
    ],
)
def test_the_share_of_errors(
    service: int | None, balancer: int | None, requests: int | None, percent: float
) -> None:
    metrics = TEMPLATE["Resources"]["ErrorAlarm"]["Properties"]["Metrics"]
    (expression,) = (one["Expression"] for one in metrics if one["Id"] == "percent")
    functions = {
        "FILL": lambda metric, filled: filled if metric is None else metric,
        "IF": lambda condition, yes, no: yes if condition else no,
    }
    given = {"service": service, "balancer": balancer, "requests": requests}
    assert set(given) == {one["Id"] for one in metrics} - {"percent"}
    assert eval(expression, functions | given) == percent  # noqa: S307 - the template's


# --- the function -----------------------------------------------------------------------------


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs the template's function as Lambda does; gives its answer's ``hookStatus``."""
    settings = TEMPLATE["Resources"]["CheckFunction"]["Properties"]
    variables = settings["Environment"]["Variables"]
    module = ModuleType("index")
    exec(settings["Code"]["ZipFile"], vars(module))  # noqa: S102 - the template's

    def run(**environment: str) -> str:
        given = {**dict.fromkeys(variables, ""), "KNOWN_LISTING": KNOWN, "SECONDS": "0"}
        for name, value in (given | environment).items():
            assert name in variables
            monkeypatch.setenv(name, value)
        event = {"executionId": "a", "lifecycleStage": "POST_TEST_TRAFFIC_SHIFT"}
        answer = getattr(module, settings["Handler"].partition(".")[2])(event, None)
        assert list(answer) == ["hookStatus"]
        return str(json.loads(json.dumps(answer))["hookStatus"])

    return run


def test_the_function_is_written_as_the_rest(tmp_path: Path) -> None:
    code = TEMPLATE["Resources"]["CheckFunction"]["Properties"]["Code"]["ZipFile"]
    (tmp_path / "index.py").write_text(code, encoding="utf-8")
    assert len(code) <= 4096  # what a template may hold
    for options in (["check", "--select", "E,F,W,B,I,UP,SIM"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *options, "--line-length", "100", "index.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_right_price(check: Callable[..., str], service: Service) -> None:
    assert check(BALANCER=f"{HERE}:{service.port}", MODEL_VERSION="3") == "SUCCEEDED"
    ((method, path, headers, body),) = service.asked
    assert (method, path, headers["X-Carprice-Tasks"]) == ("POST", "/predict", "new")
    condition = TEMPLATE["Resources"]["TestRule"]["Properties"]["Conditions"][0]
    assert condition["HttpHeaderConfig"] == {
        "HttpHeaderName": "X-Carprice-Tasks",
        "Values": ["new"],
    }
    assert json.loads(body) == json.loads(KNOWN)["listing"]
    assert "X-API-Key" not in headers
    service.version = "4"
    assert check(BALANCER=f"{HERE}:{service.port}") == "SUCCEEDED"  # any version


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, '{"predictedPrice": 199999}', "the price is 199999, not from 200000 to 1200000"),
        (200, '{"predictedPrice": 1200001}', "not from 200000 to 1200000"),
        (200, '{"predictedPrice": null}', "TypeError"),
        (200, "{}", "KeyError"),
        (200, "<html>", "JSONDecodeError"),
        (503, "no model", "503: no model"),
        (401, "no key", "401: no key"),
    ],
)
def test_another_answer(
    check: Callable[..., str],
    service: Service,
    capsys: pytest.CaptureFixture[str],
    status: int,
    body: str,
    told: str,
) -> None:
    service.price, service.body = status, body
    assert check(BALANCER=f"{HERE}:{service.port}") == "FAILED"
    assert told in capsys.readouterr().out


def test_another_model_and_nobody(
    check: Callable[..., str], service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(BALANCER=f"{HERE}:{service.port}", MODEL_VERSION="4") == "FAILED"
    assert "model version 3 answered, not 4" in capsys.readouterr().out
    assert check(BALANCER=f"{HERE}:{free_port()}") == "FAILED"
    assert "ConnectionRefusedError" in capsys.readouterr().out


def test_it_is_asked_again_while_there_is_time(
    check: Callable[..., str], service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: setattr(service, "price", 200))
    service.price = 503
    assert check(BALANCER=f"{HERE}:{service.port}", SECONDS="600") == "SUCCEEDED"
    assert service.paths == ["/predict"] * 2


def test_an_api_key_comes_from_the_parameter_store(
    check: Callable[..., str],
    service: Service,
    capsys: pytest.CaptureFixture[str],
    no_aws_login: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "test")
    key = secrets.token_urlsafe(20)
    with aws_account(monkeypatch) as account:
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        account.client("ssm").put_parameter(Name="/carprice/k", Value=key, Type="SecureString")
        where = {"BALANCER": f"{HERE}:{service.port}", "KEY_PARAMETER": "/carprice/k"}
        assert check(**where) == "SUCCEEDED"
    ((*_, headers, _),) = service.asked
    assert headers["X-API-Key"] == key
    assert key not in capsys.readouterr().out


def test_the_certificate_is_for_the_domain_and_not_for_the_load_balancer(
    check: Callable[..., str], own_authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"predictedPrice": 500000}')

    with serving(Handler, own_authority) as url:
        port = url.rpartition(":")[2]
        assert check(BALANCER=HERE, DOMAIN=f"localhost:{port}") == "FAILED"  # of no authority
        monkeypatch.setenv("SSL_CERT_FILE", str(own_authority.with_name("certificate")))
        assert check(BALANCER=HERE, DOMAIN=f"localhost:{port}") == "SUCCEEDED"
        assert check(BALANCER=HERE, DOMAIN=f"other.example.org:{port}") == "FAILED"


def test_a_real_service(
    check: Callable[..., str],
    finished: Any,
    serve: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [sys.executable, "-m", "api", "--host", HERE, "--port", "{port}"]
    settings = {
        "MLFLOW_TRACKING_URI": f"http://{HERE}:9",
        "CARPRICE_BAKED_MODEL": str(finished[0].model),
        "CARPRICE_MODEL_CACHE": str(tmp_path / "cache"),
        "CARPRICE_START_SECONDS": "1",
        "CARPRICE_DRAIN_SECONDS": "0",
    }
    with serve(command, tmp_path, "/", settings) as server:
        version = json.loads(server.get("/")[1])["modelVersion"]
        where = {"BALANCER": f"{HERE}:{server.port}", "MODEL_VERSION": str(version)}
        assert check(**where) == "SUCCEEDED"
        assert check(**where | {"MODEL_VERSION": "1234"}) == "FAILED"
        assert "answered, not 1234" in capsys.readouterr().out
        other = json.dumps({**json.loads(KNOWN), "lowest": 1, "highest": 2})
        assert check(**where, KNOWN_LISTING=other) == "FAILED"
        assert "not from 1 to 2" in capsys.readouterr().out


# --- the guide --------------------------------------------------------------------------------


def test_the_guide_names_parameters_that_there_are() -> None:
    named = set(re.findall(r"\b([A-Z][a-z]+[A-Za-z0-9]*)=", GUIDE)) - {"RepositoryUri"}
    assert named <= set(TEMPLATE["Parameters"])
    assert len(named) > 12
    told = set(re.findall(r"`([A-Z][a-z]+[A-Za-z0-9]*)`", GUIDE)) - {"EnableExecuteCommand"}
    assert told - {"StopTimeout"} <= set(TEMPLATE["Parameters"])
