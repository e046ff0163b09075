#!/usr/bin/env bash
# install_dependencies.sh: have Docker, running, the AWS command line and curl on this machine.
#
# For Amazon Linux 2023 (dnf) and Ubuntu (apt, snap), as root. What is there is left as it is: the
# second time there is nothing to do.

set -euo pipefail
# shellcheck source=deploy/scripts/common.sh
. "$(dirname "$0")/common.sh"
read_options '' "$@"

has() {
  command -v "$1" >/dev/null 2>&1
}

# An instance that has just started updates itself, and holds apt's lock.
apt() { # ARGUMENT...
  DEBIAN_FRONTEND=noninteractive timeout 120 apt-get --quiet --option DPkg::Lock::Timeout=90 "$@"
}

# On a new machine its own daily update may hold the lists, for which apt does not wait.
refresh() {
  local try
  for try in {1..9}; do
    if apt update; then
      return
    fi
    echo "apt-get update, try $try" >&2
    sleep 10
  done
  fail "apt-get cannot update its lists; see the messages above"
}

install() { # PACKAGE
  if has dnf; then
    timeout 120 dnf install --assumeyes --quiet "$1"
  elif has apt-get; then
    [ -n "${refreshed:-}" ] || refresh
    refreshed=yes
    apt install --yes --no-install-recommends "$1"
  else
    fail "neither dnf nor apt-get is here to install $1; use Amazon Linux 2023 or Ubuntu"
  fi
}

install_docker() {
  if has dnf; then install docker; else install docker.io; fi
}

# Ubuntu has no package of version 2, and AWS itself offers the snap.
install_aws() {
  if has dnf; then
    install awscli-2
  elif has snap; then
    timeout 60 snap wait system seed.loaded
    timeout 120 snap install aws-cli --classic
  else
    install awscli
  fi
}

has curl || install curl
has aws || install_aws
has docker || install_docker
if ! docker info >/dev/null 2>&1; then
  systemctl enable --now docker
fi
for program in curl aws docker; do
  has "$program" || fail "$program is not here although its package was installed"
  echo "$program: $(command -v "$program")"
done
