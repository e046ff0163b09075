"""AWS on one machine: moto behind one address, and docker-registry for the images of ECR.

Every request goes to moto unchanged, with two exceptions:

- :mod:`rehearsal.codedeploy` answers CodeDeploy's actions on a deployment. CreateDeployment goes to
  moto first, which checks it and gives the deployment its id, and then starts the deployment;
- before a read of ECR, moto's ECR is given the images that the real registry has, since they are
  pushed there and not to moto.
"""

import base64
import io
import json
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

import boto3
import requests
from botocore.config import Config
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from rehearsal.codedeploy import CodeDeploy
from rehearsal.options import AWS, IMAGE_REGISTRY, REGION, Options
from rehearsal.processes import Background, RehearsalError, get, run

BUCKET: Final = "carprice-bundles"
REPOSITORY: Final = "carprice"
APPLICATION: Final = "carprice"
GROUP: Final = "carprice-blue-green"
_KEY: Final = "rehearsal"
ENVIRONMENT: Final = {
    "AWS_ENDPOINT_URL": f"http://{AWS}",
    "AWS_ACCESS_KEY_ID": _KEY,
    "AWS_SECRET_ACCESS_KEY": _KEY,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "*",
}
"""What the AWS command line is told."""
_ECR_WRITES: Final = ("PutImage", "CreateRepository", "GetAuthorizationToken")
_MANIFESTS: Final = (
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.image.manifest.v1+json"
)


def client(service: str) -> Any:
    """Return boto3's client of a service."""
    return boto3.client(
        service,
        endpoint_url=ENVIRONMENT["AWS_ENDPOINT_URL"],
        region_name=REGION,
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        config=Config(proxies={}, retries={"max_attempts": 1}),
    )


def download(bucket: str, key: str) -> bytes:
    """Return the content of an object of S3."""
    content: bytes = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


class Aws:
    """The servers: a WSGI application before moto's, and the image registry.

    An account is set up in moto with bucket, repository, parameters and deployment group.

    Parameters
    ----------
    parameters : values of the Parameter Store by name.
    """

    def __init__(
        self, options: Options, deployments: CodeDeploy, parameters: dict[str, str]
    ) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        host, port = AWS.split(":")
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._deployments = deployments
        self._told_tags: set[str] = set()
        self._guard = threading.Lock()
        server = make_server(
            host, int(port), self, threaded=True, request_handler=MotoRequestHandler
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _set_up(parameters)
        (login,) = client("ecr").get_authorization_token()["authorizationData"]
        token = base64.b64decode(login["authorizationToken"]).decode()
        self.user, _, self.password = token.partition(":")
        self._serve_images(options)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request to AWS."""
        return self._answer(Request(environ))(environ, start)

    def image_id(self, image: str) -> str:
        """Return the image ID (hex digest of the configuration) of an image given by digest."""
        manifest = self._ask_registry(f"manifests/{image.partition('@')[2]}").json()
        return str(manifest["config"]["digest"]).removeprefix("sha256:")

    def _answer(self, request: Request) -> Callable[..., Iterable[bytes]]:
        service, _, action = request.headers.get("X-Amz-Target", "").rpartition(".")
        if service.startswith("AmazonEC2ContainerRegistry") and action not in _ECR_WRITES:
            self._tell_ecr_of_images()
        if not service.startswith("CodeDeploy"):
            return self._moto
        body = request.get_data()
        request.environ["wsgi.input"] = io.BytesIO(body)  # for moto, which reads it again
        asked = json.loads(body or b"{}")
        if action == "CreateDeployment":
            created = Response.from_app(self._moto, request.environ, buffered=True)
            if created.status_code == 200:
                self._deployments.start(json.loads(created.get_data())["deploymentId"], asked)
            return created
        answer = self._deployments.answer(action, asked)
        if answer is None:
            return self._moto
        return Response(json.dumps(answer), content_type="application/x-amz-json-1.1")

    def _serve_images(self, options: Options) -> None:
        """Start a registry that wants the login that moto's ECR hands out."""
        log = options.logs / "image-registry.log"
        users, settings = options.private / "htpasswd", options.private / "image-registry.yml"
        command = ["htpasswd", "-n", "-i", "-B", "-C", "4", self.user]
        entry = run(command, log, seconds=10, given=self.password).stdout
        users.write_text(entry, encoding="utf-8")
        configuration = {
            "version": 0.1,
            "log": {"accesslog": {"disabled": True}, "level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(options.run / "images")}},
            "http": {"addr": IMAGE_REGISTRY, "secret": "<of the rehearsal>"},
            "auth": {"htpasswd": {"realm": "rehearsal", "path": str(users)}},
        }
        settings.write_text(json.dumps(configuration), encoding="utf-8")
        server = Background(["docker-registry", "serve", settings], log)
        server.wait_for(f"http://{IMAGE_REGISTRY}/v2/", 20, good=401)

    def _ask_registry(self, path: str) -> requests.Response:
        answer = get(
            f"http://{IMAGE_REGISTRY}/v2/{REPOSITORY}/{path}",
            auth=(self.user, self.password),
            headers={"Accept": _MANIFESTS},
        )
        # A repository that nothing was pushed to is not found.
        if not answer.ok and path != "tags/list":
            raise RehearsalError(f"the image registry answers {answer.status_code} for {path}")
        return answer

    def _tell_ecr_of_images(self) -> None:
        with self._guard:
            tags = self._ask_registry("tags/list").json().get("tags") or []
            for tag in set(tags) - self._told_tags:
                manifest = self._ask_registry(f"manifests/{tag}")
                client("ecr").put_image(
                    repositoryName=REPOSITORY,
                    imageManifest=manifest.text,
                    imageManifestMediaType=manifest.headers["Content-Type"],
                    imageTag=tag,
                    imageDigest=manifest.headers["Docker-Content-Digest"],
                )
                self._told_tags.add(tag)


def _set_up(parameters: dict[str, str]) -> None:
    location = {"LocationConstraint": REGION}
    client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
    client("ecr").create_repository(repositoryName=REPOSITORY)
    for name, value in parameters.items():
        client("ssm").put_parameter(Name=name, Value=value, Type="SecureString")
    deploy = client("codedeploy")
    deploy.create_application(applicationName=APPLICATION, computePlatform="Server")
    role = "arn:aws:iam::<account>:role/rehearsal"
    deploy.create_deployment_group(
        applicationName=APPLICATION, deploymentGroupName=GROUP, serviceRoleArn=role
    )
