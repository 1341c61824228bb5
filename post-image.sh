#!/bin/bash
# Makes what is published from a shaped root tree, for both bases alike: the slot
# images, the disk image and the machine for QEMU. Buildroot's hook
# BR2_ROOTFS_POST_IMAGE_SCRIPT; the environment is Buildroot's.
#
#   post-image.sh IMAGES
#
# SHAPED_DIR  the root tree after post-fakeroot.sh
# HOST_DIR    tools (bin, sbin) and GRUB's modules (lib/grub)
# IMAGES      has bzImage, bootengine and packages.tsv, and receives the images
set -euo pipefail

images=${1:?usage: post-image.sh IMAGES}
top=$(dirname "$(realpath "$0")")
board=$("$top/board/directory.sh")
export PATH="$HOST_DIR/bin:$HOST_DIR/sbin:$PATH"
export COREOS_VERSION=${COREOS_VERSION:-$(cat "$top/VERSION")}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0} TZ=UTC LC_ALL=C
export SIGNING_KEY_DIR=${SIGNING_KEY_DIR:-$BASE_DIR/keys}

# Nothing half-made under a final name: everything is made here first. One build at a time
# uses the directory: another one of these is of a build that was killed.
rm -rf "$BUILD_DIR"/images.??????
work=$(mktemp -d "$BUILD_DIR/images.XXXXXX")
trap 'rm -rf "$work"' EXIT

if [ ! -f "$SIGNING_KEY_DIR/boot.key" ]; then
	bootkey generate "$SIGNING_KEY_DIR"
	echo "post-image: made a new signing key in $SIGNING_KEY_DIR"
fi
echo "post-image: signing with $SIGNING_KEY_DIR"
releasectl keys "$SIGNING_KEY_DIR/update" --root-file "$SHAPED_DIR/usr/share/coreos/update-root.json"
install -m 644 "$SIGNING_KEY_DIR/boot.pub" "$SHAPED_DIR/usr/share/coreos/boot.pub"

entries=()
if grep -q '^BR2_COREOS_MENU_ROOT_SHELL=y' "$BR2_CONFIG"; then
	entries=("$board/grub-root-shell.cfg")
fi
"$board/make-loader.sh" "$work" "${entries[@]}"
# For slotctl loader update.
install -D -m 644 -t "$SHAPED_DIR/usr/lib/coreos/loader" "$work"/{boot.img,core.img,bootx64.efi}
"$board/make-slot.sh" "$SHAPED_DIR" "$images/bzImage" "$images/bootengine" "$work"

# empty_ext4 FILE SIZE LABEL UUID OPTION... makes an empty file system, bit for bit
# the same each time.
empty_ext4() {
	local file=$work/$1 size=$2 label=$3 uuid=$4
	shift 4
	truncate --size="$size" "$file"
	E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH mke2fs -q -t ext4 -L "$label" -U "$uuid" \
		-E "hash_seed=$uuid,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0" "$@" "$file"
}
empty_ext4 oem.img 64M OEM c05e0000-0000-4000-8000-000000000007 -O ^has_journal
empty_ext4 root.img 1G ROOT c05e0000-0000-4000-8000-000000000008 -J size=64

mkdir "$work/root" "$work/tmp" "$work/out"
if ! genimage --rootpath "$work/root" --tmppath "$work/tmp" --inputpath "$work" --outputpath "$work/out" \
	--config "$board/genimage.cfg" >"$work/genimage.log" 2>&1; then
	cat "$work/genimage.log" >&2
	exit 1
fi
disk=$work/out/coreos_production_image.bin
fallocate --dig-holes "$disk"

# For QEMU: the same disk, larger, so that ROOT has room for containers.
qemu-img convert -f raw -O qcow2 "$disk" "$work/coreos_production_qemu_image.img"
qemu-img resize -q "$work/coreos_production_qemu_image.img" 16G

cat >"$work/version.txt" <<EOF
COREOS_VERSION=$COREOS_VERSION
COREOS_VERSION_ID=$COREOS_VERSION
COREOS_BUILD_ID="$(date --utc --date="@$SOURCE_DATE_EPOCH" +%Y-%m-%d-%H%M)"
COREOS_GROUP=${COREOS_GROUP:-developer}
EOF

sbom --packages "$images/packages.tsv" --name "CoreOS $COREOS_VERSION" --go "$SHAPED_DIR/usr/bin" \
	--go "$images/bootengine" >"$work/coreos_production_image.spdx.json"

# The bundle, and the release in a repository if one is named. Without the targets key
# that is left to those who keep it.
if [ -f "$SIGNING_KEY_DIR/update/targets.key" ]; then
	notes=$top/docs/releases/$COREOS_VERSION.md
	[ -f "$notes" ] || notes=
	releasectl pack --keys "$SIGNING_KEY_DIR/update" --compression "${COREOS_COMPRESSION:-best}" --channel "${COREOS_GROUP:-developer}" --notes "$notes" "${COREOS_REPOSITORY:-$work/repository}" \
		"$work"/coreos_production_{boot,usr}.img "$work/coreos_production_update.bundle"
	mv "$work/coreos_production_update.bundle" "$images/"
else
	echo "post-image: no update bundle: $SIGNING_KEY_DIR/update has no targets.key"
	rm -f "$images/coreos_production_update.bundle"
fi

install -m 755 "$board/coreos_production_qemu.sh" "$work/"
mv "$disk" "$work"/coreos_production_{boot,usr}.img "$work"/coreos_production_qemu_image.img \
	"$work"/coreos_production_qemu.sh "$work"/coreos_production_image.spdx.json "$work/version.txt" "$images/"
