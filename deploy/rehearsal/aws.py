"""AWS on one machine: moto behind one address, with CodeDeploy's answers from the stand-in.

Everything is passed on to moto as it came, but

- CodeDeploy's questions about deployments, which :mod:`rehearsal.codedeploy` answers;
  CreateDeployment goes to moto, which checks it and gives the deployment its number, and then
  starts the deployment;
- before ECR is asked about images, it is told which ones the registry has, since images are pushed
  to a real registry and moto would not know of them.
"""

import base64
import io
import json
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

import boto3
from botocore.config import Config
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from rehearsal.codedeploy import CodeDeploy
from rehearsal.image_registry import ImageRegistry
from rehearsal.options import REGION, Options

BUCKET: Final = "carprice-bundles"
REPOSITORY: Final = "carprice"
APPLICATION: Final = "carprice"
GROUP: Final = "carprice-blue-green"
KEY: Final = "rehearsal"
_CODEDEPLOY: Final = "CodeDeploy_20141006"
_ECR: Final = "AmazonEC2ContainerRegistry_V20150921"
_ECR_WRITES: Final = ("PutImage", "CreateRepository", "GetAuthorizationToken")


class Front:
    """The WSGI application before moto's."""

    def __init__(self, moto: Callable[..., Iterable[bytes]]) -> None:
        self._moto = moto
        self.deployments: CodeDeploy | None = None
        self.before_ecr: Callable[[], None] | None = None

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        return self._answer(Request(environ))(environ, start)

    def _answer(self, request: Request) -> Callable[..., Iterable[bytes]]:
        service, _, action = request.headers.get("X-Amz-Target", "").rpartition(".")
        if service == _ECR and action not in _ECR_WRITES and self.before_ecr is not None:
            self.before_ecr()
        if service != _CODEDEPLOY or self.deployments is None:
            return self._moto
        body = request.get_data()
        request.environ["wsgi.input"] = io.BytesIO(body)  # for moto, which reads it again
        asked = json.loads(body or b"{}")
        if action == "CreateDeployment":
            created = Response.from_app(self._moto, request.environ, buffered=True)
            if created.status_code == 200:
                self.deployments.start(json.loads(created.get_data())["deploymentId"], asked)
            return created
        answer = self.deployments.answer(action, asked)
        if answer is None:
            return self._moto
        return Response(json.dumps(answer), content_type="application/x-amz-json-1.1")


class Aws:
    """The servers, and what an account has: bucket, repository, parameters, deployment group."""

    def __init__(self, options: Options) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        host, port = options.aws_url.removeprefix("http://").split(":")
        self.front = Front(DomainDispatcherApplication(create_backend_app))
        self._options = options
        self._server = make_server(
            host, int(port), self.front, threaded=True, request_handler=MotoRequestHandler
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self._images: set[str] = set()
        self._guard = threading.Lock()

    def client(self, service: str) -> Any:
        """Return boto3's client of a service."""
        return boto3.client(
            service,
            endpoint_url=self._options.aws_url,
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=KEY,
            config=Config(proxies={}, retries={"max_attempts": 1}),
        )

    @property
    def environment(self) -> dict[str, str]:
        """What the AWS command line is told."""
        return {
            "AWS_ENDPOINT_URL": self._options.aws_url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "*",
        }

    def registry_password(self) -> str:
        """Return the password that ECR hands out."""
        data = self.client("ecr").get_authorization_token()["authorizationData"]
        return base64.b64decode(data[0]["authorizationToken"]).decode().partition(":")[2]

    def fill(self, secrets: dict[str, str]) -> None:
        """Make what the scripts expect to be there; ``secrets`` are SSM parameters."""
        location = {"LocationConstraint": REGION}
        self.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
        self.client("ecr").create_repository(repositoryName=REPOSITORY)
        for name, value in secrets.items():
            self.client("ssm").put_parameter(Name=name, Value=value, Type="SecureString")
        deploy = self.client("codedeploy")
        deploy.create_application(applicationName=APPLICATION, computePlatform="Server")
        deploy.create_deployment_group(
            applicationName=APPLICATION,
            deploymentGroupName=GROUP,
            serviceRoleArn="arn:aws:iam::<account>:role/rehearsal",
            deploymentStyle={
                "deploymentType": "BLUE_GREEN",
                "deploymentOption": "WITH_TRAFFIC_CONTROL",
            },
            blueGreenDeploymentConfiguration={
                "terminateBlueInstancesOnDeploymentSuccess": {"action": "KEEP_ALIVE"},
                "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
                "greenFleetProvisioningOption": {"action": "DISCOVER_EXISTING"},
            },
        )

    def know_images_of(self, registry: ImageRegistry) -> None:
        """Let ECR know, before it is asked, which images the registry has."""
        self.front.before_ecr = lambda: self._learn(registry)

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _learn(self, registry: ImageRegistry) -> None:
        with self._guard:
            for tag in set(registry.tags(REPOSITORY)) - self._images:
                manifest, kind, digest = registry.manifest(REPOSITORY, tag)
                self.client("ecr").put_image(
                    repositoryName=REPOSITORY,
                    imageManifest=manifest,
                    imageManifestMediaType=kind,
                    imageTag=tag,
                    imageDigest=digest,
                )
                self._images.add(tag)
