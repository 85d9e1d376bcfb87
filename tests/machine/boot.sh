#!/bin/bash
# boot.sh ROOT NAME: a machine with systemd as its process 1, in namespaces of its own (the network one is
# there already). It ends with this process. Needs root, and a control group hierarchy named systemd.
set -euo pipefail
export ROOT=$1 NAME=$2
group=/sys/fs/cgroup/systemd/$NAME
mkdir -p "$group"
echo $$ >"$group/cgroup.procs"
exec ip netns exec "$NAME" unshare --mount --uts --ipc --pid --cgroup --fork --kill-child bash -euc '
    mount --make-rprivate /
    mount --rbind "$ROOT" "$ROOT"
    cd "$ROOT"
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount --rbind /dev dev
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs tmpfs tmp
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
    mkdir -p host
    pivot_root . host
    cd /
    umount -l host
    mount --make-rshared / # as process 1 of a real machine would have it: credentials are handed over by mounts
    exec env -i container=airclass PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --log-target=journal
'
