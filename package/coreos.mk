################################################################################
#
# Infrastructure for the binaries of go-src
#
################################################################################

# All binaries are built from one Go module without vendored code. The modules that it
# requires are downloaded once, checked against go.sum and kept in the download directory.
# The build itself runs offline.

COREOS_GO_SRC = $(COREOS_TOP)/go-src
COREOS_GO_CACHE = $(DL_DIR)/coreos-go

# These follow Buildroot's own settings and override them. Without cgo a binary is static
# and the same on both bases; a package that needs cgo sets it in its GO_ENV.
COREOS_GO_ENV = \
	GOFLAGS=-mod=readonly \
	GOMODCACHE=$(COREOS_GO_CACHE) \
	CGO_ENABLED=0

# This is the only step that uses the network, through the user's GOPROXY if that is set.
# Once everything is downloaded, it does nothing.
COREOS_GO_DOWNLOAD = \
	$(HOST_GO_COMMON_ENV) $(COREOS_GO_ENV) \
	GOFLAGS=-modcacherw GOPROXY="$(COREOS_GOPROXY)" $(GO_BIN) mod download

# Buildroot's GOPROXY=off is for the build; empty is Go's default
COREOS_GOPROXY := $(GOPROXY)

define COREOS_GO_RESOLVE
	cd $(@D) && $(COREOS_GO_DOWNLOAD)
endef

# rsync does not delete files that were deleted or renamed in go-src, and Go would compile
# them. The stamps of Buildroot are dot files.
define COREOS_GO_CLEAN
	find $(@D) -mindepth 1 -maxdepth 1 ! -name '.*' -exec rm -rf {} +
endef

# $(1): upper-case package name, with HOST_ for a host package
# $(2): package name
# check-package disable Indent
define inner-coreos-go
COREOS_GO_PACKAGES += $(2)
$(1)_VERSION = local
$(1)_SITE = $$(COREOS_GO_SRC)
$(1)_SITE_METHOD = local
$(1)_GOMOD ?= .
$(1)_LDFLAGS += -s -w
$(1)_GO_ENV := $$(COREOS_GO_ENV) $$($(1)_GO_ENV)
$(1)_PRE_RSYNC_HOOKS += COREOS_GO_CLEAN
$(1)_PRE_BUILD_HOOKS += COREOS_GO_RESOLVE

# Other names of a package's one binary
define $(1)_INSTALL_LINKS
	$$(foreach l,$$($(1)_LINKS),\
		ln -sfn $$(notdir $$($(1)_BUILD_TARGETS)) $$(TARGET_DIR)/usr/bin/$$(l)
	)
endef
$(1)_POST_INSTALL_TARGET_HOOKS += $(1)_INSTALL_LINKS
endef

coreos-go-package = \
	$(eval $(call inner-coreos-go,$(call UPPERCASE,$(pkgname)),$(pkgname)))$(golang-package)
host-coreos-go-package = \
	$(eval $(call inner-coreos-go,HOST_$(call UPPERCASE,$(pkgname)),host-$(pkgname)))$(host-golang-package)

# A package whose commands are in the binary of coreos-multicall, and links to it. Go
# code of a package that is not selected stays out: by the tag no_PACKAGE, see
# go-src/cmd/multicall.
COREOS_COMMANDS_LEFT_OUT = \
	$(foreach p,$(filter-out $(PACKAGES),$(COREOS_COMMAND_PACKAGES)),no_$(subst -,_,$(p)))

# $(1): upper-case package name
# $(2): package name
# check-package disable Indent
define inner-coreos-command
COREOS_COMMAND_PACKAGES += $(2)
$(1)_DEPENDENCIES += coreos-multicall

define $(1)_INSTALL_TARGET_CMDS
	mkdir -p $$(TARGET_DIR)/usr/bin
	$$(foreach c,$$($(1)_COMMANDS),\
		ln -sfn ../lib/coreos/multicall $$(TARGET_DIR)/usr/bin/$$(c)
	)
endef
endef

coreos-command-package = \
	$(eval $(call inner-coreos-command,$(call UPPERCASE,$(pkgname)),$(pkgname)))$(generic-package)

# `source` must download everything that a later offline build needs
.PHONY: coreos-go-source
coreos-go-source: host-go
	cd $(COREOS_GO_SRC) && $(COREOS_GO_DOWNLOAD)
source: coreos-go-source
