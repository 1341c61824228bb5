################################################################################
#
# What Buildroot reads of this tree. package/ and board/ are beside this
# directory, not in it: they serve the tree, whichever base it is built on.
#
################################################################################

COREOS_TOP = $(BR2_EXTERNAL_COREOS_PATH)/..

# A board other than coreos adds to what all boards have
COREOS_BOARDS = coreos $(filter-out coreos,$(call qstrip,$(BR2_COREOS_BOARD)))
COREOS_KERNEL_FRAGMENTS = $(foreach b,$(COREOS_BOARDS),$(sort $(wildcard $(COREOS_TOP)/board/$(b)/linux/*.config)))
COREOS_ROOTFS_OVERLAYS = $(COREOS_TOP)/rootfs-overlay \
	$(wildcard $(patsubst %,$(COREOS_TOP)/board/%/rootfs-overlay,$(COREOS_BOARDS)))

# Packages use what coreos.mk defines, so it comes first
include $(COREOS_TOP)/package/coreos.mk
include $(sort $(wildcard $(COREOS_TOP)/package/*/*.mk))

# docker-engine selects Buildroot's containerd. Ours takes its place: Buildroot's is neither
# built nor listed.
ifeq ($(BR2_PACKAGE_COREOS_CONTAINERD),y)
PACKAGES := $(filter-out containerd,$(PACKAGES))
endif

# Buildroot does not look into local sources for changes; Go does, quickly
.PHONY: coreos-go-rebuild
coreos-go-rebuild: $(addsuffix -rebuild,$(filter $(COREOS_GO_PACKAGES),$(PACKAGES)))

# What is in the image, for its bill of materials: name and version, twice,
# because binary and source packages are the same thing here. Our own binaries
# carry their module lists in themselves. The toolchain's archive carries a list
# of what it brings to the image.
coreos-list-package = $(1) $(2) $(1) $(2)
ifeq ($(BR2_TOOLCHAIN_EXTERNAL),y)
define COREOS_LIST_PACKAGES
	mkdir -p $(BINARIES_DIR)
	printf '%s\t%s\t%s\t%s\n' \
		$(foreach p,$(sort $(filter-out host-% toolchain% $(COREOS_GO_PACKAGES),$(PACKAGES))), \
			$(call coreos-list-target-package,$(p),$(call UPPERCASE,$(p)))) \
		| cat - $(TOOLCHAIN_EXTERNAL_INSTALL_DIR)/share/coreos/packages.tsv \
		> $(BINARIES_DIR)/packages.tsv
endef
coreos-list-target-package = \
	$(if $(and $($(2)_VERSION),$(filter YES,$($(2)_INSTALL_TARGET) $($(2)_INSTALL_IMAGES))), \
		$(call coreos-list-package,$(1),$($(2)_VERSION)))
else
define COREOS_LIST_PACKAGES
	mkdir -p $(HOST_DIR)/share/coreos
	printf '%s\t%s\t%s\t%s\n' \
		$(call coreos-list-package,glibc,$(GLIBC_VERSION)) \
		$(call coreos-list-package,gcc,$(HOST_GCC_FINAL_VERSION)) \
		> $(HOST_DIR)/share/coreos/packages.tsv
endef
endif
TARGET_FINALIZE_HOOKS += COREOS_LIST_PACKAGES

# post-image.sh makes GRUB's core images itself, with the public key in them,
# and looks for modules where a distribution's GRUB has them
define COREOS_GRUB2_INSTALL_MODULES
	$(foreach tuple,$(GRUB2_TUPLES-y),
		rm -rf $(HOST_DIR)/lib/grub/$(tuple)
		mkdir -p $(HOST_DIR)/lib/grub/$(tuple)
		cd $(@D)/build-$(tuple)/grub-core && \
			$(INSTALL) -m 0644 -t $(HOST_DIR)/lib/grub/$(tuple) *.mod *.img *.lst
	)
endef
GRUB2_POST_INSTALL_IMAGES_HOOKS += COREOS_GRUB2_INSTALL_MODULES

# Buildroot and the packages it builds change the kernel's configuration after
# our fragments were merged; Kconfig drops what it cannot satisfy
define COREOS_LINUX_CHECK_CONFIG
	$(foreach fragment,$(LINUX_KCONFIG_FRAGMENT_FILES),
		$(Q)$(COREOS_TOP)/base/check-config.sh $(fragment) $(@D)/.config
	)
endef
LINUX_POST_CONFIGURE_HOOKS += COREOS_LINUX_CHECK_CONFIG

# The key that the kernel's modules are signed with is kept with the other keys of the build:
# with a new one for each build, no two builds were equal. The kernel has its certificate.
COREOS_MODULES_KEY = $(or $(SIGNING_KEY_DIR),$(BASE_DIR)/keys)/modules.pem
define COREOS_LINUX_MODULES_KEY
	$(Q)test -f $(COREOS_MODULES_KEY) || { umask 077 && mkdir -p $(dir $(COREOS_MODULES_KEY)) && \
		$(HOST_DIR)/bin/openssl req -x509 -newkey rsa:3072 -nodes -sha512 -days 36500 \
			-config $(COREOS_TOP)/board/coreos/modules-key.cnf \
			-keyout $(COREOS_MODULES_KEY).new -out $(COREOS_MODULES_KEY).crt && \
		cat $(COREOS_MODULES_KEY).crt >> $(COREOS_MODULES_KEY).new && rm $(COREOS_MODULES_KEY).crt && \
		mv $(COREOS_MODULES_KEY).new $(COREOS_MODULES_KEY); }
	$(Q)cmp -s $(COREOS_MODULES_KEY) $(@D)/certs/coreos-modules.pem || \
		$(INSTALL) -m 0600 $(COREOS_MODULES_KEY) $(@D)/certs/coreos-modules.pem
endef
LINUX_PRE_BUILD_HOOKS += COREOS_LINUX_MODULES_KEY

# Buildroot installs the rules for udev that want these units, but not the units: one
# starts an array that lacks a disk. Not mdadm's monitor, which fails unless somebody
# told it where to send mail.
define COREOS_MDADM_INSTALL_UNITS
	$(foreach unit,mdadm-last-resort@.timer mdadm-last-resort@.service mdadm-grow-continue@.service mdmon@.service,
		sed 's,BINDIR,/usr/sbin,g' $(@D)/systemd/$(unit) > $(TARGET_DIR)/usr/lib/systemd/system/$(unit)
	)
endef
MDADM_POST_INSTALL_TARGET_HOOKS += COREOS_MDADM_INSTALL_UNITS

# What loads profiles, and not the module for PAM
APPARMOR_TOOLS = parser

# Virtual machines and graphics are for their groups, not for everybody; nobody writes to
# another one's terminal
SYSTEMD_CONF_OPTS += -Ddev-kvm-mode=0660 -Dgroup-render-mode=0660 -Dtty-mode=0600

# Scripts ask for the name of the machine
COREUTILS_CONF_OPTS += --enable-install-program=hostname,kill,uptime

# shadow has a login and a nologin of its own, which would replace those of util-linux,
# and for PAM it counts on a distribution's system-auth: with its configuration of login
# nobody would get in. Nor are others to read what is in a home.
# Whether it asks logind who is logged in would hang on which of the two is built first.
SHADOW_CONF_OPTS += --disable-logind
SHADOW_INSTALL_TARGET_OPTS += bin_PROGRAMS= sbin_PROGRAMS= \
	pamd_DATA="chfn chpasswd chsh groupmems newusers passwd"
define COREOS_SHADOW_CONFIGURE
	$(INSTALL) -D -m 0644 package/linux-pam/login.pam $(TARGET_DIR)/etc/pam.d/system-auth
	$(SED) 's/^#HOME_MODE/HOME_MODE/' $(TARGET_DIR)/etc/login.defs
endef
SHADOW_POST_INSTALL_TARGET_HOOKS += COREOS_SHADOW_CONFIGURE

# Who may use sudo is said in sudoers, not by the group wheel
define COREOS_SUDO_CONFIGURE
	$(SED) '/pam_wheel/d' $(TARGET_DIR)/etc/pam.d/sudo
endef
SUDO_POST_INSTALL_TARGET_HOOKS += COREOS_SUDO_CONFIGURE

# Go's defaults, such as where modules come from, are in a file that Buildroot
# does not install
define COREOS_GO_INSTALL_DEFAULTS
	$(INSTALL) -m 0644 $(@D)/go.env $(HOST_DIR)/lib/go/go.env
endef
HOST_GO_BIN_POST_INSTALL_HOOKS += COREOS_GO_INSTALL_DEFAULTS
HOST_GO_SRC_POST_INSTALL_HOOKS += COREOS_GO_INSTALL_DEFAULTS
