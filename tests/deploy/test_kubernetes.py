"""The manifests as kubectl renders them: valid, of one mind with the service, few rights."""

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from image_env import service_settings

from api import draining
from api.environment import DEFAULT_PORT, SECRETS, SECRETS_FOLDER

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("dev", "prod", "beside", "canary", "shadow")
WITH_NEXT = ("beside", "canary", "shadow")
OLDEST, NEWEST = "1.30", kubernetes_validate.latest_version()
GATEWAY_API = ROOT / "build" / "gateway-api"
SPLIT = """
import {validate} from "@kubernetes-models/gateway-api/_schemas/IoK8sSigsGatewayApiApisV1HTTPRoute";
import {readFileSync} from "node:fs";
const routes = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(routes.map((one) => (validate(one) ? [] : validate.errors))));
"""
Manifest = dict[str, Any]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not on the PATH"),
]


def kustomize(folder: Path) -> str:
    done = subprocess.run(
        ["kubectl", "kustomize", folder], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@functools.cache
def rendered(overlay: str) -> tuple[Manifest, ...]:
    return tuple(yaml.safe_load_all(kustomize(FOLDER / "overlays" / overlay)))


def of_kind(overlay: str, kind: str) -> dict[str, Manifest]:
    """Return the specs (or data) of a kind by name."""
    found = [one for one in rendered(overlay) if one["kind"] == kind]
    return {one["metadata"]["name"]: one.get("spec", one.get("data", {})) for one in found}


def pods() -> Iterator[tuple[str, str, Manifest]]:
    """Yield overlay, name and template of each Deployment."""
    for overlay in OVERLAYS:
        for name, spec in of_kind(overlay, "Deployment").items():
            yield overlay, name, spec["template"]


def the_container(template: Manifest) -> Manifest:
    (container,) = template["spec"]["containers"]
    return dict(container)


def cores(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def mib(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


def selects(selector: Manifest, labels: Manifest) -> bool:
    return selector.items() <= labels.items()


def contents(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# --- valid ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_overlay_is_what_the_api_takes(overlay: str, version: str) -> None:
    kinds = set()
    for one in rendered(overlay):
        if one["apiVersion"] != "gateway.networking.k8s.io/v1":  # no kind of Kubernetes itself
            kubernetes_validate.validate(one, version, strict=True)
            kinds.add(one["kind"])
    assert {"Deployment", "Service", "ConfigMap", "ServiceAccount", "NetworkPolicy"} <= kinds


def test_what_the_api_would_not_take_is_found() -> None:
    (deployment,) = (one for one in rendered("prod") if one["kind"] == "Deployment")
    spoilt = {**deployment, "spec": {**deployment["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(spoilt, NEWEST, strict=True)


def test_routes_are_what_the_gateway_api_takes() -> None:
    """By the types of its Go source, in an npm package: values and kinds, no unknown names."""
    if not (shutil.which("node") and (GATEWAY_API / "node_modules").is_dir()):
        pytest.skip("the Gateway API's models are not in build/gateway-api; see the README")
    routes = [one for name in OVERLAYS for one in rendered(name) if one["kind"] == "HTTPRoute"]
    spoilt = json.loads(json.dumps(routes[-1]))
    spoilt["spec"]["rules"][0]["filters"][0]["type"] = "Mirror"
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", SPLIT],
        input=json.dumps([*routes, spoilt]),
        cwd=GATEWAY_API,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    *found, last = json.loads(done.stdout)
    assert found == [[]] * len(OVERLAYS)
    assert last[0]["instancePath"] == "/spec/rules/0/filters/0/type"


def test_checkov_finds_nothing(tmp_path: Path) -> None:
    program = shutil.which("checkov")
    if program is None:
        pytest.skip("checkov is not on the PATH; deploy/kubernetes/README.md tells how to run it")
    for overlay in ("prod", "canary"):
        (tmp_path / f"{overlay}.yaml").write_text(yaml.safe_dump_all(rendered(overlay)))
    options = ["--framework", "kubernetes", "--output", "json", "--quiet", "--skip-download"]
    command = [program, "--directory", str(tmp_path), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    found = json.loads(done.stdout)["summary"]
    assert (found["failed"], found["skipped"], found["parsing_errors"]) == (0, 0, 0), done.stdout
    assert found["passed"] > 200


# --- every name leads somewhere ---------------------------------------------------------------


def test_every_object_is_in_its_namespace_and_each_name_is_there_once() -> None:
    for overlay in OVERLAYS:
        (namespace,) = of_kind(overlay, "Namespace")
        others = [one for one in rendered(overlay) if one["kind"] != "Namespace"]
        assert {one["metadata"]["namespace"] for one in others} == {namespace}
        names = [(one["kind"], one["metadata"]["name"]) for one in others]
        assert len(set(names)) == len(names)
        (made,) = (one for one in rendered(overlay) if one["kind"] == "Namespace")
        assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert list(of_kind("dev", "Namespace")) != list(of_kind("prod", "Namespace"))


def test_what_a_pod_names_is_there() -> None:
    for overlay, _, template in pods():
        spec, container = template["spec"], the_container(template)
        assert spec["serviceAccountName"] in of_kind(overlay, "ServiceAccount")
        settings = [one["configMapRef"]["name"] for one in container["envFrom"]]
        assert set(settings) <= set(of_kind(overlay, "ConfigMap"))
        volumes = {one["name"] for one in spec["volumes"]}
        assert {one["name"] for one in container["volumeMounts"]} == volumes
        ports = {one["name"] for one in container["ports"]}
        probes = ("startupProbe", "livenessProbe", "readinessProbe")
        assert {container[probe]["httpGet"]["port"] for probe in probes} <= ports
    assert not any(of_kind(overlay, "Secret") for overlay in OVERLAYS)
    readme = contents(FOLDER / "README.md")
    (secret,) = {
        volume["secret"]["secretName"]
        for _, _, template in pods()
        for volume in template["spec"]["volumes"]
        if "secret" in volume
    }
    assert f"create secret generic {secret} " in readme


def test_selectors_find_their_pods_and_no_others() -> None:
    for overlay in OVERLAYS:
        labels = {
            name: spec["template"]["metadata"]["labels"]
            for name, spec in of_kind(overlay, "Deployment").items()
        }
        for name, spec in of_kind(overlay, "Deployment").items():
            own = [
                *[spec["selector"]["matchLabels"], of_kind(overlay, "Service")[name]["selector"]],
                *(
                    one["labelSelector"]["matchLabels"]
                    for one in spec["template"]["spec"]["topologySpreadConstraints"]
                ),
            ]
            if overlay != "dev":
                budget = of_kind(overlay, "PodDisruptionBudget")[name]
                own.append(budget["selector"]["matchLabels"])
            for selector in own:
                assert [one for one in labels if selects(selector, labels[one])] == [name]
        (policy,) = of_kind(overlay, "NetworkPolicy").values()
        for found in labels.values():
            assert selects(policy["podSelector"]["matchLabels"], found)


def test_services_and_routes_lead_to_a_port_of_the_service() -> None:
    for overlay in OVERLAYS:
        services = of_kind(overlay, "Service")
        for name, spec in services.items():
            container = the_container(of_kind(overlay, "Deployment")[name]["template"])
            ports = {one["name"]: one["containerPort"] for one in container["ports"]}
            assert [ports[one["targetPort"]] for one in spec["ports"]] == [DEFAULT_PORT]
        (route,) = of_kind(overlay, "HTTPRoute").values()
        assert route["parentRefs"]
        assert route["hostnames"]
        backends = [
            *(backend for rule in route["rules"] for backend in rule["backendRefs"]),
            *(
                one["requestMirror"]["backendRef"]
                for rule in route["rules"]
                for one in rule.get("filters", ())
            ),
        ]
        assert {one["name"] for one in backends} == set(services)
        for one in backends:
            assert one["port"] in {port["port"] for port in services[one["name"]]["ports"]}


# --- what runs --------------------------------------------------------------------------------


def test_settings_are_those_of_the_other_instances_and_hold_no_secret() -> None:
    others = service_settings(ROOT / "deploy" / "service.env")
    for overlay in OVERLAYS:
        for data in of_kind(overlay, "ConfigMap").values():
            for key, value in others.items():
                assert key.startswith("SECRET_") or data[key] == value
            assert not set(data) & set(SECRETS)
            assert "@" not in data["MLFLOW_TRACKING_URI"]
            assert int(data["PORT"]) == DEFAULT_PORT


def test_probes_ask_what_the_service_says_of_itself() -> None:
    for _, _, template in pods():
        container = the_container(template)
        asked = {
            probe: container[f"{probe}Probe"]["httpGet"]["path"]
            for probe in ("startup", "liveness", "readiness")
        }
        # A service whose registry is away lives, and is not started again for it.
        assert asked == {"startup": "/live", "liveness": "/live", "readiness": "/ready"}


def test_a_pod_may_do_next_to_nothing() -> None:
    user = int(re.search(r"^USER (\d+):\1$", contents(ROOT / "Dockerfile"), re.MULTILINE)[1])  # type: ignore[index]
    for _, _, template in pods():
        spec, container = template["spec"], the_container(template)
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": user,
            "fsGroup": user,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
        for host in ("hostNetwork", "hostPID", "hostIPC", "initContainers"):
            assert host not in spec
        assert not any("hostPath" in volume for volume in spec["volumes"])


def test_what_is_written_and_read_has_a_volume() -> None:
    dockerfile = contents(ROOT / "Dockerfile")
    cache = re.search(r"CARPRICE_MODEL_CACHE=(\S+)", dockerfile)[1]  # type: ignore[index]
    for _, _, template in pods():
        mounts = {one["mountPath"]: one for one in the_container(template)["volumeMounts"]}
        volumes = {one["name"]: one for one in template["spec"]["volumes"]}
        secrets = mounts.pop(str(SECRETS_FOLDER))
        assert secrets["readOnly"] is True
        told = volumes[secrets["name"]]["secret"]
        assert told["defaultMode"] == 0o440  # root's, and by fsGroup the service's to read
        assert not told.get("optional", False)
        assert set(mounts) == {"/tmp", str(Path(cache).parent)}  # noqa: S108
        for one in mounts.values():
            assert "sizeLimit" in volumes[one["name"]]["emptyDir"]


def test_a_pod_asks_for_what_it_needs_and_has_limits() -> None:
    for overlay, _, template in pods():
        container = the_container(template)
        requests, limits = (container["resources"][key] for key in ("requests", "limits"))
        assert 0 < cores(requests["cpu"]) <= cores(limits["cpu"])
        assert 0 < mib(requests["memory"]) <= mib(limits["memory"])
        (settings,) = (one["configMapRef"]["name"] for one in container["envFrom"])
        workers = of_kind(overlay, "ConfigMap")[settings]["WEB_CONCURRENCY"]
        assert int(workers) == cores(limits["cpu"])
        # What lies in memory counts, and what lies on the disk.
        written = {"memory": 0, "ephemeral-storage": 0}
        for volume in template["spec"]["volumes"]:
            if empty := volume.get("emptyDir"):
                place = "memory" if empty.get("medium") else "ephemeral-storage"
                written[place] += mib(empty["sizeLimit"])
        assert written["memory"] <= mib(limits["memory"]) / 8
        assert written["ephemeral-storage"] < mib(limits["ephemeral-storage"])


def test_a_pod_has_time_to_finish() -> None:
    for overlay, _, template in pods():
        container = the_container(template)
        (settings,) = (one["configMapRef"]["name"] for one in container["envFrom"])
        drain = float(of_kind(overlay, "ConfigMap")[settings]["CARPRICE_DRAIN_SECONDS"])
        asleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        ends = asleep + max(drain, draining._LAST_SECONDS)
        assert template["spec"]["terminationGracePeriodSeconds"] > ends + 1


def test_a_rollout_takes_no_pod_before_another_is_ready() -> None:
    for overlay in OVERLAYS:
        for spec in of_kind(overlay, "Deployment").values():
            assert spec["strategy"] == {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
            }
            startup = the_container(spec["template"])["startupProbe"]
            patience = startup["periodSeconds"] * startup["failureThreshold"]
            assert spec["progressDeadlineSeconds"] > patience
            assert spec["revisionHistoryLimit"] > 1


def test_there_are_as_many_pods_as_are_needed() -> None:
    (alone,) = of_kind("dev", "Deployment").values()
    assert alone["replicas"] == 1
    # A budget for one pod would let nobody empty its node.
    assert of_kind("dev", "HorizontalPodAutoscaler") == of_kind("dev", "PodDisruptionBudget") == {}
    for overlay in ("prod", *WITH_NEXT):
        deployments = of_kind(overlay, "Deployment")
        scalers, budgets = (
            of_kind(overlay, kind) for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget")
        )
        assert set(scalers) == set(budgets) == set(deployments)
        for name, spec in deployments.items():
            assert "replicas" not in spec  # or each apply would undo what the autoscaler did
            assert scalers[name]["scaleTargetRef"] == {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": name,
            }
            assert 1 < scalers[name]["minReplicas"] < scalers[name]["maxReplicas"]
            (metric,) = scalers[name]["metrics"]
            assert metric["resource"]["name"] == "cpu"
            assert "cpu" in the_container(spec["template"])["resources"]["requests"]
            assert 0 < budgets[name]["maxUnavailable"] < scalers[name]["minReplicas"]


def test_who_may_ask_and_who_is_asked() -> None:
    for overlay in OVERLAYS:
        (policy,) = of_kind(overlay, "NetworkPolicy").values()
        (route,) = of_kind(overlay, "HTTPRoute").values()
        (settings, *_) = of_kind(overlay, "ConfigMap").values()
        assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
        (coming,) = policy["ingress"]
        allowed = [one["namespaceSelector"]["matchLabels"] for one in coming["from"]]
        gateways = {one["namespace"] for one in route["parentRefs"]}
        assert {one["kubernetes.io/metadata.name"] for one in allowed} == gateways | {"monitoring"}
        assert coming["ports"] == [{"protocol": "TCP", "port": DEFAULT_PORT}]
        names, registry = policy["egress"]
        assert {(one["protocol"], one["port"]) for one in names["ports"]} == {
            ("UDP", 53),
            ("TCP", 53),
        }
        assert names["to"]
        assert settings["MLFLOW_TRACKING_URI"].startswith("https://")
        assert registry["ports"] == [{"protocol": "TCP", "port": 443}]


# --- strategies -------------------------------------------------------------------------------


def test_an_image_is_pulled_again_where_its_name_may_come_to_mean_another() -> None:
    """A container that starts again on its node needs no registry of images otherwise."""
    for _, _, template in pods():
        container = the_container(template)
        policy = "IfNotPresent" if "@sha256:" in container["image"] else "Always"
        assert container["imagePullPolicy"] == policy


@pytest.mark.parametrize("overlay", ["prod", *WITH_NEXT])
def test_images_are_named_by_digest(overlay: str) -> None:
    images = {
        name: the_container(spec["template"])["image"]
        for name, spec in of_kind(overlay, "Deployment").items()
    }
    for image in images.values():
        assert re.fullmatch(r"[\w.-]+/carprice@sha256:[0-9a-f]{64}", image)
    assert len(set(images.values())) == len(images)


@pytest.mark.parametrize("overlay", WITH_NEXT)
def test_the_next_image_has_all_that_the_one_before_has(overlay: str) -> None:
    before, after = (
        {**of_kind(overlay, "Deployment")[name]["template"]["spec"]}
        for name in ("carprice", "carprice-next")
    )
    assert before.keys() == after.keys()
    differs = {key for key in before if before[key] != after[key]}
    assert differs == {"containers", "topologySpreadConstraints"}
    one, other = (spec["containers"][0] for spec in (before, after))
    assert {key for key in one if one[key] != other[key]} == {"image", "envFrom"}
    assert of_kind(overlay, "Deployment")["carprice"] == of_kind("prod", "Deployment")["carprice"]
    mine, theirs = of_kind(overlay, "ConfigMap").values()
    assert mine == theirs


@pytest.mark.parametrize(("overlay", "share"), [("beside", 0), ("canary", 10)])
def test_next_gets_its_share_and_whoever_asks_for_it(overlay: str, share: int) -> None:
    (route,) = of_kind(overlay, "HTTPRoute").values()
    asked, all_others = route["rules"]
    assert asked == {
        "matches": [{"headers": [{"name": "X-Carprice-Track", "value": "next"}]}],
        "backendRefs": [{"name": "carprice-next", "port": 80}],
    }
    assert all_others == {
        "backendRefs": [
            {"name": "carprice", "port": 80, "weight": 100 - share},
            {"name": "carprice-next", "port": 80, "weight": share},
        ]
    }


def test_the_shadow_gets_copies_of_requests_for_prices_and_answers_nobody() -> None:
    (route,) = of_kind("shadow", "HTTPRoute").values()
    priced, all_others = route["rules"]
    stable = [{"name": "carprice", "port": 80}]
    copied = {"backendRef": {"name": "carprice-next", "port": 80}}
    assert priced == {
        "matches": [{"path": {"type": "PathPrefix", "value": "/predict"}}],
        "filters": [{"type": "RequestMirror", "requestMirror": copied}],
        "backendRefs": stable,
    }
    assert all_others == {"backendRefs": stable}


def test_pods_are_scraped_as_the_job_that_the_rules_ask_for(tmp_path: Path) -> None:
    folder = tmp_path / "kubernetes"
    shutil.copytree(FOLDER, folder)
    prod = folder / "overlays" / "prod" / "kustomization.yaml"
    prod.write_text(contents(prod) + "components:\n  - ../../components/pod-monitor\n")
    made = list(yaml.safe_load_all(kustomize(prod.parent)))
    (monitor,) = (one for one in made if one["kind"] == "PodMonitor")
    assert monitor["metadata"]["namespace"] == "carprice"
    template = of_kind("prod", "Deployment")["carprice"]["template"]
    labels = template["metadata"]["labels"]
    assert selects(monitor["spec"]["selector"]["matchLabels"], labels)
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {one["name"] for one in the_container(template)["ports"]}
    assert endpoint["path"] == "/metrics"
    rules = contents(ROOT / "deploy" / "monitoring" / "rules.yml")
    assert f'job="{labels[monitor["spec"]["jobLabel"]]}"' in rules


# --- the README -------------------------------------------------------------------------------


def readme_commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", contents(FOLDER / "README.md"), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.strip()]


@pytest.mark.parametrize(
    ("overlay", "deployment"), [("prod", "carprice"), ("next", "carprice-next")]
)
def test_the_readmes_line_for_a_new_image_sets_it(
    overlay: str, deployment: str, tmp_path: Path
) -> None:
    where = {"prod": "overlays/prod", "next": "next"}[overlay]
    shutil.copytree(FOLDER, tmp_path / "deploy" / "kubernetes")
    (line,) = {one for one in readme_commands() if one.startswith("sed ") and f"/{where}/" in one}
    image = f"registry.example.org/carprice@sha256:{7:064d}"
    subprocess.run(
        ["bash", "-euc", line],
        env={"image": image, "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        check=True,
    )
    made = yaml.safe_load_all(kustomize(tmp_path / "deploy/kubernetes/overlays/canary"))
    images = {
        one["metadata"]["name"]: the_container(one["spec"]["template"])["image"]
        for one in made
        if one["kind"] == "Deployment"
    }
    assert images[deployment] == image
    assert len(set(images.values())) == 2


@pytest.mark.parametrize("ready", [True, False])
def test_next_gets_no_request_before_it_is_ready(ready: bool, tmp_path: Path) -> None:
    (block,) = (
        one
        for one in re.findall(r"^```sh\n(.*?)^```", contents(FOLDER / "README.md"), re.M | re.S)
        if "without_next()" in one
    )
    functions, start, *_ = block.split("\n\n")
    shutil.copytree(FOLDER, tmp_path / "deploy" / "kubernetes")
    told = "\n".join(
        [
            'kubectl() { echo "$*"; case "$*" in',
            f"*'rollout status'*) return {int(not ready)};; esac; }}",
        ]
    )
    done = subprocess.run(
        ["bash", "-euc", f"{told}\n{functions}\n{start}"],
        env={"image": f"registry.example.org/carprice@sha256:{7:064d}", "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    first, waited, *others = done.stdout.splitlines()
    assert first == "apply -k deploy/kubernetes/overlays/beside"
    assert waited == "-n carprice rollout status deployment/carprice-next"
    if ready:
        assert others == ["apply -k deploy/kubernetes/overlays/canary"]
    else:
        assert others[0] == "apply -k deploy/kubernetes/overlays/prod"
        assert others[1].startswith("-n carprice delete deployment,service")


def test_a_login_for_images_is_added_as_the_readme_says(tmp_path: Path) -> None:
    readme = contents(FOLDER / "README.md")
    (line,) = re.findall(r"`(imagePullSecrets: [^`]+)`", readme)
    folder = tmp_path / "kubernetes"
    shutil.copytree(FOLDER, folder)
    with (folder / "base" / "service_account.yaml").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    made = list(yaml.safe_load_all(kustomize(folder / "overlays" / "canary")))
    (account,) = (one for one in made if one["kind"] == "ServiceAccount")
    kubernetes_validate.validate(account, NEWEST, strict=True)
    (secret,) = account["imagePullSecrets"]
    assert f"create secret docker-registry {secret['name']} " in readme


def test_the_readme_names_what_is_there() -> None:
    readme = contents(FOLDER / "README.md")
    for path in (*FOLDER.glob("overlays/*"), *FOLDER.glob("components/*"), *FOLDER.glob("base/*")):
        if path.name != "kustomization.yaml":
            assert f"{path.relative_to(FOLDER)}`" in readme or f"`{path.name}`" in readme, path
    for path in re.findall(r"deploy/kubernetes/[\w/.-]+", "\n".join(readme_commands())):
        assert (ROOT / path).exists()
    for name in re.findall(r"deployment/([\w-]+)", "\n".join(readme_commands())):
        assert name in of_kind("canary", "Deployment")
