#!/bin/sh
# run-image.sh IMAGE HOME COMMAND...: the mounted image as a container runtime starts it, with a root that cannot be
# written, and the user of the image.
set -eu
if [ "${IN_NAMESPACE:-}" != yes ]; then IN_NAMESPACE=yes exec unshare --mount --propagation private sh "$0" "$@"; fi
image=$1 home=$2
shift 2
mkdir -p "$image/proc" "$image/dev"
mount --bind "$image" "$image"
mount -t proc proc "$image/proc"
mount --rbind /dev "$image/dev"
mount --bind "$home" "$image/var/lib/palyra"
mount -o remount,bind,ro "$image"
exec env -i PALYRA_HOME=/var/lib/palyra PATH=/usr/sbin:/usr/bin:/bin \
  chroot --userspec=65532:65532 --groups= "$image" "$@"
