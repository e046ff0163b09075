#!/usr/bin/env bash
# base_image.sh [--now]: print the Dockerfile's base image, named by its digest.
#
# That is the line of deploy/base_image.txt, which `just lock-base` writes and git keeps. Where there
# is no such file, or with --now, it is what the image's tag names now, for which it is pulled.
#
# Environment: none; podman's own login, if the base image's registry wants one.

set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"

now=
read_options 'now' "$@"
needs_programs podman
cd "$project"

base=$(sed -n 's/^ARG BASE=//p' Dockerfile)
[ -n "$base" ] || fail "the Dockerfile has no line ARG BASE=<image>:<tag>" 2
if [ -z "$now" ] && [ -e deploy/base_image.txt ]; then
  locked=$(cat deploy/base_image.txt)
  [ "${locked%@*}" = "$base" ] ||
    fail "deploy/base_image.txt is of '${locked%@*}', the Dockerfile wants $base; run just lock-base" 2
else
  [ -n "$now" ] || say "No deploy/base_image.txt: the base image is what $base names now"
  podman pull --quiet "$base" >&2
  locked=$base@$(podman image inspect --format '{{.Digest}}' "$base")
fi
check_image "$locked"
echo "$locked"
