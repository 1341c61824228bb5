#!/bin/bash
# Shapes a base's root tree into CoreOS. Buildroot runs it under fakeroot on a
# copy of TARGET_DIR (BR2_ROOTFS_POST_FAKEROOT_SCRIPT), the dev flavour as root;
# nothing here may ask which. Afterwards TREE/usr is the whole system.
#
#   post-fakeroot.sh TREE
#
# COREOS_VERSION, COREOS_GROUP and SOURCE_DATE_EPOCH come from the Makefile,
# BR2_CONFIG and BUILD_DIR are Buildroot's.
set -euo pipefail
shopt -s extglob

tree=${1:?usage: post-fakeroot.sh TREE}
top=$(dirname "$(realpath "$0")")
board=$("$top/board/directory.sh")
version=${COREOS_VERSION:-$(cat "$top/VERSION")}
group=${COREOS_GROUP:-developer}
build_id=$(date --utc --date="@${SOURCE_DATE_EPOCH:-0}" +%Y-%m-%d-%H%M)

entries() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"; }

# What a machine that nobody logs into does not need.
rm -rf "$tree"/usr/share/{doc,man,info,locale,i18n,lintian,bug,bash-completion,zsh,fish,icons,pixmaps,applications,gtk-doc,common-licenses} \
	"$tree"/usr/lib/*/gconv "$tree"/usr/lib/gconv "$tree"/usr/lib/locale/!(C.utf8) \
	"$tree"/usr/lib/udev/hwdb.d "$tree"/usr/include 2>/dev/null || true
# XFS is checked when it is asked for: by xfs_repair. The rest of it is scripts in Python.
rm -rf "$tree"/usr/{s,}bin/{xfs_scrub,xfs_scrub_all,xfs_protofile} "$tree"/usr/{libexec,share}/xfsprogs

entries "$board/usr-remove.list" | while read -r path; do
	for dir in "$tree"/usr/lib "$tree"/usr/lib/*-linux-gnu; do
		pattern=${path/#LIB/${dir#"$tree/usr/"}}
		# shellcheck disable=SC2086 # a pattern
		rm -rf "$tree/usr"/${pattern:?}
	done
done

# The system's linker exports all symbols of Go programs; nothing uses them.
find "$tree"/usr/{bin,sbin,libexec} -type f -size +1M -exec dynstrip {} +

# Of AppArmor only what loads profiles: Docker brings its own, and needs no others.
rm -rf "$tree"/etc/apparmor* "$tree"/usr/share/apparmor* "$tree"/usr/lib/apparmor "$tree"/usr/{,s}bin/{aa-*,apparmor_status} \
	"$tree"/usr/lib/systemd/system/apparmor.service "$tree"/usr/lib{,/*-linux-gnu}/security/pam_apparmor.so

# Desktops' devices
rm -f "$tree"/usr/lib/udev/rules.d/{60-autosuspend,60-fido-id,60-persistent-alsa,60-persistent-v4l,60-sensor,70-camera,70-joystick,70-mouse,70-touchpad,78-sound-card}.rules
rm -f "$tree"/usr/lib/tmpfiles.d/x11.conf

# Parameters of the kernel are those of rootfs-overlay, and systemd's for core dumps.
rm -f "$tree"/usr/lib/sysctl.d/{README,10-coredump-debian.conf,50-default.conf,50-pid-max.conf}

# Units without a use. udev's rules start none of them.
entries "$board/units-remove.list" | while read -r unit; do
	find "$tree"/usr/lib/systemd/{system,user} \( -name "$unit" -o -name "$unit.d" -o -name "$unit.wants" \) -prune -exec rm -r {} +
done
find "$tree"/usr/lib/systemd/{system,user} -name '*.wants' -empty -delete
sed -i -e '/^SUBSYSTEM=="bluetooth"/,/bluetooth\.target/d' \
	-e '/{SYSTEMD_WANTS}+="\(mdmonitor\|printer\|smartcard\|sound\|sys-\(fs-fuse\|kernel-config\)\|systemd-\(backlight\|rfkill\)\|tpm2\|usb-gadget\)/d' \
	"$tree"/usr/lib/udev/rules.d/{63-md-raid-arrays,99-systemd}.rules

# Generators that mount the EFI system partition, open ways in besides sshd.service, want to
# set up the verified /usr that bootengine has set up,
# or are for what this system does not have: System V scripts, hibernation.
rm -f "$tree"/usr/lib/systemd/system-generators/systemd-{gpt-auto,ssh,hibernate-resume,integritysetup,rc-local,run,system-update,sysv,tpm2,veritysetup}-generator
ln -sfn multi-user.target "$tree/usr/lib/systemd/system/default.target"
# Names and the time come from the network, so who provides them may start with it, rather
# than have everything else wait. pid 1 itself keeps the clock from running back.
sed -i '/^Before=/s/ *\<sysinit\.target\>//; /^DefaultDependencies=no/a After=sysinit.target' \
	"$tree"/usr/lib/systemd/system/systemd-{resolved,timesyncd}.service

# What is enabled is what the overlays link, not what a base's packages and presets do.
rm -rf "$tree"/etc/systemd/{system,user/*.wants}
for overlay in "$top/rootfs-overlay" "$board/rootfs-overlay"; do
	[ ! -d "$overlay/etc/systemd/system" ] || cp -R --no-dereference "$overlay/etc/systemd/system" "$tree/etc/systemd/"
done

# Kernel modules.
kernel=$(basename "$(echo "$tree"/usr/lib/modules/*)")
# An update is compressed as a whole; unpacking each module at boot costs seconds.
find "$tree/usr/lib/modules/$kernel" -name '*.ko.xz' -exec xz --decompress {} +
entries "$board/modules-remove.list" | while read -r path; do
	# shellcheck disable=SC2086 # a pattern
	rm -rf "$tree/usr/lib/modules/$kernel/kernel"/$path
done
depmod --basedir "$tree/usr" "$kernel"
# Device nodes that load a module when somebody opens them, for
# systemd-tmpfiles-setup-dev.service; kmod-static-nodes.service would list them at each boot.
awk '/^[^#]/ {
	type = substr($3, 1, 1); number = substr($3, 2)
	if (split($2, part, "/") > 1) print "d /dev/" part[1] " 0755"
	print type "! /dev/" $2 " 0600 - - - " number
}' "$tree/usr/lib/modules/$kernel/modules.devname" >"$tree/usr/lib/tmpfiles.d/static-nodes.conf"

# No set-user-id or set-group-id file without a reason.
find "$tree/usr" -type f -perm /6000 -printf '/usr/%P\n' | while read -r path; do
	entries "$board/setuid.list" | cut -f1 | grep -qxF "$path" || chmod ug-s "$tree$path"
done

# Names.
cat >"$tree/usr/lib/os-release" <<EOF
NAME="CoreOS"
ID=coreos
VERSION=$version
VERSION_ID=$version
BUILD_ID=$build_id
GROUP=$group
PRETTY_NAME="CoreOS $version"
ANSI_COLOR="38;5;75"
DEFAULT_HOSTNAME=localhost
EOF
mkdir -p "$tree/usr/share/coreos"
cat >"$tree/usr/share/coreos/release" <<EOF
COREOS_RELEASE_VERSION=$version
COREOS_RELEASE_BOARD=amd64-usr
EOF
cat >"$tree/usr/share/coreos/update.conf" <<EOF
# What update-engine and locksmithd go by; lines in /etc/coreos/update.conf go before these.
GROUP=$group
SERVER=
REPOSITORY=
REBOOT_STRATEGY=best-effort
START_SPREAD=7m
INTERVAL=45m
EOF

# The account that provisioning gives keys to. It has no password, as root has none.
account() { grep -q "^${2%%:*}:" "$tree/etc/$1" || echo "$2" >>"$tree/etc/$1"; }
account group 'core:x:500:'
account passwd 'core:x:500:500:CoreOS Admin:/home/core:/bin/bash'
account shadow 'core:*:::::::'
# etcd's has CoreOS's number: data directories outlive the system that made them.
account group 'etcd:x:232:'
account passwd 'etcd:x:232:232:etcd:/var/lib/etcd:/usr/sbin/nologin'
account shadow 'etcd:!*:::::::'
# Those of daemons of the system, which have no rights beyond their sockets and directories.
for name in locksmith:233 update-engine:234; do
	account group "${name%:*}:x:${name#*:}:"
	account passwd "${name%:*}:x:${name#*:}:${name#*:}:${name%:*}:/:/usr/sbin/nologin"
	account shadow "${name%:*}:!*:::::::"
done
# Members of fleet's may use its API.
account group 'fleet:x:253:'
# Members may use the blocks of ROOT that containers may not: boot/rootfs has the number, too.
account group 'diskreserve:x:240:root'
# Configs for Container Linux put accounts into these. Buildroot has a wheel with number 10, which
# is uucp's on Debian.
account group 'rkt:x:251:'
account group 'wheel:x:254:'
for name in docker fleet rkt sudo systemd-journal wheel; do
	sed -i -e "s/^\($name:[^:]*:[^:]*:\)\(.\+\)\$/\1\2,core/" -e "s/^\($name:[^:]*:[^:]*:\)\$/\1core/" "$tree/etc/group"
done
# Group 65534 is nobody, as its user is; Debian's name for it is nogroup.
for file in "$tree"/etc/{group,gshadow} "$tree"/usr/lib/sysusers.d/*.conf; do
	[ ! -e "$file" ] || sed -i 's/\<nogroup\>/nobody/g' "$file"
done
# The journal is for systemd-journal's members. Where systemd has access lists, it adds
# Debian's adm and wheel, which are not for that on every base.
sed -i '/group:\(adm\|wheel\):/d' "$tree"/usr/lib/tmpfiles.d/*.conf
# Buildroot has no gshadow.
[ -e "$tree/etc/gshadow" ] || (umask 077 && awk -F: '{ print $1 ":!::" $4 }' "$tree/etc/group" >"$tree/etc/gshadow")
account gshadow 'core:!::'
account gshadow 'etcd:!::'
account gshadow 'locksmith:!::'
account gshadow 'update-engine:!::'
account gshadow 'fleet:!::core'
account gshadow 'diskreserve:!::root'
account gshadow 'rkt:!::core'
account gshadow 'wheel:!::core'

# /etc becomes the lower layer of the machine's /etc.
ln -sfn ../usr/lib/os-release "$tree/etc/os-release"
ln -sfn ../run/systemd/resolve/stub-resolv.conf "$tree/etc/resolv.conf"
ln -sfn ../proc/self/mounts "$tree/etc/mtab"
rm -rf "$tree"/etc/{modules,modules-load.d/modules.conf,init.d,rc?.d,sv,runit,cron.d,cron.daily,logrotate.d,ufw,update-motd.d,debian_version} \
	"$tree"/etc/{passwd-,group-,shadow-,gshadow-,subuid-,subgid-,machine-id,.updated,.pwd.lock}
rm -rf "$tree/usr/share/coreos/etc"
# Empty, not absent: the machine makes its id, but does not "preset" units, which
# would copy today's links into the machine's own /etc.
: >"$tree/etc/machine-id"
mv "$tree/etc" "$tree/usr/share/coreos/etc"
mkdir "$tree/etc"
ln -sfn ../../oem "$tree/usr/share/oem"
