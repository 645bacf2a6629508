#!/bin/sh
# Runs a command as a container does, where there is no container engine: a root of its own that can't be written, with this system's programs
# and LAYOUT at /opt/millrace; a first process of its own; another user; no variables but those it is given. Linux; wants to be root.
#
#   tools/images/sandbox.sh LAYOUT DATA MODELS UID WORKDIR NAME=VALUE… COMMAND…
#
# DATA is at /data, where may be written, and MODELS at /models, where may not. The network is this machine's. Mounts and processes are gone
# with the command.
set -eu
exec unshare --mount --pid --fork --kill-child sh -eu -c '
  layout=$1 data=$2 models=$3 uid=$4 folder=$5
  shift 5
  mount --make-rprivate /
  # Over what is there: nobody else sees it.
  root=/mnt
  mount -t tmpfs -o mode=755 millrace "$root"
  cd "$root"
  mkdir -p usr dev proc tmp data models opt/millrace etc
  for each in bin sbin lib lib64; do
    if [ -L "/$each" ]; then cp -P "/$each" "$each"; elif [ -d "/$each" ]; then mkdir "$each"; mount --rbind "/$each" "$each"; fi
  done
  read_only() { mount --bind "$1" "$2" && mount -o remount,bind,ro "$2"; }
  read_only /usr usr
  read_only "$layout" opt/millrace
  read_only "$models" models
  mount --bind "$data" data
  mount --rbind /dev dev
  mount -t proc proc proc
  mount -t tmpfs -o mode=1777 millrace tmp
  cp /etc/hosts /etc/ld.so.cache etc/
  mount -o remount,ro "$root"
  exec chroot --userspec="$uid:$uid" "$root" /usr/bin/env -i -C "$folder" "$@"
' sandbox "$@"
