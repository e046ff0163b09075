#!/usr/bin/env bash
# scan.sh --image IMAGE: wait until the registry has scanned an image, and refuse what it may not have.
#
# The scan is Amazon ECR's own, on packages with known vulnerabilities. Exits with 0
# where it lets the image pass; release.sh asks it before it gives an image its tag.
#
#   --image IMAGE    <account>.dkr.ecr.<region>.amazonaws.com/<repository>@sha256:<digest>
#
# Environment:
#   AWS_REGION        the repository's region; the login is the AWS command line's usual one
#   SCAN_REFUSES      severities that refuse an image: CRITICAL, or e.g. "CRITICAL HIGH"
#   SCAN_SECONDS      how long to wait for the scan: 600

set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"

image=
read_options 'image:' "$@"
check_image "$image"
needs AWS_REGION '<region>'
needs_programs aws

named=${image#*/}
repository=${named%@*}
digest=${named#*@}
# The command line asks for page after page, and the query is of each page: what is the same on all
# of them is asked with --no-paginate.
findings() { # QUERY OPTION…
  aws ecr describe-image-scan-findings --region "$AWS_REGION" --repository-name "$repository" \
    --image-id "imageDigest=$digest" --query "$1" --output text "${@:2}"
}
say "Scanning $digest"
# Refused where the registry scans on push, or did today: what it found is asked for either way.
refused=$(aws ecr start-image-scan --region "$AWS_REGION" --repository-name "$repository" \
  --image-id "imageDigest=$digest" 2>&1 >/dev/null) || true
limit=$((SECONDS + ${SCAN_SECONDS:-600}))
while state=$(findings imageScanStatus.status --no-paginate 2>&1) || true; [[ ! $state =~ ^(COMPLETE|ACTIVE)$ ]]; do
  [[ $SECONDS -lt $limit && $state =~ ^(PENDING|IN_PROGRESS|.*ScanNotFound.*)$ ]] ||
    fail "the image was not scanned: $state $refused; is scanning on in the repository's settings?"
  sleep 2
done
for severity in ${SCAN_REFUSES:-CRITICAL}; do
  count=$(findings "imageScanFindings.findingSeverityCounts.$severity" --no-paginate)
  if [ "$count" != None ] && [ "$count" != 0 ]; then
    findings "imageScanFindings.findings[?severity=='$severity'].[severity, name, uri]" >&2
    fail "the scan found $count vulnerabilities of severity $severity (above); update the base image or the locks, or set SCAN_REFUSES"
  fi
done
