"""The real image as a pod of the production overlay has it, with podman in place of the kubelet."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from containers import LISTING, running

from api.keys import entry, new_key

ROOT = Path(__file__).resolve().parents[2]
OVERLAY = ROOT / "deploy" / "kubernetes" / "overlays" / "prod"

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not on the PATH")


def pod() -> tuple[dict[str, Any], dict[str, str]]:
    """Return what a pod is specified as, and its settings."""
    command = ["kubectl", "kustomize", OVERLAY]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}
    return found["Deployment"]["spec"]["template"]["spec"], found["ConfigMap"]["data"]


def owned(path: Path, group: int, mode: int) -> Path:
    os.chown(path, 0, group, follow_symlinks=False)
    if not path.is_symlink():
        path.chmod(mode)
    return path


def secret_files(folder: Path, group: int, mode: int, **files: str) -> Path:
    """Lay files out as the kubelet does: links to a folder that it can put another in place of."""
    kept = folder / "..2026_01_01"
    kept.mkdir(parents=True)
    (folder / "..data").symlink_to(kept.name)
    for name, text in files.items():
        (kept / name).write_text(text)
        (folder / name).symlink_to(f"..data/{name}")
        owned(kept / name, group, mode)
    for path in (folder, kept):
        owned(path, group, 0o2755)
    return folder


def as_podman(spec: dict[str, Any], folder: Path, **secrets: str) -> list[str]:
    """Return podman's options for what the kubelet would do with a pod of one container."""
    (container,) = spec["containers"]
    user, own = spec["securityContext"], container["securityContext"]
    limits, group = container["resources"]["limits"], user["fsGroup"]
    options = [
        *("--user", f"{user['runAsUser']}:{user['runAsGroup']}", "--group-add", str(group)),
        *("--memory", limits["memory"].removesuffix("i"), "--cpus", limits["cpu"]),
        f"--read-only={str(own['readOnlyRootFilesystem']).lower()}",
        *("--cap-drop", ",".join(own["capabilities"]["drop"]).lower()),
        *("--read-only-tmpfs=false",),
    ]
    if not own["allowPrivilegeEscalation"]:
        options += ["--security-opt", "no-new-privileges"]
    places = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    for volume in spec["volumes"]:
        place, host = places[volume["name"]], folder / volume["name"]
        if "secret" in volume:
            secret_files(host, group, volume["secret"]["defaultMode"], **secrets)
            options.append(f"--volume={host}:{place}:ro")
        elif volume["emptyDir"].get("medium") == "Memory":
            size = volume["emptyDir"]["sizeLimit"].removesuffix("i")
            options.append(f"--tmpfs={place}:rw,mode=1777,size={size}")
        else:
            host.mkdir()
            owned(host, group, 0o2777)
            options.append(f"--volume={host}:{place}")
    return options


def test_a_pod_serves_with_what_the_manifest_gives_it(
    image: str, model_folder: Path, tmp_path: Path
) -> None:
    """The model is one of the image: the settings' registry is nowhere."""
    key = new_key()
    spec, settings = pod()
    options = as_podman(spec, tmp_path, CARPRICE_API_KEYS=entry("tests", key))
    settings.pop("PORT")  # the network is the machine's, and so are its ports
    with running(
        image,
        f"--volume={model_folder}:/opt/model:ro",
        hardening=options,
        environment={**settings, "CARPRICE_BAKED_MODEL": "/opt/model"},
    ) as container:
        assert [container.ask(path).status_code for path in ("/live", "/ready")] == [200, 200]
        assert container.ask("/predict", LISTING).status_code == 401  # the Secret's file was read
        priced = container.request(
            "POST",
            "/predict",
            json.dumps(LISTING).encode(),
            {"X-API-Key": key, "Content-Type": "application/json"},
        )
        assert priced.status_code == 200, priced.text
        lines = container.run("cat", "/proc/1/status").stdout.splitlines()
        found = dict(line.split(":", 1) for line in lines)
        user = str(spec["securityContext"]["runAsUser"])
        assert found["Uid"].split() == found["Gid"].split() == [user] * 4
        assert {int(found[name], 16) for name in ("CapEff", "CapBnd")} == {0}
        assert (found["NoNewPrivs"].strip(), found["Seccomp"].strip()) == ("1", "2")
        writable = {
            place: container.run("touch", f"{place}/x").returncode == 0
            for place in ("/tmp", "/var/lib/carprice", "/run/secrets", "/opt/carprice", "/run")  # noqa: S108
        }
        assert [place for place, may in writable.items() if may] == ["/tmp", "/var/lib/carprice"]  # noqa: S108
        threads = "from carprice.threads import usable_cores; print(usable_cores())"
        told = container.run("python3", "-c", threads).stdout
        assert told == f"{settings['WEB_CONCURRENCY']}\n"  # one core, one worker
        assert container.stop() == 0
        assert "Application shutdown complete" in container.log
