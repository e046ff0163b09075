#!/usr/bin/env bash
# pull_image.sh: have the image that image.env names on this machine.
#
# Logs in to its registry with the instance's role and pulls it by digest; the login is forgotten
# again. Does nothing where the image is here. start_docker.sh would pull it too: as a hook of its
# own, what goes wrong with the registry has its own name and time limit.

set -euo pipefail
# shellcheck source=deploy/scripts/common.sh
. "$(dirname "$0")/common.sh"
read_options '' "$@"

pull
