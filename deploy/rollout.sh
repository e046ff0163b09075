#!/usr/bin/env bash
# rollout.sh S3-ADDRESS: deploy a bundle with CodeDeploy and wait until it serves.
#
# The deployment group starts new instances, runs the bundle's hooks on them, and moves the load
# balancer's traffic over only if all of them succeeded. If one fails, this shows which, with the
# end of its log, and exits 1: the instances that served before serve on.
#
# Environment:
#   CODEDEPLOY_APPLICATION, CODEDEPLOY_GROUP, AWS_REGION
#   ROLLOUT_SECONDS  stop the deployment after so long: 3000, within the hour that GitHub's login
#                    to AWS lasts; 900 of them the instances before wait for the way back
#   POLL_SECONDS     how often to ask: 10
#   IGNORE_ALARMS    yes: start although an alarm of the deployment group is on, and do not stop for
#                    one; CodeDeploy refuses else, also what would mend it

set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"

case ${1:-} in
  -h | --help)
    help
    exit 0
    ;;
esac
[[ $# -eq 1 && $1 =~ ^s3://([^/]+)/(.+)$ ]] ||
  fail "wants the bundle's address, s3://BUCKET/KEY (found '$*'); deploy/bundle.sh prints it" 2
bucket=${BASH_REMATCH[1]}
key=${BASH_REMATCH[2]}
needs CODEDEPLOY_APPLICATION '<application>'
needs CODEDEPLOY_GROUP '<deployment group>'
needs AWS_REGION '<region>'
needs_programs aws

deploy() { # SUBCOMMAND OPTION…
  aws deploy "$@" --region "$AWS_REGION" --output text
}

alarms=()
[ -z "${IGNORE_ALARMS:-}" ] || alarms=(--override-alarm-configuration enabled=false)
deployment=$(deploy create-deployment --application-name "$CODEDEPLOY_APPLICATION" \
  --deployment-group-name "$CODEDEPLOY_GROUP" --description "${key##*/}" \
  --s3-location "bucket=$bucket,key=$key,bundleType=tgz" "${alarms[@]}" --query deploymentId)
say "Deployment $deployment of $1"

status=
limit=$((SECONDS + ${ROLLOUT_SECONDS:-3000}))
while [[ ! $status =~ ^(Succeeded|Failed|Stopped)$ ]]; do
  if [ "$SECONDS" -ge "$limit" ]; then
    deploy stop-deployment --deployment-id "$deployment" --auto-rollback-enabled >&2 ||
      fail "$deployment goes on, for it could not be stopped (above): not done after ${ROLLOUT_SECONDS:-3000} s, status ${status:-unknown}"
    fail "stopped $deployment: not done after ${ROLLOUT_SECONDS:-3000} s, status ${status:-unknown}"
  fi
  [ -z "$status" ] || sleep "${POLL_SECONDS:-10}"
  before=$status
  status=$(deploy get-deployment --deployment-id "$deployment" --query deploymentInfo.status || echo Unknown)
  [ "$status" = "$before" ] || say "$(date -u +%H:%M:%S) $status"
done
[ "$status" != Succeeded ] || exit 0

deploy get-deployment --deployment-id "$deployment" \
  --query 'deploymentInfo.errorInformation.[code, message]' >&2 || true
for target in $(deploy list-deployment-targets --deployment-id "$deployment" --query 'targetIds[]' || true); do
  [ "$target" != None ] || continue
  # shellcheck disable=SC2016 # the backquotes are the query's
  deploy get-deployment-target --deployment-id "$deployment" --target-id "$target" --query \
    'deploymentTarget.instanceTarget.[targetId, lifecycleEvents[?status==`Failed`][].[lifecycleEventName, diagnostics.scriptName, diagnostics.errorCode, diagnostics.message, diagnostics.logTail][]][]' |
    tr '\t' '\n' >&2 || true
done
fail "$deployment $status; what served before serves on. Where the model is at fault, put the registry back too (\`carprice rollback\`): instances that start later ask it for the production model"
