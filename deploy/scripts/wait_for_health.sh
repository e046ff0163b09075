#!/usr/bin/env bash
# wait_for_health.sh: wait until the service is healthy as the load balancer sees it.
#
# Asks GET / on the published port, as the target group does, once a second, until it was answered
# with 200 three times in a row. After HEALTH_SECONDS of image.env (90; at most 100, because
# CodeDeploy ends the hook at 120) it prints the container's last log lines and exits 1.

set -euo pipefail
# shellcheck source=deploy/scripts/common.sh
. "$(dirname "$0")/common.sh"
read_options '' "$@"

needed=$(number HEALTHY_ANSWERS 3 20)
limit=$(number HEALTH_SECONDS 90 100)
url=http://127.0.0.1:$(port)/

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
good=0
asked=0
status=000
while [ "$good" -lt "$needed" ]; do
  if [ "$asked" -gt 0 ] && [ "$SECONDS" -ge "$limit" ]; then
    echo "The container's last lines:" >&2
    timeout 5 docker logs --tail 40 "$container" >&2 || true
    echo "The last answer of $url: ${status/000/none}, $(head -c 500 "$answer")" >&2
    fail "not healthy after $limit s, asked $asked times; see the lines above"
  fi
  [ "$asked" = 0 ] || sleep 1
  asked=$((asked + 1))
  : >"$answer"
  status=$(curl --silent --max-time 3 --noproxy '*' --output "$answer" --write-out '%{http_code}' "$url") || true
  if [ "$status" = 200 ]; then
    good=$((good + 1))
  else
    good=0
  fi
done
echo "healthy: $url answered 200 $needed times in a row, after $SECONDS s"
