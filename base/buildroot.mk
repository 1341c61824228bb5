# The release base: everything from source, by Buildroot.
#
# Included by the top-level Makefile, which defines TOP (this tree) and O (the
# output directory), both absolute. It passes BR2_PRIMARY_SITE and
# BR2_PACKAGE_OVERRIDE_FILE on to Buildroot.

BUILDROOT_VERSION := 2026.02.3
BUILDROOT_SHA256 := 5a59e7501b0b4ec52c41f4bfa79412320e0b37eae5f719605a258e8d0c6fc7fb
## release: where Buildroot is downloaded from
BUILDROOT_SITE ?= https://buildroot.org/downloads
## release: files of settings that are added to the defconfig
BUILDROOT_FRAGMENTS ?=
## release: more arguments for Buildroot's make, such as V=1
BUILDROOT_ARGS ?=
DEFCONFIG ?= coreos_x86_64_defconfig

# Downloads and compiled archives survive the removal of everything else, and can be
# shared by several output directories, if BR2_DL_DIR is elsewhere
## release: downloads, the toolchain's archive, the compiler's cache;
## default: dl in O
BR2_DL_DIR ?= $(O)/dl
override BR2_DL_DIR := $(abspath $(BR2_DL_DIR))

buildroot-archive := $(BR2_DL_DIR)/buildroot-$(BUILDROOT_VERSION).tar.xz
buildroot-own-dir := $(O)/buildroot-$(BUILDROOT_VERSION)
## release: an unpacked Buildroot; default: it is downloaded
BUILDROOT_DIR ?= $(buildroot-own-dir)

buildroot-fail = { echo "error: $(1)" >&2; exit 1; }
buildroot-clean-up = trap 'rm -rf "$$part"' EXIT && trap 'exit 1' HUP INT TERM
buildroot-sha256-ok = echo "$(BUILDROOT_SHA256)  $(1)" | sha256sum --check --status

# Buildroot does not get the flags and overrides of this make: it decides itself how many
# jobs run, and uses the names of our variables for other things. The lock prevents that
# `make -j` runs it twice on one output, $(1). Some packages refuse to be built by root,
# as containers often do, unless FORCE_UNSAFE_CONFIGURE is set.
buildroot-make = flock --close $(1)/.buildroot.lock \
	env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES -u MAKELEVEL FORCE_UNSAFE_CONFIGURE=1 \
	$(MAKE) --no-print-directory -C $(abspath $(BUILDROOT_DIR)) O=$(1) \
	BR2_EXTERNAL=$(TOP)/br2-external \
	$(foreach v,BR2_DL_DIR BR2_PRIMARY_SITE BR2_PACKAGE_OVERRIDE_FILE,\
		$(if $($(v)),$(v)="$($(v))")) \
	$(BUILDROOT_ARGS)
BUILDROOT_MAKE = $(call buildroot-make,$(O))

# Both rules below use a temporary name until the file or directory is complete
$(buildroot-archive):
	@mkdir -p $(@D)
	@part=$$(mktemp $@.XXXXXX) && $(buildroot-clean-up) && \
	echo "Downloading Buildroot $(BUILDROOT_VERSION)" && \
	{ wget -q -O "$$part" $(BUILDROOT_SITE)/$(@F) || \
		$(call buildroot-fail,cannot download $(BUILDROOT_SITE)/$(@F): set BUILDROOT_SITE or put the file into BR2_DL_DIR or point BUILDROOT_DIR at an unpacked Buildroot); } && \
	{ $(call buildroot-sha256-ok,$$part) || \
		$(call buildroot-fail,$(BUILDROOT_SITE)/$(@F) is not the file this tree was made for (SHA-256 differs): try another BUILDROOT_SITE); } && \
	chmod 0644 "$$part" && mv "$$part" $@

# The archive is not needed once it is unpacked
$(buildroot-own-dir): | $(if $(wildcard $(buildroot-own-dir)),,$(buildroot-archive))
	@mkdir -p $(@D)
	@$(call buildroot-sha256-ok,$(buildroot-archive)) || \
		$(call buildroot-fail,$(buildroot-archive) is damaged (SHA-256 differs): remove it and run make again)
	@part=$$(mktemp -d $@.XXXXXX) && $(buildroot-clean-up) && \
	echo "Unpacking Buildroot $(BUILDROOT_VERSION)" && \
	{ tar -C "$$part" --strip-components=1 -xJf $(buildroot-archive) || \
		$(call buildroot-fail,cannot unpack $(buildroot-archive): is the disk full?); } && \
	chmod 0755 "$$part" && mv -T "$$part" $@

# The builder may use another release of the same LTS series. Other releases would
# interpret the options of this tree differently
.PHONY: buildroot-tree
buildroot-tree: $(if $(filter $(buildroot-own-dir),$(BUILDROOT_DIR)),| $(buildroot-own-dir))
	@version=$$(sed -n 's/^export BR2_VERSION := //p' $(BUILDROOT_DIR)/Makefile 2>/dev/null); \
	case $$version in \
	$(BUILDROOT_VERSION)) ;; \
	$(basename $(BUILDROOT_VERSION))*) \
		echo "warning: $(BUILDROOT_DIR) is Buildroot $$version, this tree was made for $(BUILDROOT_VERSION)" >&2 ;; \
	'') $(call buildroot-fail,$(BUILDROOT_DIR) is not a Buildroot tree: set BUILDROOT_DIR to one or leave it unset) ;; \
	*) $(call buildroot-fail,$(BUILDROOT_DIR) is Buildroot $$version: this tree needs $(BUILDROOT_VERSION)) ;; \
	esac

# Loads the settings of the files $(2) into the output directory $(1). If Kconfig drops a
# line, .config is renamed: otherwise the next make would build it.
define buildroot-load
	@mkdir -p $(1)
	@cat $(2) > $(1)/.defconfig
	@$(call buildroot-make,$(1)) DEFCONFIG=$(1)/.defconfig defconfig
	@$(TOP)/base/check-config.sh $(1)/.defconfig $(1)/.config || { \
		mv -f $(1)/.config $(1)/.config.rejected; \
		$(call buildroot-fail,Buildroot dropped the settings above: see $(1)/.config.rejected); }
endef

.PHONY: buildroot-defconfig
buildroot-defconfig: buildroot-tree
	@mkdir -p $(O)
	@{ echo 'BR2_COREOS_BOARD="$(BOARD)"'; echo 'BR2_TOOLCHAIN_EXTERNAL_URL="file://$(TOOLCHAIN)"'; } > $(O)/.defconfig-own
	$(call buildroot-load,$(O),$(TOP)/configs/x86_64.config $(TOP)/configs/$(DEFCONFIG) $(O)/.defconfig-own \
		$(wildcard $(TOP)/board/$(BOARD)/defconfig) $(BUILDROOT_FRAGMENTS))

# The toolchain takes longest and changes least. It is built in an output directory of its
# own, and the name of its archive is a hash of its inputs.
toolchain-config := $(TOP)/configs/x86_64.config $(TOP)/configs/toolchain.config
toolchain-id := $(shell { echo $(BUILDROOT_VERSION); grep -h -E '^BR2_|is not set$$' $(toolchain-config); } | sha256sum | cut -c1-12)
## release: the toolchain's archive; default: the one in BR2_DL_DIR
TOOLCHAIN ?= $(BR2_DL_DIR)/coreos-toolchain/coreos-toolchain-$(toolchain-id).tar.gz
override TOOLCHAIN := $(abspath $(TOOLCHAIN))
toolchain-dir := $(O)/toolchain

$(TOOLCHAIN): | buildroot-tree
	@echo "Building the toolchain: half an hour, kept as $@"
	$(call buildroot-load,$(toolchain-dir),$(toolchain-config))
	@$(call buildroot-make,$(toolchain-dir)) BR2_SDK_PREFIX=coreos-toolchain sdk
	@mkdir -p $(@D)
	@mv $(toolchain-dir)/images/coreos-toolchain.tar.gz $@

# The configuration comes first, also with make -j
.PHONY: buildroot-config
buildroot-config: buildroot-tree | $(if $(filter buildroot-defconfig %_defconfig,$(MAKECMDGOALS)),buildroot-defconfig)
	@test -f $(O)/.config || \
		$(call buildroot-fail,$(O) is not configured: run make $(DEFCONFIG) first)

# Our own sources may have changed since they were last compiled
.PHONY: buildroot-build
buildroot-build: buildroot-config | $(TOOLCHAIN)
	@$(BUILDROOT_MAKE) coreos-go-rebuild all

# Buildroot downloads a list of licences for its bill of materials, once, even if the
# target does not need it
buildroot-cyclonedx := BR2_DL_DIR=$(BR2_DL_DIR) $(abspath $(BUILDROOT_DIR))/utils/generate-cyclonedx
buildroot-licence-names = $(buildroot-cyclonedx) --help > /dev/null || \
	$(call buildroot-fail,no list of licence names: put schema/spdx.schema.json of CycloneDX specification 1.6 into $(BR2_DL_DIR)/cyclonedx as spdx-1.6.schema.json)

# An offline build also needs the archive of the toolchain. Building the toolchain has
# downloaded its sources
.PHONY: buildroot-source
buildroot-source: buildroot-config | $(TOOLCHAIN)
	@$(BUILDROOT_MAKE) source
	@$(buildroot-licence-names)

# These are published with the image: the sources and licences of everything in it, with
# the C library from the toolchain, and Buildroot's bill of materials.
.PHONY: buildroot-legal-info
buildroot-legal-info: buildroot-config | $(TOOLCHAIN)
	@$(buildroot-licence-names)
	@part=$$(mktemp $(O)/images/cdx.XXXXXX) && $(buildroot-clean-up) && \
	$(BUILDROOT_MAKE) --silent show-info | $(buildroot-cyclonedx) > "$$part" && \
	chmod 0644 "$$part" && mv "$$part" $(O)/images/coreos_production_image.cdx.json
	@rm -rf $(O)/legal-info $(toolchain-dir)/legal-info
	@$(BUILDROOT_MAKE) legal-info
	$(call buildroot-load,$(toolchain-dir),$(toolchain-config))
	@$(call buildroot-make,$(toolchain-dir)) legal-info
	@tar --create --file=$(O)/images/coreos_production_legal-info.tar --owner=0 --group=0 \
		--transform='s,^,coreos_production_,' --directory=$(O) legal-info \
		--transform='s,^coreos_production_legal-info,coreos_production_legal-info/toolchain,' --directory=$(toolchain-dir) legal-info

# Buildroot has these targets for every package; here only the requested ones exist
package-targets := $(filter-out linux-reconfigure,$(filter %-dirclean %-rebuild %-reconfigure,$(MAKECMDGOALS:buildroot-%=%)))

# savedefconfig writes to the output directory, since our defconfig has comments, which
# Buildroot would remove
BUILDROOT_TARGETS := menuconfig nconfig show-info $(package-targets) \
	linux-menuconfig linux-savedefconfig linux-reconfigure graph-depends graph-size graph-build
.PHONY: $(addprefix buildroot-,$(BUILDROOT_TARGETS) savedefconfig)
$(addprefix buildroot-,$(BUILDROOT_TARGETS)): buildroot-%: buildroot-config
	@$(BUILDROOT_MAKE) $*
$(addprefix buildroot-,$(filter linux-%,$(BUILDROOT_TARGETS)) $(package-targets)): | $(TOOLCHAIN)
buildroot-savedefconfig: buildroot-config
	@$(BUILDROOT_MAKE) DEFCONFIG=$(O)/defconfig savedefconfig
	@echo "$(O)/defconfig: carry what changed over to configs/$(DEFCONFIG)"

.PHONY: check-package
check-package: buildroot-tree
	@cd $(TOP) && /usr/bin/python3 $(abspath $(BUILDROOT_DIR))/utils/check-package --br2-external \
		$$(find br2-external package -type f) configs/$(DEFCONFIG)
