#!/bin/bash
# Writes the disk image to a disk:   flash.sh IMAGE DISK
# It refuses a disk that is in use, and asks first unless YES=1.
set -euo pipefail

image=$1 disk=${2-}
fail() { echo "error: $*" >&2; exit 1; }

[ -n "$disk" ] || fail "name the disk: make flash DISK=/dev/sdX"
[ -f "$image" ] || fail "there is no $image: run make first"
disk=$(realpath "$disk")
[ -b "$disk" ] || fail "$disk is not a block device"
[ "$(lsblk --nodeps --noheadings --output TYPE "$disk" | tr -d ' ')" != part ] ||
	fail "$disk is a partition: name the whole disk"
used=$(lsblk --noheadings --output MOUNTPOINTS "$disk" | grep -v '^[[:space:]]*$' || true)
[ -z "$used" ] || fail "$disk is in use: $(echo "$used" | paste -sd' ')"
[ "$(blockdev --getsize64 "$disk")" -ge "$(stat --format=%s "$image")" ] ||
	fail "$disk is smaller than the image ($(($(stat --format=%s "$image") >> 20)) MiB)"

if [ "${YES-}" != 1 ]; then
	lsblk --output NAME,SIZE,MODEL,LABEL "$disk"
	read -r -p "Overwrite all of $disk? Type yes: " answer
	[ "$answer" = yes ] || fail "nothing was written"
fi
progress=none
[ ! -t 2 ] || progress=progress
# Most of the image is zeros. If the disk has a fast command to write zeros, only the rest
# is written. Old data must not stay: an old journal could be replayed into the new ROOT.
sparse=
if blkdiscard --force --zeroout --length "$(stat --format=%s "$image")" "$disk" 2>/dev/null; then
	sparse=,sparse
fi
dd if="$image" of="$disk" bs=4M conv="fsync$sparse" status="$progress" ||
	fail "writing to $disk failed: the disk holds half an image now"
blockdev --rereadpt "$disk" 2>/dev/null || true
echo "wrote $image to $disk"
