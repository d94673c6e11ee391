#!/bin/sh
# load.sh NETNS ARCHIVE... - import image archives (image.py, `docker save`, buildah)
# into every node that runs, so that a test can change an image under it.
set -eu
net=$1; shift
bin=$("$(dirname "$0")/build")
for ns in $(ip netns list | cut -d' ' -f1 | grep "^$net-n[0-9]*$"); do
	for pid in $(ip netns pids "$ns"); do
		[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = containerd ] || continue
		for archive; do
			nsenter --mount --target "$pid" "$bin/ctr" -n k8s.io images import "$(realpath "$archive")" >/dev/null
		done
		break
	done
done
