#!/bin/sh
# Starts this machine's systemd as the first process of a world of its own, where there is no other way to see it start a unit: its own
# processes, mounts, network, name and control groups, on a copy of the root that is gone with it. Linux; wants to be root.
#
#   test/systemd/own-systemd.sh DESTDIR      where `make install-systemd DESTDIR=…` has put Millrace and its units
#
# Whoever starts it enters by `nsenter --all` of its only child, and ends it by killing that.
set -eu

if [ "${1:-}" != --inside ]; then
  groups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
  [ -n "$groups" ] || { echo "there are no control groups of version 2" >&2; exit 1; }
  own=$groups/millrace-systemd-$$
  mkdir "$own"
  # Also where it is stopped by a signal: then the shell waits for the command, and ends by the trap.
  trap 'find "$own" -depth -type d -exec rmdir {} + 2>/dev/null || true' EXIT
  # In a group of its own from the start, which its namespace then has as the root.
  sh -c 'echo $$ >"$1/cgroup.procs" && exec unshare --cgroup --mount --pid --net --uts --ipc --fork --kill-child "$2" --inside "$3"' \
    start "$own" "$0" "$1" || true
  exit 0
fi

destination=$2
mount --make-rprivate /
mount -t tmpfs millrace /mnt
mkdir /mnt/changed /mnt/work /mnt/root
root=/mnt/root
# What is written goes into memory.
mount -t overlay millrace -o lowerdir=/,upperdir=/mnt/changed,workdir=/mnt/work "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 millrace "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts"
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777 millrace "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
for folder in run tmp; do mount -t tmpfs -o mode=1777 millrace "$root/$folder"; done
chmod 755 "$root/run"
# Of units in /etc there are ours alone.
mount -t tmpfs -o mode=755 millrace "$root/etc/systemd/system"
cp "$destination"/etc/systemd/system/*.service "$root/etc/systemd/system/"
# Settings of the kernel are everybody's. Not by a /proc/sys that can't be written: then the units get no /proc of their own.
for each in systemd-sysctl systemd-modules-load systemd-udevd systemd-udev-trigger; do
  ln -s /dev/null "$root/etc/systemd/system/$each.service"
done
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' >"$root/etc/systemd/system/default.target"
mkdir -p "$root/opt/millrace" "$root/etc/millrace"
mount --bind "$destination/opt/millrace" "$root/opt/millrace"
mount --bind "$destination/etc/millrace" "$root/etc/millrace"
# Not chroot: who is in one may not make namespaces of users, and the units do.
mkdir "$root/before"
cd "$root"
pivot_root . before
cd /
umount -l /before
exec env -i container=millrace PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --show-status=no --log-target=journal
