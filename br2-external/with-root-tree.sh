#!/bin/sh
# Buildroot's post-image script: calls the shared post-image.sh with the
# SHAPED_DIR it expects, the tree that post-fakeroot.sh left behind.
#
# Buildroot's own TARGET_DIR is not that tree: it belongs to whoever builds,
# lacks the users that packages ask for and was never shaped. All of that
# happens to a copy, in a fakeroot session of which rootfs.tar is all that
# remains. Unpacking it with its owners and modes takes another such session,
# and post-image.sh has to run inside. No root needed.
set -eu

if [ -z "${FAKEROOTKEY:-}" ]; then
	export FAKEROOTDONTTRYCHOWN=1
	exec "$HOST_DIR/bin/fakeroot" -- "$0" "$@"
fi

top=$(dirname "$(readlink -f "$0")")/..
SHAPED_DIR=$BUILD_DIR/root-tree
export SHAPED_DIR

trap 'rm -rf "$SHAPED_DIR"' EXIT
rm -rf "$SHAPED_DIR"
mkdir -p "$SHAPED_DIR"
tar -C "$SHAPED_DIR" -xpf "$BINARIES_DIR/rootfs.tar" --numeric-owner \
	--xattrs --xattrs-include='*'
rm "$BINARIES_DIR/rootfs.tar"

"$top/post-image.sh" "$@"
