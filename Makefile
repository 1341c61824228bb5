# The only entry point: `make help` lists what it does. It prints the lines that begin
# with "## " above a target or a variable, here and in base/*.mk; "##@ " begins a group.
#
# A flavour is chosen by `make <flavour>_defconfig`; it names the base on which the
# same OS is assembled: Debian's packages (base/debian.mk) or Buildroot
# (base/buildroot.mk). Both leave their images in $(O)/images.

TOP := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
## the output directory; default output
O ?= $(TOP)/output

# make takes a path with a space for two, and make clean removes what O names.
ifneq ($(words $(TOP) $(wildcard $(TOP)/VERSION)),2)
$(error the path of this tree has a space, which make cannot handle: move the tree)
endif
$(foreach v,SIGNING_KEY_DIR COREOS_REPOSITORY IMAGE NEWER OLD CONFIG BR2_DL_DIR BUILDROOT_DIR TOOLCHAIN,$(if $(word 2,$($(v))),\
	$(error $(v)=$($(v)): make cannot handle a path with a space)))
ifneq ($(words $(O)),1)
$(error O=$(O) is not the path of a directory, or has a space, which make cannot handle)
endif
override O := $(abspath $(O))
ifneq ($(filter $(patsubst %/,%,$(or $(realpath $(O)),$(O)))/%,$(realpath $(TOP))/),)
$(error O=$(O) contains this tree, which make clean would remove: name another directory)
endif

## the Go command
GO ?= go
## which tests of machines, smoke, soak, cluster or fuzz run: a regular
## expression
RUN ?=
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
export PATH := $(PATH):/usr/sbin:/sbin

# What goes into the images from outside the tree. The time is that of the last
# commit, so that the same commit gives the same images. git otherwise refuses a tree that
# belongs to another user, as in many containers.
## the version of the image; default: what the file VERSION says
export COREOS_VERSION ?= $(shell cat $(TOP)/VERSION)
## the channel of updates that the image follows
export COREOS_GROUP ?= developer
## how well update bundles are compressed: fast or best; default: fast in the
## dev flavour, best (some minutes) in the release
export COREOS_COMPRESSION ?=
## the directory below board/, given together with a defconfig
BOARD ?= coreos
## the time in the images, in seconds since 1970; default: the last
## commit's
export SOURCE_DATE_EPOCH ?= $(shell git -c safe.directory='*' -C $(TOP) log -1 --format=%ct 2>/dev/null || stat --format=%Y $(TOP)/VERSION)
## where the keys are that sign the boot files and the bundle; without keys,
## make makes some
export SIGNING_KEY_DIR ?= $(O)/keys
override SIGNING_KEY_DIR := $(abspath $(SIGNING_KEY_DIR))
## a repository in which the build also publishes its release; default: none
export COREOS_REPOSITORY ?=
override COREOS_REPOSITORY := $(abspath $(COREOS_REPOSITORY))
## the image that machines, smoke, soak and bench boot
IMAGE ?= $(O)/images/coreos_production_qemu_image.img

# module-version prints the version of a module that go-src requires.
module-version = $(shell sed -n 's|^.*$(1) v\([^ ]*\).*|\1|p' $(TOP)/go-src/go.mod)

# How both bases link Ignition, a command of a module that go-src requires: its version,
# and no labels of SELinux, which this system does not have.
ignition := github.com/coreos/ignition/v2
export COREOS_IGNITION_LDFLAGS := -X $(ignition)/internal/distro.selinuxRelabel=false \
	-X $(ignition)/internal/version.Raw=$(call module-version,$(ignition))

# What containerd and its shim, linked from a module that go-src requires, say of themselves.
containerd := github.com/containerd/containerd/v2
export COREOS_CONTAINERD_VERSION_LDFLAGS := -X $(containerd)/version.Version=$(call module-version,$(containerd))

include $(TOP)/base/buildroot.mk
include $(TOP)/base/debian.mk

flavours := $(patsubst $(TOP)/configs/%,%,$(wildcard $(TOP)/configs/*_defconfig))
.PHONY: all run test lint unit cluster machines surface smoke soak fuzz bench flash host-tools clean distclean help $(flavours)

##@ Choosing a flavour, then run make
## on Debian's packages: a minute; for development and CI
coreos_x86_64_dev_defconfig:
## from source, by Buildroot: two hours once; for releases
coreos_x86_64_defconfig:

# base prints which base the output directory is configured for.
base = $$(if grep -qs '^BR2_COREOS_BASE_DEBIAN=y' $(O)/.config; then echo debian; else echo buildroot; fi)
need-config = @[ -f $(O)/.config ] || { echo "error: $(O) is not configured: run one of: $(addprefix make ,$(addsuffix ;,$(flavours)))" >&2; exit 1; }
submake = $(MAKE) --no-print-directory -f $(TOP)/Makefile O=$(O)

$(flavours):
	@[ -d $(TOP)/board/$(BOARD) ] || { echo "error: BOARD=$(BOARD): there is no $(TOP)/board/$(BOARD)" >&2; exit 1; }
	@new=$$(if grep -q '^BR2_COREOS_BASE_DEBIAN=y' $(TOP)/configs/$@; then echo debian; else echo buildroot; fi); \
	if [ -f $(O)/.config ] && [ "$$new" != "$(base)" ]; then \
		echo "error: $(O) holds a build on the other base: run make clean, or set O= to another directory" >&2; exit 1; fi; \
	$(submake) $$new-defconfig DEFCONFIG=$@
	@cd $(TOP) && sha256sum configs/$@ >$(O)/.flavour

##@ Building and running
## build the images into O/images; what make does without a target
# One build at a time in an output directory.
all: $(filter %_defconfig %-dirclean %-rebuild %-reconfigure,$(MAKECMDGOALS))
	$(need-config)
	@[ "$(base)" = buildroot ] || $(TOP)/base/host-tools.sh check
	@flock $(O)/.lock $(submake) $(base)-build
	@echo "images are in $(O)/images"
	@$(submake) .flavour-is-current

# A configuration that was made before its flavour changed lacks what is new in it.
.PHONY: .flavour-is-current
.flavour-is-current:
	@[ ! -f $(O)/.flavour ] || (cd $(TOP) && sha256sum --status --check $(O)/.flavour) || { read -r _ flavour <$(O)/.flavour; \
		echo "warning: $$flavour has changed since $(O)/.config was made of it: run make $${flavour#configs/} and make again" >&2; }

## install the tools that the build host lacks (Debian, as root)
host-tools:
	@$(TOP)/base/host-tools.sh install

.PHONY: image
## the same as all; without a flavour it takes the dev flavour
image: host-tools
	@[ -f $(O)/.config ] || $(submake) coreos_x86_64_dev_defconfig
	@$(submake) all

## build, and boot the image in QEMU; CONFIG=file hands over a
## cloud-config, a script, an Ignition or a Butane config
run: image
	$(if $(CONFIG),@$(O)/host/bin/configctl translate --files-dir '$(dir $(abspath $(CONFIG)))' \
		--output '$(O)/images/run.config' '$(abspath $(CONFIG))')
	@$(O)/images/coreos_production_qemu.sh $(if $(CONFIG),-i '$(O)/images/run.config')

# Each step of the tests says how long it took.
phase = @start=$$(date +%s); $(submake) $(1) || exit 1; \
	printf '%-10s %4d s\n' '$(1)' $$(($$(date +%s) - start)) >>$(O)/test-times

##@ Testing
## all that a change has to pass: lint, unit, cluster, a fresh image, machines
test: host-tools
	@mkdir -p $(O) && rm -f $(O)/test-times
	$(call phase,lint)
	$(call phase,unit)
	$(call phase,cluster)
	$(call phase,image)
	$(call phase,machines)
	@echo "where the time went:"; cat $(O)/test-times $(O)/test-logs/TestChange/times

scripts := $(wildcard $(TOP)/*.sh $(TOP)/board/*.sh $(TOP)/base/*.sh $(TOP)/base/*/*.sh $(TOP)/board/*/*.sh $(TOP)/br2-external/*.sh $(TOP)/go-src/test/*/*.sh) $(TOP)/.ci/run
## shellcheck, gofmt, vet, staticcheck, errorlint, unparam, misspell;
## govulncheck and check-package where they can run
lint:
	@shellcheck $(scripts) $$(grep -rlI '^#!/bin/.*sh' $(TOP)/rootfs-overlay)
	@cd $(TOP)/go-src && bad=$$(gofmt -l .) && [ -z "$$bad" ] || { echo "error: run gofmt -w on: $$bad" >&2; exit 1; }
	@cd $(TOP)/go-src && $(GO) vet ./...
	@$(go-tool) staticcheck ./...
	@$(go-tool) go-errorlint ./...
	@$(go-tool) unparam ./...
	@$(go-tool) misspell -error -i $(not-misspelled) $(spelled)
	@mkdir -p $(O)
	@$(go-tool) govulncheck -db $(GOVULNDB) ./... >$(O)/govulncheck.log 2>&1 || { $(vulncheck-failed); }
	@$(if $(lint-skips-packages),echo "lint: check-package is skipped: $(lint-skips-packages)",$(submake) check-package)

# The tools are a module of their own. golangci-lint, which has them all, is not among them:
# building it takes longer than all of lint.
go-tool = cd $(TOP)/go-src && $(GO) tool -modfile=tools/go.mod
# Words of file formats that look like mistakes: RELA is a section of ELF.
not-misspelled := rela
spelled := $(TOP)/*.md $(addprefix $(TOP)/,Makefile docs base board br2-external configs package go-src/cmd go-src/internal go-src/test)
## the database of vulnerabilities for lint: a URL, https: or file:
GOVULNDB ?= https://vuln.go.dev
# Exit status 1 and this message: the database cannot be reached.
vulncheck-failed = status=$$?; [ $$status = 1 ] && grep -s 'fetching vulnerabilities' $(O)/govulncheck.log | \
	sed 's/^govulncheck: /lint: govulncheck is skipped: /' || { cat $(O)/govulncheck.log >&2; exit $$status; }
lint-skips-packages = $(if $(wildcard $(BUILDROOT_DIR)/utils/check-package),$(shell /usr/bin/python3 -c 'import magic, flake8' 2>/dev/null || \
	echo 'install python3-magic and python3-flake8'),no Buildroot in $(BUILDROOT_DIR): set BUILDROOT_DIR)

## unit tests, and the checks of structure and docs
unit:
	@cd $(TOP)/go-src && $(GO) test -race ./cmd/... ./internal/... ./test/architecture ./test/machine ./test/makefile ./test/suite ./test/surface
	@cd $(TOP)/go-src && $(GO) test -count=1 ./test/docs

# Daemons on clusters of real etcd processes that fail, and fleets in simulated time: these without the race
# detector, whose runtime now and then crashes in the many bubbles of synctest.
no-race := ^Test(Histor|Flood)
## daemons on clusters of real etcd processes that fail; RUN=name runs some
cluster:
	@cd $(TOP)/go-src && $(GO) test -race ./test/etcdtest ./test/cluster ./test/fleettest $(if $(RUN),-run '$(RUN)') -skip '$(no-race)'
	@cd $(TOP)/go-src && $(GO) test ./test/fleettest -run '$(if $(RUN),$(RUN),$(no-race))' -args -histories=2000

# Black-box tests; RUN= names some (a regular expression), IMAGE= another image.
black-box = @[ -f $(IMAGE) ] || { echo "error: there is no $(IMAGE): run make first" >&2; exit 1; }; \
	cd $(TOP)/go-src && COREOS_TOP=$(TOP) COREOS_OUTPUT=$(O) COREOS_IMAGE=$(abspath $(IMAGE)) \
		$(GO) test -v -count=1 -timeout=8h $(1) -run '$(2)$(if $(RUN),/($(RUN)))'
## boot the machines that each change has to pass, most of them on the host's
## kernel (docs/testing.md); RUN=name runs some tests, IMAGE=file tests another image
machines: host-tools
	$(call black-box,./test/blackbox,TestChange)
surface: export COREOS_SURFACE := write
## write what the image exposes into go-src/test/surface/surface.list, after a
## change that is meant; git diff shows it
surface: host-tools
	$(call black-box,./test/blackbox,TestChange/^(bases|boot-uefi-nvme)$$)
smoke: export COREOS_NEWER := $(and $(NEWER),$(abspath $(NEWER)))
## boot all machines that a release has to pass; RUN=name runs some tests,
## IMAGE=file tests another image, NEWER=dir updates it to the images there
smoke: host-tools
	$(call black-box,./test/blackbox,TestSmoke)
## the long tests, hours, and in QEMU what smoke does on the host's kernel
soak: host-tools
	$(call black-box,./test/blackbox,TestSoak)
## how long make fuzz spends on each parser
FUZZTIME ?= 1m
## fuzz each parser of outside bytes; RUN=name runs some, by package and function
fuzz:
	@cd $(TOP)/go-src && grep -ro '^func Fuzz[A-Za-z]*' --include=*_test.go internal | sed 's|/[^/]*_test.go:func | |' | \
	{ grep -E '$(RUN)' || { echo "error: no fuzz function matches RUN=$(RUN)" >&2; exit 1; }; } | \
	while read -r package name; do echo "$$package $$name"; \
		$(GO) test ./$$package -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) || exit 1; done
bench: export COREOS_IMAGES := $(or $(IMAGES),coreos=$(abspath $(IMAGE)))
bench: export COREOS_OLD := $(and $(OLD),$(abspath $(OLD)))
## sizes and times beside a stock Debian with Docker;
## IMAGES="NAME=FILE ..." measures several images in one run,
## OLD=dir compares updates from the images there with other tools,
## BENCH=TestBenchConfigs times only machines that get a config
bench: host-tools
	$(call black-box,./test/bench,$(or $(BENCH),$(if $(OLD),TestBenchUpdates,TestBench(Configs|Etcd)?))$$$$)

##@ Installing
## write the image to a disk: make flash DISK=/dev/sdX, which asks unless YES=1
flash:
	@$(TOP)/board/coreos/flash.sh "$(O)/images/coreos_production_image.bin" "$(DISK)"

##@ Cleaning up
## remove the output, except keys and downloads
clean:
	@if [ -d $(O) ]; then find $(O)/ -mindepth 1 -maxdepth 1 ! -name keys ! -name dl \
		-exec rm -rf --one-file-system --preserve-root=all {} +; fi

## remove the whole output directory
distclean:
	@rm -rf --one-file-system "$$(readlink -m $(O))" $(O)

##@ Release flavour, as in Buildroot (docs/buildroot.md)
## change the configuration of O in a menu
menuconfig nconfig:
## change the kernel's configuration of O in a menu
linux-menuconfig:
## write the kernel's configuration of O as a fragment
linux-savedefconfig:
## configure and build the kernel again, after a change in its fragments
linux-reconfigure:
## every package with version, licence and dependencies, as JSON
show-info:
## fetch all that a build without a network needs
source:
## sources, licences and the bill of materials, published beside an image
legal-info:
## write O/defconfig, to be carried over to configs/ by hand
savedefconfig:
## where time and space went, as PDF
graph-build graph-size graph-depends:
## whether package/, br2-external/ and the defconfig are in Buildroot's style
check-package:
$(BUILDROOT_TARGETS) source legal-info savedefconfig: FORCE
	$(need-config)
	@[ "$(base)" = buildroot ] || { echo "error: make $@ is Buildroot's; the dev flavour is configured in configs/ and base/debian/*.list" >&2; exit 1; }
	@$(submake) buildroot-$@
.PHONY: FORCE
FORCE:

##@ Help
## list targets and variables
help:
	@awk -f $(TOP)/base/help.awk $(MAKEFILE_LIST)
