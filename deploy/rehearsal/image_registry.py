"""The image registry: docker-registry with the login that moto's ECR hands out."""

import base64
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from rehearsal.plan import Plan
from rehearsal.shell import Background, RehearsalError, run

USER: Final = "AWS"
_MANIFESTS: Final = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
    )
)


class ImageRegistry:
    """A registry on the instances' network that wants a login."""

    def __init__(self, plan: Plan, password: str) -> None:
        self._url = f"http://{plan.image_registry}"
        login = base64.b64encode(f"{USER}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}
        log = plan.logs / "image-registry.log"
        users, settings = plan.private / "htpasswd", plan.private / "image-registry.yml"
        command = ["htpasswd", "-n", "-i", "-B", "-C", "4", USER]
        _, entry = run(command, log, seconds=10, given=password)
        users.write_text(entry, encoding="utf-8")
        settings.write_text(json.dumps(_settings(plan, users)), encoding="utf-8")
        self._server = Background(["docker-registry", "serve", settings], log)
        self._server.wait_for(f"{self._url}/v2/", 20, good=(401,))

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository, none where it is not there."""
        status, _, content = self._get(f"/v2/{repository}/tags/list")
        return list(json.loads(content).get("tags") or []) if status == 200 else []

    def manifest(self, repository: str, tag: str) -> tuple[str, str, str]:
        """Return manifest, media type and digest of a tag.

        Raises
        ------
        RehearsalError
            If the registry does not give it.
        """
        status, headers, content = self._get(f"/v2/{repository}/manifests/{tag}")
        if status != 200:
            raise RehearsalError(f"the image registry answers {status} for {repository}:{tag}")
        return content.decode(), headers["Content-Type"], headers["Docker-Content-Digest"]

    def image_id(self, image: str) -> str:
        """Return the name that a machine which has an image knows it by."""
        repository, _, digest = image.partition("/")[2].partition("@")
        manifest, _, _ = self.manifest(repository, digest)
        return str(json.loads(manifest)["config"]["digest"]).removeprefix("sha256:")

    def stop(self) -> None:
        """End the server."""
        self._server.stop()

    def _get(self, path: str) -> tuple[int, Any, bytes]:
        headers = {**self._headers, "Accept": _MANIFESTS}
        request = urllib.request.Request(self._url + path, headers=headers)  # noqa: S310
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, b""


def _settings(plan: Plan, users: Path) -> dict[str, Any]:
    return {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}, "level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(plan.run / "images")}},
        "http": {"addr": plan.image_registry, "secret": "<of the rehearsal>"},
        "auth": {"htpasswd": {"realm": "rehearsal", "path": str(users)}},
    }
