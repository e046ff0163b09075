# What the scripts of this folder share: sourced, not run.
# shellcheck shell=bash

# shellcheck disable=SC2034 # used by those that source this
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# shellcheck source=deploy/scripts/options.sh
. "$project/deploy/scripts/options.sh"

export AWS_PAGER= # nobody is there to turn pages

say() { # MESSAGE: results alone go to standard output
  echo "$1" >&2
}

needs() { # VARIABLE WHAT
  [ -n "${!1:-}" ] || fail "$1 is not set; export $1=$2" 2
}

needs_programs() { # PROGRAM...
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 || fail "$program is not installed" 2
  done
}

check_image() { # IMAGE
  [[ $1 =~ ^[^/@[:space:]]+/[^@[:space:]]+@sha256:[0-9a-f]{64}$ ]] ||
    fail "an image is named as REGISTRY/REPOSITORY@sha256:DIGEST (found '$1'); deploy/release.sh prints it" 2
}

check_version() { # VERSION
  [[ $1 =~ ^[1-9][0-9]*$ ]] || fail "--model-version wants a version's number (found '$1')" 2
}
