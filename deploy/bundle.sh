#!/usr/bin/env bash
# bundle.sh --image IMAGE --model-version N [--out FILE]: make CodeDeploy's bundle, put it into S3.
#
# The bundle is appspec.yml, deploy/scripts, the known listing of deploy/known_listing.json and
# image.env: the image by digest, the model version that must answer, and deploy/service.env. It
# holds no secret. Prints its address in S3; nothing there is overwritten.
#
#   --image IMAGE        REGISTRY/REPOSITORY@sha256:DIGEST, as deploy/release.sh prints it
#   --model-version N    version of the registered model that is in production
#   --out FILE           write the bundle there, and nothing to S3
#
# Environment:
#   BUNDLE_BUCKET        bucket, or bucket/folder
#   AWS_REGION           region of the instances
#   MLFLOW_TRACKING_URI  registry that the service asks, without a login
#   LOG_GROUP            group of CloudWatch Logs for what the service says; else it stays with Docker

set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"

image=
model_version=
out=
read_options 'image: model-version: out:' "$@"
check_image "$image"
check_version "$model_version"
needs AWS_REGION '<region>'
needs MLFLOW_TRACKING_URI 'https://<registry>'
[ -n "$out" ] || needs BUNDLE_BUCKET '<bucket>/<folder>'
needs_programs python3 tar

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/bundle/deploy"
cp "$project/appspec.yml" "$scratch/bundle/"
cp -R "$project/deploy/scripts" "$scratch/bundle/deploy/"
IMAGE=$image MODEL_VERSION=$model_version PYTHONDONTWRITEBYTECODE=1 \
  python3 "$project/deploy/image_env.py" "$project/deploy" "$scratch/bundle"

tar -czf "$scratch/bundle.tgz" -C "$scratch/bundle" .
if [ -n "$out" ]; then
  mv "$scratch/bundle.tgz" "$out"
  echo "$out"
  exit
fi
needs_programs aws
data=$(sed -n 's#^ *url *= *s3://##p' "$project/.dvc/config" 2>/dev/null || true)
if [ -n "$data" ] && [[ ${BUNDLE_BUCKET%/}/ == "${data%/}"/* || ${data%/}/ == "${BUNDLE_BUCKET%/}"/* ]]; then
  fail "BUNDLE_BUCKET and the data remote, s3://$data, lie in each other, so that whoever reads bundles reads listings; name another prefix, such as ${data%/}-bundles" 2
fi
digest=${image##*:}
address=s3://${BUNDLE_BUCKET%/}/carprice-${digest:0:12}-model-$model_version-$(date -u +%Y%m%dT%H%M%SZ).tgz
aws s3 cp --only-show-errors --region "$AWS_REGION" "$scratch/bundle.tgz" "$address" >&2
echo "$address"
