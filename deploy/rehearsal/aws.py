"""AWS on one machine: moto's server, and docker-registry for the images of ECR.

moto answers everything but what follows, and checks what it is asked:

- :mod:`rehearsal.codedeploy` answers CodeDeploy's actions on a deployment, and begins it when moto
  has given it an id;
- an image is pushed to the real registry and not to moto, which is told of it when it is scanned.
"""

import base64
import json
import logging
from collections.abc import Callable
from typing import Any, Final

import boto3
from botocore.config import Config
from moto.codedeploy.responses import CodeDeployResponse
from moto.core.responses import ActionResult
from moto.ecr.responses import ECRResponse
from moto.server import ThreadedMotoServer

from rehearsal.agent import Revision
from rehearsal.codedeploy import ACTIONS, CodeDeploy
from rehearsal.instances import IMAGE_REGISTRY
from rehearsal.processes import GATEWAY, Background, Options, answers, get, run

BUCKET: Final = "carprice-bundles"
NAME: Final = "carprice"
"""Of repository, application and deployment group."""
_PORT: Final = 4566
_KEY: Final = "rehearsal"
ENVIRONMENT: Final = {
    "AWS_ENDPOINT_URL": f"http://{GATEWAY}:{_PORT}",
    "AWS_REGION": "eu-north-1",
    "AWS_ACCESS_KEY_ID": _KEY,
    "AWS_SECRET_ACCESS_KEY": _KEY,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "*",
}
"""What the AWS command line is told."""
_MANIFESTS: Final = (
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.image.manifest.v1+json"
)


def client(service: str) -> Any:
    """Return boto3's client of a service."""
    return boto3.client(
        service,
        endpoint_url=ENVIRONMENT["AWS_ENDPOINT_URL"],
        region_name=ENVIRONMENT["AWS_REGION"],
        aws_access_key_id=_KEY,
        aws_secret_access_key=_KEY,
        config=Config(proxies={}, retries={"max_attempts": 1}),
    )


def download(bucket: str, key: str) -> bytes:
    """Return the content of an object of S3."""
    content: bytes = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


class Aws:
    """The servers, and an account with bucket, repository, parameters and deployment group.

    Parameters
    ----------
    parameters : values of the Parameter Store by name.
    """

    def __init__(
        self, options: Options, deployments: CodeDeploy, parameters: dict[str, str]
    ) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        _deploy_with(deployments)
        self._scan = ECRResponse.start_image_scan
        _replace(ECRResponse, start_image_scan=self._start_scan)
        ThreadedMotoServer(GATEWAY, _PORT, verbose=False).start()
        region = {"LocationConstraint": ENVIRONMENT["AWS_REGION"]}
        client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=region)
        client("ecr").create_repository(repositoryName=NAME)
        for name, value in parameters.items():
            client("ssm").put_parameter(Name=name, Value=value, Type="SecureString")
        deploy = client("codedeploy")
        deploy.create_application(applicationName=NAME, computePlatform="Server")
        role = "arn:aws:iam::<account>:role/rehearsal"
        deploy.create_deployment_group(
            applicationName=NAME, deploymentGroupName=NAME, serviceRoleArn=role
        )
        (login,) = client("ecr").get_authorization_token()["authorizationData"]
        token = base64.b64decode(login["authorizationToken"]).decode()
        self.user, _, self.password = token.partition(":")
        self._serve_images(options)

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
        server.wait_for(lambda: answers(f"http://{IMAGE_REGISTRY}/v2/", 401), 20)

    def _start_scan(self, response: Any) -> ActionResult:
        digest = response._get_param("imageId")["imageDigest"]
        manifest = get(
            f"http://{IMAGE_REGISTRY}/v2/{NAME}/manifests/{digest}",
            auth=(self.user, self.password),
            headers={"Accept": _MANIFESTS},
        )
        client("ecr").put_image(
            repositoryName=NAME,
            imageManifest=manifest.text,
            imageManifestMediaType=manifest.headers["Content-Type"],
            imageTag="scanned",
            imageDigest=digest,
        )
        return self._scan(response)


def _deploy_with(deployments: CodeDeploy) -> None:
    """Have moto's server ask the stand-in for CodeDeploy."""
    create = CodeDeployResponse.create_deployment

    def create_deployment(response: Any) -> Any:
        created: Any = create(response)
        place = response._get_param("revision")["s3Location"]
        number = created.result["deploymentId"]
        deployments.start(Revision(number, NAME, NAME, place["bucket"], place["key"]))
        return created

    def answering(action: str) -> Callable[[Any], ActionResult]:
        return lambda one: ActionResult(deployments.answer(action, one._get_param("targetId")))

    told = {action: answering(action) for action in ACTIONS}
    _replace(CodeDeployResponse, create_deployment=create_deployment, **told)


def _replace(answering: type, **told: Callable[[Any], Any]) -> None:
    for action, answer in told.items():
        setattr(answering, action, lambda response, answer=answer: answer(response))
