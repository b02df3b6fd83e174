#!/bin/sh
# copy-of-machine.sh FOLDER COMMAND...: runs the command as root in a copy of this machine's files, then removes the copy.
# Starts itself again in a separate mount namespace.
set -eu
if [ "${IN_COPY:-}" != yes ]; then IN_COPY=yes exec unshare --mount --propagation private sh "$0" "$@"; fi
unset IN_COPY
copy=$1
shift
mount -t tmpfs none "$copy"
mkdir "$copy/upper" "$copy/work" "$copy/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$copy/upper,workdir=$copy/work" "$copy/root"
mount -t proc proc "$copy/root/proc"
mount --rbind /dev "$copy/root/dev"
mount -t tmpfs none "$copy/root/run"
exec chroot "$copy/root" "$@"
