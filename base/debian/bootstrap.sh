#!/bin/bash
# Makes the dev flavour's root tree from Debian packages.
#
#   bootstrap.sh SUITE TREE IMAGES
#
# TREE is the root tree (Buildroot's TARGET_DIR); IMAGES receives bzImage and
# packages.tsv, the list of packages. Everything specific to Debian is here;
# post-fakeroot.sh, which is the same for both bases, makes a CoreOS root of the tree.
set -euo pipefail

[ "$(id -u)" = 0 ] || {
	echo "error: the dev flavour makes a root tree, which only root can: run make as root" >&2
	exit 1
}

# mmdebstrap mounts /proc, /sys and /dev in the tree. The mount namespace of this script
# ends with its last process, so that a build that is killed leaves no mounts.
[ -n "${COREOS_MOUNTS:-}" ] || COREOS_MOUNTS=own exec unshare --mount "$0" "$@"

suite=$1 tree=$2 images=$3
here=$(dirname "$(realpath "$0")")
remove() { rm -rf --one-file-system "$@"; }
remove "$tree".?????? # of a build that was killed
work=$(mktemp -d "$tree.XXXXXX")
trap 'remove "$work"' EXIT

strip_comments() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"; }

include=$(strip_comments "$here/packages.list" | paste -sd,)

# bootengine is the initramfs, so Debian's is not built. Documents and translations are
# not unpacked.
log=$images/debian-base.log
# shellcheck disable=SC2016 # mmdebstrap sets $1
if ! mmdebstrap --mode=root --variant=essential --include="$include" \
	--setup-hook='mkdir -p "$1/etc/initramfs-tools"' \
	--setup-hook='echo update_initramfs=no >"$1/etc/initramfs-tools/update-initramfs.conf"' \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/lintian/*' \
	--dpkgopt=force-confold \
	"$suite" "$work/root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$log" 2>&1
then
	echo "base: Debian $suite could not be installed: $(grep -m1 '^E:' "$log" || tail -n1 "$log")" \
		"(is the archive reachable? DEBIAN_MIRROR= names another; whole log: $log)" >&2
	exit 1
fi
root=$work/root

# The list of packages, before the package database is removed.
dpkg-query --admindir="$root/var/lib/dpkg" --show \
	--showformat='${Package}\t${Version}\t${source:Package}\t${source:Version}\n' |
	grep -vf <(strip_comments "$here/remove.list" | sed 's/.*/^&\t/') |
	LC_ALL=C sort >"$work/packages.tsv"

# The kernel belongs beside the tree.
kernel=$(echo "$root"/boot/vmlinuz-*)
cp "$kernel" "$work/bzImage"
# kubeadm and others look for the configuration here; the release's kernel has it itself.
cp "$root"/boot/config-* "$(echo "$root"/usr/lib/modules/*)/config"

# Remove the files of packages that are needed only for the installation.
strip_comments "$here/remove.list" | while read -r package; do
	list=$(ls "$root/var/lib/dpkg/info/$package.list" "$root/var/lib/dpkg/info/$package:"*.list 2>/dev/null || true)
	[ -n "$list" ] || continue
	while read -r path; do
		# Symbolic links to directories (/lib) stay: only files and links to files are removed.
		if [ -L "$root$path" ] || [ -f "$root$path" ]; then rm -f "$root$path"; fi
	done <"$list"
done
gcc -Wall -O2 -fPIC -shared -nostdlib -s -Wl,-soname,librtmp.so.1,--build-id=none \
	-o "$(echo "$root"/usr/lib/*-linux-gnu)/librtmp.so.1" "$here/librtmp.c"
rm -rf "$root"/var/lib/dpkg "$root"/var/lib/apt "$root"/var/cache "$root"/var/log/* \
	"$root"/etc/dpkg "$root"/etc/apt "$root"/etc/kernel "$root"/etc/initramfs-tools \
	"$root"/usr/share/initramfs-tools "$root"/usr/lib/dracut "$root"/usr/lib/klibc* \
	"$root"/usr/share/debconf "$root"/usr/share/perl* "$root"/usr/lib/*/perl* \
	"$root"/usr/bin/routel \
	"$root"/usr/lib/python3* "$root"/usr/share/python3 "$root"/usr/share/bug "$root"/usr/share/initramfs-tools \
	"${root:?}"/boot "$root"/vmlinuz* "$root"/initrd*

# Debian enables units in its maintainer scripts; on CoreOS, rootfs-overlay enables all
# units. Each machine makes its own host keys and ids.
find "$root/etc/systemd/system" -mindepth 1 -delete
rm -f "$root"/usr/lib/systemd/system/ssh.service "$root"/usr/lib/systemd/system/ssh.socket \
	"$root"/etc/ssh/ssh_host_* "$root"/etc/machine-id "$root"/etc/hostname \
	"$root"/etc/resolv.conf "$root"/etc/.resolv.conf* "$root"/etc/fstab "$root"/var/lib/dbus/machine-id

mkdir -p "$images"
remove "$tree"
mv "$work/packages.tsv" "$work/bzImage" "$images/"
mv "$root" "$tree"
