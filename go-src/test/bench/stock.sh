#!/bin/bash
# Makes the disk to compare with: stock Debian with Docker, or with other packages in
# its place, as an administrator would set it up, by the same tool and with the same
# kernel package as the dev flavour.
#
#   stock.sh IMAGE [PACKAGE,...]
set -euo pipefail

image=$1
packages=${2:-docker.io,docker-cli,iptables}
work=$(mktemp -d "$image.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

# shellcheck disable=SC2016 # mmdebstrap sets $1
mmdebstrap --mode=root --variant=important \
	--include=linux-image-cloud-amd64,initramfs-tools,systemd-sysv,systemd-resolved,dbus,openssh-server,ca-certificates,"$packages" \
	--customize-hook='systemctl --root="$1" enable systemd-networkd' \
	trixie "$root" >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; exit 1; }
printf '[Match]\nType=ether\nKind=!*\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/80-dhcp.network"
echo '/dev/vda2 / ext4 defaults 0 1' >"$root/etc/fstab"
echo debian >"$root/etc/hostname"
mkdir -p "$root/boot/grub"
cat >"$root/boot/grub/grub.cfg" <<'EOF'
serial --unit=0 --speed=115200
terminal_output console serial
linux (hd0,gpt2)/vmlinuz root=/dev/vda2 ro console=tty0 console=ttyS0,115200n8
initrd (hd0,gpt2)/initrd.img
boot
EOF
echo "stock root tree: $(du -sm "$root" | cut -f1) MiB"

sector=2048
grub-mkimage --format=i386-pc --output="$work/core.img" --prefix='(hd0,gpt2)/boot/grub' \
	biosdisk part_gpt ext2 normal configfile linux serial terminal
le64() { local i; for i in 0 1 2 3 4 5 6 7; do printf '%b' "\\x$(printf %02x $((($1 >> (8 * i)) & 255)))"; done; }
head -c 440 /usr/lib/grub/i386-pc/boot.img >"$work/boot.img"
le64 "$sector" | dd of="$work/boot.img" bs=1 seek=$((0x5c)) conv=notrunc status=none
le64 $((sector + 1)) | dd of="$work/core.img" bs=1 seek=$((0x1f4)) conv=notrunc status=none

truncate --size=8G "$work/root.img"
mke2fs -q -t ext4 -L root -d "$root" "$work/root.img"
cat >"$work/genimage.cfg" <<EOF
image stock.img {
	hdimage { partition-table-type = "gpt" }
	partition boot-code { in-partition-table = false; image = "boot.img"; offset = 0; size = 440 }
	partition bios { partition-type-uuid = "21686148-6449-6e6f-744e-656564454649"; image = "core.img"; offset = 1M; size = 1M }
	partition root { partition-type-uuid = "0fc63daf-8483-4772-8e79-3d69d8477de4"; image = "root.img"; offset = 2M }
}
EOF
sed -i 's/; /\n/g; s/{ \(.*\) }$/{\n\1\n}/' "$work/genimage.cfg"
mkdir "$work/empty" "$work/tmp"
genimage --rootpath "$work/empty" --tmppath "$work/tmp" --inputpath "$work" --outputpath "$work" \
	--config "$work/genimage.cfg" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
fallocate --dig-holes "$work/stock.img"
mv "$work/stock.img" "$image"
