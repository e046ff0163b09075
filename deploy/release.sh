#!/usr/bin/env bash
# release.sh [--model FOLDER] [--allow-dirty] [-- OPTION…]: build the image, have it scanned, push it.
#
# Prints the image, named by its digest, and everything else on standard error. The image is pushed
# as COMMIT-unscanned; the registry scans it (Amazon ECR's own scan, on packages with known
# vulnerabilities), and only what passes gets the tag COMMIT. Where that tag is there already,
# nothing is built: a new model alone needs no new image. Where deploy/service.env asks for a
# prediction log or for outcomes, the image has what they need, and the tag is COMMIT-log.
#
#   --model FOLDER   bake a model folder of the project in, to start from when neither registry nor
#                    cache has a model; its digest becomes a part of the tag
#   --allow-dirty    build although the image's files are not what is committed; the tag says so
#   OPTION…          options for `podman build`; with --build-arg BASE=IMAGE another base than that
#                    of deploy/base_image.sh
#
# Environment:
#   IMAGE_REPOSITORY  <account>.dkr.ecr.<region>.amazonaws.com/<repository>
#   AWS_REGION        the repository's region; the login is the AWS command line's usual one
#   SCAN_REFUSES, SCAN_SECONDS  see scan.sh

set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"

model=
allow_dirty=
read_options 'model: allow-dirty --' "$@"
needs IMAGE_REPOSITORY '<account>.dkr.ecr.<region>.amazonaws.com/<repository>'
needs AWS_REGION '<region>'
needs_programs git podman aws
cd "$project"

registry=${IMAGE_REPOSITORY%%/*}
repository=${IMAGE_REPOSITORY#*/}
revision=$(git rev-parse HEAD)
created=$(git show --no-patch --format=%cI HEAD)
if [ -n "$(git status --porcelain -- Dockerfile .dockerignore LICENSE README.md pyproject.toml api src deploy/locks deploy/base_image.txt)" ]; then
  [ -n "$allow_dirty" ] ||
    fail "the image's files differ from commit ${revision:0:12}; commit them, or say --allow-dirty" 2
  revision=$revision-dirty
fi
tag=$revision
if [ -n "$model" ]; then
  [[ $model == models/* ]] ||
    fail "--model wants a folder below models/, which the build sees (found '$model')" 2
  [ -r "$model/model.json" ] || fail "$model is not a model folder: it has no model.json" 2
  tag=$tag-$(sha256sum "$model/model.json" | cut -c 1-12)
fi
log=()
if grep -qE '^(CARPRICE_PREDICTION_LOG|CARPRICE_MONITORING|SECRET_CARPRICE_OUTCOMES)=.' deploy/service.env; then
  log=(--build-arg PREDICTION_LOG=yes)
  tag=$tag-log
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export REGISTRY_AUTH_FILE=$scratch/login.json

if [[ $revision != *-dirty ]]; then
  if digest=$(aws ecr describe-images --region "$AWS_REGION" --repository-name "$repository" \
    --image-ids "imageTag=$tag" --query 'imageDetails[0].imageDigest' --output text 2>"$scratch/told"); then
    say "$IMAGE_REPOSITORY has $tag already"
    echo "$IMAGE_REPOSITORY@$digest"
    exit
  fi
  grep -q ImageNotFound "$scratch/told" || fail "ECR does not tell whether it has $tag: $(cat "$scratch/told")"
fi

base=()
case " ${rest[*]} " in
  *' BASE='*) ;;
  *)
    named=$(deploy/base_image.sh)
    base=(--build-arg "BASE=$named")
    ;;
esac
podman build --format docker --layers --pull --timestamp "$(git show --no-patch --format=%ct HEAD)" \
  --build-arg "REVISION=$revision" --build-arg "CREATED=$created" --build-arg "MODEL=$model" \
  "${base[@]}" "${log[@]}" --tag "$IMAGE_REPOSITORY:$tag" "${rest[@]}" . >&2

aws ecr get-login-password --region "$AWS_REGION" |
  podman login --username AWS --password-stdin "$registry" >&2 ||
  fail "no login to $registry; may this AWS login call ecr:GetAuthorizationToken?"
push() { # TAG
  podman push --quiet --digestfile "$scratch/digest" \
    "$IMAGE_REPOSITORY:$tag" "docker://$IMAGE_REPOSITORY:$1" >&2
}
push "$tag-unscanned"
digest=$(cat "$scratch/digest")

deploy/scan.sh --image "$IMAGE_REPOSITORY@$digest"

push "$tag"
[ "$(cat "$scratch/digest")" = "$digest" ] ||
  fail "$tag became $(cat "$scratch/digest") and not $digest, which was scanned; release again"
echo "$IMAGE_REPOSITORY@$digest"
