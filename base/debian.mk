# The dev base: Debian's binary packages, built in the same steps as with Buildroot.
#
# Included by the top-level Makefile, which defines TOP and O and exports what the
# shared scripts read. There are four stages with their own dependencies, so that a change
# of a daemon does not rebuild the base:
#
#   base    the root tree of Debian's packages                 (minutes, once)
#   go      the commands of go-src                             (go build)
#   target  base + rootfs-overlay + commands, shaped           (seconds)
#   images  what post-image.sh makes of the target             (seconds)

## dev: the Debian archive that packages come from; default: the one that mmdebstrap takes
export DEBIAN_MIRROR ?=

debian-dir := $(O)/build/debian
debian-base := $(debian-dir)/base
debian-go := $(debian-dir)/go
debian-setting = $(shell sed -n 's/^$(1)="\(.*\)"/\1/p' $(O)/.config)
debian-suite = $(call debian-setting,BR2_COREOS_DEBIAN_SUITE)

# Our commands are those of the packages that the configuration selects, in package/*/*.mk.
# Buildroot's macros in these files only make lists of commands here.
debian-selected := $(shell sed -n 's/^\(BR2_PACKAGE_[A-Z0-9_]*\)=y$$/\1/p' $(O)/.config 2>/dev/null)
package-name = $(notdir $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST)))))
package-prefix = $(shell echo '$(package-name)' | tr 'a-z-' 'A-Z_')
if-selected = $(if $(filter BR2_PACKAGE_$(1),$(debian-selected)),$(2),$(3))

# $(1): upper-case package name, $(2): package name. A package with tags or flags of its own is
# built apart from the others.
define debian-go-package
debian-$(if $(filter YES,$($(1)_INSTALL_IMAGES)),initramfs,target)-commands += $(call if-selected,$(1),$(notdir $($(1)_BUILD_TARGETS)))
$(if $($(1)_TAGS)$($(1)_LDFLAGS),debian-apart += $(call if-selected,$(1),$(1)))
debian-own-links += $(call if-selected,$(1),$(addprefix $(notdir $($(1)_BUILD_TARGETS))/,$($(1)_LINKS)))
endef
define debian-host-package
debian-host-commands += $(call if-selected,HOST_$(1),$(notdir $(HOST_$(1)_BUILD_TARGETS)))
endef
define debian-command-package
debian-links += $(call if-selected,$(1),$($(1)_COMMANDS))
debian-left-out += $(call if-selected,$(1),,no_$(subst -,_,$(2)))
endef
coreos-go-package = $(call debian-go-package,$(package-prefix))
host-coreos-go-package = $(call debian-host-package,$(package-prefix))
coreos-command-package = $(call debian-command-package,$(package-prefix),$(package-name))

# The two others have rules of their own below.
include $(filter-out %/ignition.mk %/coreos-multicall.mk,$(sort $(wildcard $(TOP)/package/*/*.mk)))
debian-commands := $(sort $(debian-target-commands) $(debian-host-commands) $(debian-initramfs-commands))
debian-together := $(filter-out $(foreach p,$(debian-apart),$(notdir $($(p)_BUILD_TARGETS))),$(debian-commands))

.PHONY: debian-defconfig
debian-defconfig:
	@mkdir -p $(O)
	@{ cat $(TOP)/configs/$(DEFCONFIG); echo 'BR2_COREOS_BOARD="$(BOARD)"'; } > $(O)/.config.new
	@if cmp -s $(O)/.config.new $(O)/.config; then rm $(O)/.config.new; else mv $(O)/.config.new $(O)/.config; fi

.PHONY: debian-build
debian-build: debian-room $(debian-dir)/images.stamp

# A build needs 4 GiB: for the base twice, the target, and the old and the new images.
.PHONY: debian-room
debian-room:
	@mkdir -p $(O)/images $(O)/host/bin $(O)/host/lib $(debian-go)
	@room=$$(df --output=avail -k $(O) | tail -n 1); [ "$$room" -gt 4194304 ] || { \
		echo "error: $(O) has $$((room / 1024)) MiB left, a build needs 4096: free some, or set O= to another disk" >&2; exit 1; }

$(debian-base).stamp: $(O)/.config $(wildcard $(TOP)/base/debian/*) | debian-room
	@echo "base: Debian $(debian-suite)"
	@$(TOP)/base/debian/bootstrap.sh $(debian-suite) $(debian-base) $(O)/images
	@touch $@

# Go decides what to rebuild. Binaries that have not changed keep their time.
# $(1): main packages, $(2): tags, $(3): flags of the linker
debian-go-build = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags '$(2)' -ldflags='-s -w $(3)' -o $(debian-go)/new/ $(addprefix ./,$(1))
.PHONY: debian-go
debian-go: | debian-room
	$(if $(debian-commands),,@echo "error: $(O)/.config selects no command: load it again with make coreos_x86_64_dev_defconfig" >&2; exit 1)
	@cd $(TOP)/go-src && $(call debian-go-build,$(addprefix cmd/,$(debian-together)))
	@cd $(TOP)/go-src && $(call debian-go-build,cmd/multicall,$(debian-left-out))
	@cd $(TOP)/go-src && $(foreach p,$(debian-apart),$(call debian-go-build,$($(p)_BUILD_TARGETS),$($(p)_TAGS),$($(p)_LDFLAGS)) &&) true
	@for binary in $(debian-go)/new/*; do \
		cmp -s $$binary $(debian-go)/$${binary##*/} || cp $$binary $(debian-go)/; done

# Ignition is linked with libblkid of the build machine and has to run with the image's.
ignition-tags := $(shell sed -n 's/^IGNITION_TAGS = //p' $(TOP)/package/ignition/ignition.mk)
$(debian-go)/ignition: $(TOP)/go-src/go.mod $(TOP)/Makefile $(TOP)/package/ignition/ignition.mk | debian-room
	@echo "ignition"
	@cd $(TOP)/go-src && CGO_ENABLED=1 $(GO) build -trimpath -buildvcs=false -tags '$(ignition-tags)' -ldflags='-s -w $(COREOS_IGNITION_LDFLAGS)' -o $@ $(ignition)/internal

$(addprefix $(debian-go)/,$(debian-commands) multicall): debian-go ;

overlays = $(TOP)/rootfs-overlay $(wildcard $(TOP)/board/$(call debian-setting,BR2_COREOS_BOARD)/rootfs-overlay)
# Directories are listed for the symbolic links in them, whose targets do not exist here.
overlay-files := $(shell find $(TOP)/rootfs-overlay $(wildcard $(TOP)/board/*/rootfs-overlay) -type f -o -type d)

# Records of what comes from make's command line and from git: what is in the target, and what
# only the images depend on. A record keeps its time while it says the same.
debian-record = @echo '$(2)' > $(debian-dir)/$(1).new; \
	if cmp -s $(debian-dir)/$(1).new $(debian-dir)/$(1); then rm $(debian-dir)/$(1).new; else mv $(debian-dir)/$(1).new $(debian-dir)/$(1); fi
.PHONY: debian-records
debian-records:
	@mkdir -p $(debian-dir)
	$(call debian-record,release,$(COREOS_VERSION) $(COREOS_GROUP) $(SOURCE_DATE_EPOCH))
	$(call debian-record,publication,$(COREOS_COMPRESSION) $(SIGNING_KEY_DIR) $(COREOS_REPOSITORY))

$(debian-dir)/release $(debian-dir)/publication: debian-records ;

$(debian-dir)/target.stamp: $(O)/.config $(debian-base).stamp $(overlay-files) $(TOP)/post-fakeroot.sh $(debian-dir)/release \
		$(wildcard $(TOP)/board/*/setuid.list $(TOP)/board/*/*-remove.list) \
		$(addprefix $(debian-go)/,dynstrip ignition multicall $(debian-target-commands))
	@echo "target: $(O)/target"
	@rm -rf --one-file-system $(O)/target $(O)/target.new
	@cp -a $(debian-base) $(O)/target.new
	@for overlay in $(overlays); do rsync -a $$overlay/ $(O)/target.new/; done
	@install -m 755 $(addprefix $(debian-go)/,ignition $(debian-target-commands)) $(O)/target.new/usr/bin/
	@install -D -m 755 $(debian-go)/multicall $(O)/target.new/usr/lib/coreos/multicall
	@for link in $(debian-own-links); do ln -s $${link%/*} $(O)/target.new/usr/bin/$${link#*/}; done
	@for name in $(debian-links); do ln -s ../lib/coreos/multicall $(O)/target.new/usr/bin/$$name; done
	@chroot $(O)/target.new /usr/bin/ignition --version >/dev/null || { \
		echo "error: ignition does not run in the image: this machine's C library is newer; build on Debian $(debian-suite)" >&2; exit 1; }
	@PATH=$(debian-go):$$PATH BUILD_DIR=$(O)/build BR2_CONFIG=$(O)/.config $(TOP)/post-fakeroot.sh $(O)/target.new
	@mv $(O)/target.new $(O)/target
	@touch $@

$(debian-dir)/images.stamp: $(debian-dir)/target.stamp $(debian-dir)/publication $(TOP)/post-image.sh $(wildcard $(TOP)/docs/releases/$(COREOS_VERSION).md) $(wildcard $(TOP)/board/*/*) \
		$(addprefix $(debian-go)/,$(debian-host-commands) $(debian-initramfs-commands)) $(wildcard $(SIGNING_KEY_DIR)/boot.key)
	@install -m 755 $(addprefix $(debian-go)/,$(debian-host-commands)) $(O)/host/bin/
	@install -m 755 $(addprefix $(debian-go)/,$(debian-initramfs-commands)) $(O)/images/
	@ln -sfn /usr/lib/grub $(O)/host/lib/grub
	@BASE_DIR=$(O) BUILD_DIR=$(O)/build HOST_DIR=$(O)/host BINARIES_DIR=$(O)/images BR2_CONFIG=$(O)/.config \
		COREOS_COMPRESSION=$(or $(COREOS_COMPRESSION),fast) \
		TARGET_DIR=$(O)/target SHAPED_DIR=$(O)/target $(TOP)/post-image.sh $(O)/images
	@touch $@
