#!/usr/bin/env bash
# start_docker.sh: run the container that image.env names, in place of the one before.
#
# Pulls the image by digest, reads the secrets from the Parameter Store or Secrets Manager into
# files that only the container's user can read (/run/carprice/secrets, in memory), and only then
# takes the old container away and starts the new one: without privileges, on a read-only file
# system, with its port published. Where image.env asks for a prediction log or outcomes, a folder of
# the machine is mounted for each, because nothing else but the models' can be written. It does not
# wait until the service is healthy: wait_for_health.sh does.
#
# image.env: IMAGE, AWS_REGION, MLFLOW_TRACKING_URI, PORT, LOG_GROUP, SECRET_<VARIABLE>=ssm:/name or
# secretsmanager:id, and CARPRICE_…, WEB_CONCURRENCY and FORWARDED_ALLOW_IPS, which the container
# gets as they are.

set -euo pipefail
# shellcheck source=deploy/scripts/common.sh
. "$(dirname "$0")/common.sh"
read_options '' "$@"

user=10001:10001 # the Dockerfile's
state=${STATE_FOLDER:-/var/lib/carprice}
secrets=${SECRETS_FOLDER:-/run/carprice/secrets}
image=$(setting IMAGE)
port=$(port)
registry=$(setting MLFLOW_TRACKING_URI)
[[ ! $registry =~ ://[^/]*@ ]] ||
  fail "$image_env: MLFLOW_TRACKING_URI must hold no login; name it with SECRET_MLFLOW_TRACKING_PASSWORD" 2

pull

umask 077
new=$secrets.new
trap 'rm -rf "$new"' EXIT
rm -rf "$new"
mkdir -p "$new" "$state/models"
while IFS='=' read -r key where; do
  secret "$where" >"$new/${key#SECRET_}"
done < <(grep '^SECRET_' "$image_env" || true)
chmod -R u=rX "$new"
chown -R "$user" "$new" "$state/models"
kept=()
keep() { # NAME KEY: a folder for what the container leaves behind, where image.env has the key
  [ -n "$(setting "$2" '')" ] || return 0
  mkdir -p "$state/$1"
  chown "$user" "$state/$1"
  kept+=(--volume "$state/$1:/var/lib/carprice/$1")
}
keep prediction-log CARPRICE_PREDICTION_LOG
keep outcomes SECRET_CARPRICE_OUTCOMES

timeout 45 docker stop -t 30 "$container" >/dev/null 2>&1 || true
timeout 10 docker rm --force "$container" >/dev/null 2>&1 || true
rm -rf "$secrets"
mv "$new" "$secrets"

settings=(--env "PORT=$port")
while IFS= read -r line; do
  settings+=(--env "$line")
done < <(grep -E '^(CARPRICE_|MLFLOW_TRACKING_URI=|WEB_CONCURRENCY=|FORWARDED_ALLOW_IPS=)' "$image_env")

logs=(--log-opt max-size=20m)
log_group=$(setting LOG_GROUP '')
if [ -n "$log_group" ]; then
  # What CloudWatch is too slow for is dropped: the service does not wait for its log.
  logs=(--log-driver awslogs --log-opt "awslogs-region=$(setting AWS_REGION)"
    --log-opt "awslogs-group=$log_group" --log-opt mode=non-blocking)
fi

# A mount of the secrets fails where they are gone, as after a restart of the machine: no container
# is better than one that asks nobody for an API key.
timeout 60 docker run --detach --name "$container" \
  --restart unless-stopped --stop-timeout 30 \
  --publish "$port:$port" \
  --read-only --tmpfs /tmp:rw,noexec,nosuid,nodev,size=64m \
  --cap-drop all --security-opt no-new-privileges \
  "${logs[@]}" \
  --volume "$state/models:/var/lib/carprice/models" "${kept[@]}" \
  --mount "type=bind,source=$secrets,target=/run/secrets,readonly" \
  "${settings[@]}" \
  "$image" ||
  fail "the container does not start; see the message above"
