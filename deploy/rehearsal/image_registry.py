"""The image registry: docker-registry with the login that moto's ECR hands out."""

import json
from pathlib import Path
from typing import Any, Final

import requests

from rehearsal.options import Options
from rehearsal.processes import Background, RehearsalError, get, run

USER: Final = "AWS"
_MANIFESTS: Final = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
    )
)


class ImageRegistry:
    """A registry on the instances' network that wants a login."""

    def __init__(self, options: Options, password: str) -> None:
        self._url = f"http://{options.image_registry}"
        self._login = (USER, password)
        log = options.logs / "image-registry.log"
        users, settings = options.private / "htpasswd", options.private / "image-registry.yml"
        command = ["htpasswd", "-n", "-i", "-B", "-C", "4", USER]
        _, entry = run(command, log, seconds=10, given=password)
        users.write_text(entry, encoding="utf-8")
        settings.write_text(json.dumps(_settings(options, users)), encoding="utf-8")
        self._server = Background(["docker-registry", "serve", settings], log)
        self._server.wait_for(f"{self._url}/v2/", 20, good=(401,))

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository, none where it is not there."""
        answer = self._get(f"/v2/{repository}/tags/list")
        return list(answer.json().get("tags") or []) if answer.ok else []

    def manifest(self, repository: str, tag: str) -> tuple[str, str, str]:
        """Return manifest, media type and digest of a tag.

        Raises
        ------
        RehearsalError
            If the registry does not give it.
        """
        answer = self._get(f"/v2/{repository}/manifests/{tag}")
        if not answer.ok:
            raise RehearsalError(
                f"the image registry answers {answer.status_code} for {repository}:{tag}"
            )
        headers = answer.headers
        return answer.text, headers["Content-Type"], headers["Docker-Content-Digest"]

    def image_id(self, image: str) -> str:
        """Return the name that a machine which has an image knows it by."""
        repository, _, digest = image.partition("/")[2].partition("@")
        manifest, _, _ = self.manifest(repository, digest)
        return str(json.loads(manifest)["config"]["digest"]).removeprefix("sha256:")

    def stop(self) -> None:
        """End the server."""
        self._server.stop()

    def _get(self, path: str) -> requests.Response:
        return get(self._url + path, auth=self._login, headers={"Accept": _MANIFESTS})


def _settings(options: Options, users: Path) -> dict[str, Any]:
    return {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}, "level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(options.run / "images")}},
        "http": {"addr": options.image_registry, "secret": "<of the rehearsal>"},
        "auth": {"htpasswd": {"realm": "rehearsal", "path": str(users)}},
    }
