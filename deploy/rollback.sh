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
model_version=
why=
read_options 'image: model-version: why:' "$@"
check_image "$image"
check_version "$model_version"
[ -n "$why" ] || fail "--why wants the reason, which is kept with the versions" 2
needs_programs carprice python3
cd "$project"

in_production=$(carprice status --json | python3 -c '
import json, sys
print(*(one["number"] for one in json.load(sys.stdin) if "production" in one["aliases"]))')
if [ "$in_production" = "$model_version" ]; then
  say "Version $model_version is in production already"
else
  carprice rollback --to "$model_version" --why "$why" >&2
fi
bundle=$(deploy/bundle.sh --image "$image" --model-version "$model_version")
# What one goes back from has often set off an alarm, and CodeDeploy starts nothing while one is on.
IGNORE_ALARMS=yes deploy/rollout.sh "$bundle"
