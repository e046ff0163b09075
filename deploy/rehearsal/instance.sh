#!/bin/sh
# instance.sh NAME FOLDER MACHINE TOOLS [STORE]: process 1 of an instance. Makes its root, enters it,
# and waits.
#
# Runs in new mount, process and host name namespaces. The root is this machine's, and what is
# written goes to FOLDER; the files of MACHINE lie over it, TOOLS is mounted at its own path, and
# STORE is for the container store, which else is in memory.
set -eu
name=$1 folder=$2 machine=$3 tools=$4 store=${5:-}
root=$folder/root

mkdir -p "$root" "$folder/upper" "$folder/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$root"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
for path in dev/shm run tmp; do
  mount -t tmpfs tmpfs "$root/$path"
done
chmod 1777 "$root/tmp"
mkdir -p "$root/run/lock" "$root$tools" "$root/var/lib/containers"
mount --rbind "$tools" "$root$tools"
# The container store cannot lie on an overlay itself.
if [ -n "$store" ]; then
  mkdir -p "$store"
  mount --rbind "$store" "$root/var/lib/containers"
else
  mount -t tmpfs tmpfs "$root/var/lib/containers"
fi
cat /etc/resolv.conf >"$folder/resolv.conf" || true # often a link into /run
rm -rf "$root/etc/resolv.conf" "$root/opt/codedeploy-agent"
cp "$folder/resolv.conf" "$root/etc/resolv.conf"
cp -R "$machine/." "$root/"

cd "$root"
pivot_root . .
umount --lazy .
cd /
hostname "$name"
touch "/run/$name-is-ready"
exec env --ignore-signal=CHLD sleep infinity # the kernel reaps orphans
