#!/usr/bin/env bash
# rollback.sh --image IMAGE --model-version N --why REASON: go back to an image and a model version.
#
# Puts the model version into production in the registry (`carprice rollback --to`), unless it is
# there, and deploys the image with it, as every other release is: blue/green, through the same
# hooks. An image of the past is found with `aws ecr describe-images`.
#
# Environment: that of deploy/bundle.sh and deploy/rollout.sh, and the registry's login.

set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"

image=
version=
why=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help)
      help
      exit 0
      ;;
    --image)
      image=$(value_of "$@")
      shift 2
      ;;
    --model-version)
      version=$(value_of "$@")
      shift 2
      ;;
    --why)
      why=$(value_of "$@")
      shift 2
      ;;
    *) fail "unknown argument '$1'; --help tells what there is" 2 ;;
  esac
done
check_image "$image"
check_version "$version"
[ -n "$why" ] || fail "--why wants the reason, which is kept with the versions" 2
needs_programs carprice python3
cd "$project"

in_production=$(carprice status --json | python3 -c '
import json, sys
print(*(one["number"] for one in json.load(sys.stdin) if "production" in one["aliases"]))')
if [ "$in_production" = "$version" ]; then
  say "Version $version is in production already"
else
  carprice rollback --to "$version" --why "$why" >&2
fi
bundle=$(deploy/bundle.sh --image "$image" --model-version "$version")
deploy/rollout.sh "$bundle"
