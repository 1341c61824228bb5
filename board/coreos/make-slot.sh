#!/bin/bash
# Makes the two images that fill a slot.
#
#   make-slot.sh TREE KERNEL BOOTENGINE OUT
#
# TREE is a root tree shaped by post-fakeroot.sh. OUT receives
#   coreos_production_usr.img   /usr as EROFS, then its dm-verity superblock and tree
#   coreos_production_boot.img  tar of kernel, initramfs, slot.cfg, and the sums of the three, each
#                               signed
# SIGNING_KEY_DIR holds the key; COREOS_VERSION and SOURCE_DATE_EPOCH are set.
set -euo pipefail

tree=$1 kernel=$2 bootengine=$3 out=$4
board=$(dirname "$(realpath "$0")")
work=$(mktemp -d "$out/slot.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/boot"

# /usr, not compressed on the disk: what was compressed once is a third larger when it is
# compressed again for the way to the machine.
# All files belong to root: nothing in /usr has a reason not to.
usr=$work/usr.img
# The overlay of /etc remembers by inode number which file of /usr a changed file comes from,
# and looks it up only in a file system with the same UUID. Names, kinds and sizes are what
# inode numbers depend on, so the UUID is made of them.
layout=$(find "$tree/usr" -printf '%P %y %l ' \( -type f -printf '%s\n' -o -printf '\n' \) | LC_ALL=C sort | sha256sum)
mkfs.erofs -T "$SOURCE_DATE_EPOCH" -U "${layout:0:8}-${layout:8:4}-${layout:12:4}-${layout:16:4}-${layout:20:12}" --all-root \
	"$usr" "$tree/usr" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
size=$(stat --format=%s "$usr")
blocks=$((size / 4096))

# No salt: a block's hash is the same in every release, which is what deltas
# between releases stand on.
usrhash=$(veritysetup format --salt=- --hash=sha256 --data-block-size=4096 --hash-block-size=4096 \
	--uuid=00000000-0000-0000-0000-00000000c05e --hash-offset="$size" --data-blocks="$blocks" \
	"$usr" "$usr" | sed -n 's/^Root hash:[[:space:]]*//p')

# slot_sums tells GRUB that slot.sums, below, has to be there and right. An older GRUB does not
# know it.
cat >"$work/boot/slot.cfg" <<END
set slot_version="$COREOS_VERSION"
set slot_cmdline="$(tr '\n' ' ' <"$board/cmdline" | sed 's/[$]/\\&/g')usrhash=$usrhash coreos.usrblocks=$blocks"
set slot_sums="1"
END
cp "$kernel" "$work/boot/vmlinuz"
# For kexec. Debian has signed its kernel; the release's has the certificate of this key.
[ ! -f "$SIGNING_KEY_DIR/modules.pem" ] || bootkey sign-kernel --key "$SIGNING_KEY_DIR/modules.pem" "$work/boot/vmlinuz"

# The initramfs: bootengine and the modules that it may need, uncompressed, since
# the archive is compressed as a whole.
root=$work/initramfs
release=$(basename "$(echo "$tree"/usr/lib/modules/*)")
mkdir -p "$root"/{dev,proc,sys,run,sysroot,usr/lib/modules/"$release"}
ln -s usr/bin usr/sbin usr/lib "$root"
ln -s usr/lib64 "$root/lib64"
install -m 755 "$bootengine" "$root/init"
modules=$tree/usr/lib/modules/$release
sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$board/initramfs-modules.list" | while read -r name; do
	modprobe --dirname "$tree/usr" --set-version "$release" --show-depends "$name" 2>/dev/null || true
done | sed -n 's/^insmod //p' | sort -u | while read -r module; do
	module=${module%% *}
	copy=$root/usr/lib/modules/$release/${module#"$modules"/}
	mkdir -p "$(dirname "$copy")"
	case $module in
	*.xz) xz -dc "$module" >"${copy%.xz}" ;;
	*.zst) zstd -qdc "$module" >"${copy%.zst}" ;;
	*.gz) gzip -dc "$module" >"${copy%.gz}" ;;
	*) cp "$module" "$copy" ;;
	esac
done
for index in modules.builtin modules.builtin.modinfo modules.order; do
	[ ! -f "$modules/$index" ] || cp "$modules/$index" "$root/usr/lib/modules/$release/"
done
depmod --basedir "$root/usr" "$release"
rm -f "$root/usr/lib/modules/$release"/modules.*.bin
# archive DIR prints the files of a directory as the kernel unpacks them.
archive() {
	find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
	(cd "$1" && find . -print0 | LC_ALL=C sort -z |
		cpio --null --create --format=newc --reproducible --owner=0:0 --quiet)
}
archive "$root" | zstd -q -19 --no-progress >"$work/boot/initramfs"

# What bootengine has been made for: it refuses another command line or kernel, by whatever
# loader. The kernel's header has the offset of its version, a text that ends with a zero
# byte. An archive of its own in blocks of its own: the others stay the same in the next release.
own=$work/own
mkdir "$own"
cp "$work/boot/slot.cfg" "$own/"
offset=$(od -An -tu2 -j $((0x20e)) -N 2 "$kernel")
dd if="$kernel" bs=1 skip=$((offset + 0x200)) count=512 status=none | tr '\0' '\n' | sed -n 1p >"$own/kernel-version"
truncate --size=%4096 "$work/boot/initramfs"
archive "$own" >>"$work/boot/initramfs"

(cd "$work/boot" && sha256sum slot.cfg vmlinuz initramfs >slot.sums)
bootkey sign --key "$SIGNING_KEY_DIR" "$work"/boot/{vmlinuz,initramfs,slot.cfg,slot.sums}
tar --create --file="$work/boot.img" --directory="$work/boot" --format=ustar --mtime="@$SOURCE_DATE_EPOCH" \
	--owner=0 --group=0 --numeric-owner --mode=0644 \
	slot.cfg.sig slot.cfg slot.sums.sig slot.sums vmlinuz.sig vmlinuz initramfs.sig initramfs

mv "$usr" "$out/coreos_production_usr.img"
mv "$work/boot.img" "$out/coreos_production_boot.img"
