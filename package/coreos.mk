################################################################################
#
# Infrastructure for the binaries of go-src
#
################################################################################

# All of them come from one Go module, which vendors nothing. The modules it
# requires are fetched once, checked against go.sum and kept in the download
# directory; the build itself then runs offline.

COREOS_GO_SRC = $(COREOS_TOP)/go-src
COREOS_GO_CACHE = $(DL_DIR)/coreos-go

# After Buildroot's own settings, so these win. Without cgo a binary is static
# and the same on every base; a package that needs cgo says so in its GO_ENV.
COREOS_GO_ENV = \
	GOFLAGS=-mod=readonly \
	GOMODCACHE=$(COREOS_GO_CACHE) \
	CGO_ENABLED=0

# The only step that may use the network, through the user's GOPROXY if there
# is one. It says nothing and takes no time once everything is there.
COREOS_GO_DOWNLOAD = \
	$(HOST_GO_COMMON_ENV) $(COREOS_GO_ENV) \
	GOFLAGS=-modcacherw GOPROXY="$(COREOS_GOPROXY)" $(GO_BIN) mod download

# Buildroot's GOPROXY=off is for the build; empty is Go's default
COREOS_GOPROXY := $(GOPROXY)

define COREOS_GO_RESOLVE
	cd $(@D) && $(COREOS_GO_DOWNLOAD)
endef

# rsync leaves behind what was deleted or renamed in go-src, and Go would
# compile it. Buildroot's stamps are dot files.
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

# `source` must fetch everything a later, offline build needs
.PHONY: coreos-go-source
coreos-go-source: host-go
	cd $(COREOS_GO_SRC) && $(COREOS_GO_DOWNLOAD)
source: coreos-go-source
