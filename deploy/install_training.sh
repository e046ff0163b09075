#!/usr/bin/env bash
# install_training.sh: install the project with the very packages of deploy/training, by their hashes.
#
# For jobs with secrets: what is new in a package index does not come beside them unseen. `just lock`
# makes the locks. Under act nothing is locked, for the job sees the packages of this machine.
#
# Environment: none.

set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"

read_options '' "$@"
needs_programs pip
cd "$project"

if [ -n "${ACT:-}" ]; then
  exec pip install -e .
fi
# First what builds packages: without isolation nothing else is fetched for it.
pip install --require-hashes --no-deps --only-binary :all: --requirement deploy/training/build.txt
pip install --require-hashes --no-deps --no-build-isolation --requirement deploy/training/training.txt
pip install --no-deps --no-build-isolation -e .
