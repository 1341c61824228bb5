#!/bin/bash
# Makes the boot loader for both firmwares.
#
#   make-loader.sh OUT [ENTRY...]
#
# OUT receives boot.img (boot code of the MBR), core.img (for BIOS-BOOT), bootx64.efi and
# efi-system.img (FAT32 with GRUB for UEFI and the environment block). The public
# key in SIGNING_KEY_DIR is embedded in both. HOST_DIR/lib/grub has the modules of GRUB.
# Each ENTRY is a file with more entries of the boot menu.
set -euo pipefail

out=$1
shift
board=$(dirname "$(realpath "$0")")
work=$(mktemp -d "$out/loader.XXXXXX")
trap 'rm -rf "$work"' EXIT

core_sector=2048 # where genimage.cfg puts BIOS-BOOT: 1 MiB
modules=(part_gpt fat tar memdisk normal configfile test echo eval regexp sleep reboot
	hashsum loadenv datehook smbios linux serial terminal pgp gcry_rsa gcry_sha256 gcry_sha512)

# The configuration is in a tar archive inside the core image, where it needs no
# signature.
mkdir "$work/grub"
cat "$board/grub.cfg" "$@" >"$work/grub/grub.cfg"
tar --create --file="$work/memdisk" --directory="$work" --format=ustar --mtime="@$SOURCE_DATE_EPOCH" \
	--owner=0 --group=0 --numeric-owner --mode=go-w --sort=name grub

core() { # FORMAT OUTPUT MODULE...
	local format=$1 output=$2
	shift 2
	grub-mkimage --format="$format" --directory="$HOST_DIR/lib/grub/$format" \
		--output="$output" --memdisk="$work/memdisk" --prefix='(memdisk)/grub' \
		--pubkey="$SIGNING_KEY_DIR/boot.pub" "${modules[@]}" "$@"
}

# le64 NUMBER prints a number as 8 bytes, little-endian.
le64() {
	local n=$1 i
	for i in 0 1 2 3 4 5 6 7; do
		printf '%b' "\\x$(printf %02x $(((n >> (8 * i)) & 255)))"
	done
}

# BIOS: boot.img contains the number of the first sector of the core image, and the core
# image that of its second one. grub-install would write both.
core i386-pc "$work/core.img" biosdisk
head -c 440 "$HOST_DIR/lib/grub/i386-pc/boot.img" >"$work/boot.img"
le64 "$core_sector" | dd of="$work/boot.img" bs=1 seek=$((0x5c)) conv=notrunc status=none
le64 $((core_sector + 1)) | dd of="$work/core.img" bs=1 seek=$((0x1f4)) conv=notrunc status=none

# UEFI.
core x86_64-efi "$work/bootx64.efi"
{
	printf '# GRUB Environment Block\nORDER=A B\nA_TRIES=3\nA_OK=0\nA_WHY=\nB_TRIES=0\nB_OK=0\nB_WHY=empty\n'
	printf '%1024s' '' | tr ' ' '#'
} | head -c 1024 >"$work/grubenv"
efi=$work/efi-system.img
truncate --size=128M "$efi"
# Clusters of 1 KiB: grubenv fills exactly one.
mkfs.vfat -F 32 -s 2 -n EFI-SYSTEM -i c05e0001 --invariant "$efi" >/dev/null
touch --date="@$SOURCE_DATE_EPOCH" "$work/grubenv" "$work/bootx64.efi"
export MTOOLS_SKIP_CHECK=1 TZ=UTC
mcopy -m -i "$efi" "$work/grubenv" ::GRUBENV
mmd -i "$efi" ::EFI ::EFI/BOOT
mcopy -m -i "$efi" "$work/bootx64.efi" ::EFI/BOOT/BOOTX64.EFI

mv "$work"/{boot.img,core.img,bootx64.efi} "$efi" "$out/"
