#!/bin/bash
# Boots the image beside this script in QEMU: console here, SSH on a port of the
# host's loopback.
#
#   coreos_production_qemu.sh [-p PORT] [-a KEYS] [-m MIB] [-c CPUS] [-u] [-f] [-i CONFIG] [-- QEMU ARGUMENT...]
#
#   -p PORT  port for SSH (2222, or the next free one)
#   -a KEYS  file of public keys that may log in as root (~/.ssh/*.pub, or a new key)
#   -m MIB   memory (2048)         -c CPUS  processors (2; 1 where they are emulated)
#   -u       UEFI instead of BIOS
#   -f       start with a fresh disk, without the data of earlier runs
#   -i FILE  configuration for the machine: a cloud-config, a script or an Ignition config
set -euo pipefail

here=$(dirname "$(realpath "$0")")
image=$here/coreos_production_qemu_image.img
disk=$here/coreos_production_qemu_run.qcow2
port='' keys='' memory=2048 cpus='' firmware=() fresh='' config=()
while getopts p:a:m:c:i:ufh option; do
	case $option in
	p) port=$OPTARG ;;
	a) keys=$OPTARG ;;
	m) memory=$OPTARG ;;
	c) cpus=$OPTARG ;;
	u) firmware=(-drive "if=pflash,format=raw,readonly=on,file=${OVMF_CODE:-/usr/share/OVMF/OVMF_CODE.fd}") ;;
	f) fresh=1 ;;
	i)
		case $(head -n 1 "$OPTARG") in
		'#cloud-config'* | '#!'*) name=cloud-config ;;
		'{'*) name=config ;;
		*) echo "error: $OPTARG begins neither with #cloud-config nor with #!, and is no Ignition config" >&2; exit 1 ;;
		esac
		config=(-fw_cfg "name=opt/com.coreos/$name,file=${OPTARG//,/,,}")
		;;
	*) sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"; exit 2 ;;
	esac
done
shift $((OPTIND - 1))

command -v qemu-system-x86_64 >/dev/null || {
	echo "error: qemu-system-x86_64 is missing (Debian: apt-get install qemu-system-x86 qemu-utils ovmf)" >&2
	exit 1
}

# The image is not changed. A newer image gets a fresh disk.
if [ -n "$fresh" ] || [ ! -f "$disk" ] || [ "$image" -nt "$disk" ]; then
	rm -f "$disk"
	qemu-img create -q -f qcow2 -F qcow2 -b "$image" "$disk"
fi

if [ -z "$keys" ]; then
	keys=$here/ssh_key.pub
	if ! cat ~/.ssh/*.pub >"$keys.all" 2>/dev/null; then
		[ -f "$keys" ] || ssh-keygen -q -t ed25519 -N '' -C coreos-run -f "${keys%.pub}"
		cat "$keys" >"$keys.all"
	fi
	keys=$keys.all
fi
authorized=$(base64 -w0 <"$keys")
identity=
[ ! -f "$here/ssh_key" ] || identity="-i $here/ssh_key "

if [ -z "$port" ]; then
	port=2222
	while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
fi

# /dev/kvm may exist without the module; then it cannot be used.
if [ -w /dev/kvm ] && { [ -d /sys/module/kvm_intel ] || [ -d /sys/module/kvm_amd ]; }; then
	accelerator=(-accel kvm -cpu host -smp "${cpus:-2}")
else
	# QEMU 7.2 emulates CMPXCHG16B wrongly; -cx16 hides it. With several emulated
	# processors, one may hit a breakpoint that another has just removed while the kernel
	# patches itself: one boot in twenty panics and starts again.
	accelerator=(-accel "tcg,thread=multi" -cpu "max,-cx16" -smp "${cpus:-1}")
fi

echo "log in:  ssh ${identity}-p $port root@127.0.0.1      leave: Ctrl-a x"
exec qemu-system-x86_64 -name coreos -machine q35 "${accelerator[@]}" -m "$memory" \
	"${firmware[@]}" -nographic -serial mon:stdio -device virtio-rng-pci \
	-drive "file=${disk//,/,,},if=none,id=coreos,format=qcow2" -device virtio-blk-pci,drive=coreos,bootindex=0 \
	-nic "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:$port-:22" \
	-smbios "type=11,value=io.systemd.credential.binary:ssh.authorized_keys.root=$authorized" \
	-smbios "type=11,value=coreos.cmdline=coreos.autologin" "${config[@]}" "$@"
