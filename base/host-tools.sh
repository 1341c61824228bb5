#!/bin/sh
# Finds the tools that are missing on the build host.
#
#   host-tools.sh check     prints a line that says what to do, and exits with 1
#   host-tools.sh install   installs them, as root with apt-get
set -eu

# Each line has a command or a file, and the Debian package that has it.
tools='
bc bc
cpio cpio
dnsmasq dnsmasq-base
file file
flock util-linux
gcc gcc
/usr/include/stdio.h libc6-dev
/usr/include/blkid/blkid.h libblkid-dev
genimage genimage
gpg gpg
ip iproute2
/usr/lib/grub/i386-pc/kernel.img grub-pc-bin
/usr/lib/grub/x86_64-efi/kernel.img grub-efi-amd64-bin
grub-mkimage grub-common
mcopy mtools
mkfs.erofs erofs-utils
mkfs.vfat dosfstools
mke2fs e2fsprogs
mmdebstrap mmdebstrap
modprobe kmod
/usr/share/keyrings/debian-archive-trixie-stable.gpg debian-archive-keyring
/usr/share/OVMF/OVMF_CODE.fd ovmf
qemu-img qemu-utils
qemu-system-x86_64 qemu-system-x86
rsync rsync
shellcheck shellcheck
ssh openssh-client
systemd-nspawn systemd-container
veritysetup cryptsetup-bin
wget wget
xorriso xorriso
xz xz-utils
time time
zstd zstd
'

missing() {
	echo "$tools" | while read -r look package; do
		case $look in
		'') continue ;;
		/*) [ -e "$look" ] || echo "$package" ;;
		*) PATH="$PATH:/sbin:/usr/sbin" command -v "$look" >/dev/null || echo "$package" ;;
		esac
	done | sort -u | tr '\n' ' '
}

packages=$(missing)
[ -n "$packages" ] || exit 0
command="apt-get install --yes --no-install-recommends $packages"
if [ "${1:-check}" = install ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "Installing the missing tools: $packages"
	log=$(mktemp)
	# shellcheck disable=SC2086 # a list of packages
	if { apt-get update && DEBIAN_FRONTEND=noninteractive $command; } >"$log" 2>&1; then
		rm -f "$log"
		exit 0
	fi
	tail -n 5 "$log" >&2
	echo "error: the tools could not be installed (whole log: $log)" >&2
	exit 1
fi
echo "error: tools are missing. As root: apt-get update && $command" >&2
exit 1
