#!/usr/bin/env bash
# stop_docker.sh: stop the container, which finishes what it is asked, and take it away.
# Always exits 0: CodeDeploy runs the script of the revision before, and what that one left behind
# must not stop a new one.

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  sed -n '2,/^$/ s/^# \{0,1\}//p' "$0"
  exit 0
fi
timeout 45 docker stop -t 30 carprice 2>&1 || true
timeout 10 docker rm --force carprice 2>&1 || true
exit 0
