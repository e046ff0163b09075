#!/usr/bin/env bash
# validate_service.sh: ask the service for a price, and check it and the model that gave it.
#
# Sends known_listing.json, which lies beside image.env, to POST /predict on the published port. The
# price must be from LOWEST to HIGHEST, and the model's version MODEL_VERSION (or any), all of
# image.env: a service that fell back on an older model is not what was meant to be deployed. As
# long as the service says that it is still asking the registry it may answer by the model of its
# cache, and is asked again, for 40 s. Where it wants an API key, VALIDATION_API_KEY=ssm:/name,
# secretsmanager:id or file:/path names one.

set -euo pipefail
# shellcheck source=deploy/scripts/common.sh
. "$(dirname "$0")/common.sh"
read_options '' "$@"

listing=$(dirname "$image_env")/known_listing.json
[ -r "$listing" ] || fail "$listing is missing; deploy/bundle.sh puts it into the bundle" 2
url=http://127.0.0.1:$(port)/predict
version=$(setting MODEL_VERSION)
lowest=$(amount LOWEST)
highest=$(amount HIGHEST)
key=$(setting VALIDATION_API_KEY '')

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ -n "$key" ]; then
  key=$(secret "$key")
fi
# The key goes in through standard input: arguments are for everybody to see.
ask() {
  status=$(
    printf '%s\n' "${key:+X-API-Key: $key}" |
      curl --header @- --silent --max-time 10 --noproxy '*' --header 'Content-Type: application/json' \
        --data-binary "@$listing" --dump-header "$folder/head" --output "$folder/answer" \
        --write-out '%{http_code}' "$url"
  ) || true
  [ "$status" = 200 ] || fail "$url answered ${status/000/nothing}: $(head -c 500 "$folder/answer" 2>/dev/null)"
  served=$(tr -d '\r' <"$folder/head" | sed -n 's/^[Xx]-[Mm]odel-[Vv]ersion: *//p')
}

ask
while [ "$version" != any ] && [ "$served" != "$version" ]; do
  health=$(curl --silent --max-time 3 --noproxy '*' "${url%predict}" | head -c 500) || true
  [[ $health == *'the registry is being asked'* && $SECONDS -lt 40 ]] ||
    fail "model version ${served:-unknown} answered, not $version: $health"
  sleep 1
  ask
done

price=$(sed -n 's/.*"predictedPrice": *\([0-9][0-9.]*\).*/\1/p' "$folder/answer")
[ -n "$price" ] || fail "$url answered without a predictedPrice: $(head -c 500 "$folder/answer")"
awk -v price="$price" -v lowest="$lowest" -v highest="$highest" \
  'BEGIN { exit !(price >= lowest && price <= highest) }' ||
  fail "the price of the known listing is $price, not from $lowest to $highest"
echo "valid: the known listing is worth $price, says model version $served"
