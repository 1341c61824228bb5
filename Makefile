# The only entry point: `make help` lists what it does.
#
# A flavour is chosen by `make <flavour>_defconfig`; it names the base on which the
# same OS is assembled: Debian's packages (base/debian.mk) or Buildroot
# (base/buildroot.mk). Both leave their images in $(O)/images.

TOP := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
O ?= $(TOP)/output
override O := $(abspath $(O))
GO ?= go
RUN ?=
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
export PATH := $(PATH):/usr/sbin:/sbin

# What goes into the images from outside the tree. The time is that of the last
# commit, so that the same commit gives the same images.
export COREOS_VERSION ?= $(shell cat $(TOP)/VERSION)
export COREOS_GROUP ?= developer
BOARD ?= coreos
export SOURCE_DATE_EPOCH ?= $(shell git -C $(TOP) log -1 --format=%ct 2>/dev/null || stat --format=%Y $(TOP)/VERSION)
export SIGNING_KEY_DIR ?= $(O)/keys
override SIGNING_KEY_DIR := $(abspath $(SIGNING_KEY_DIR))
IMAGE ?= $(O)/images/coreos_production_qemu_image.img

# How both bases link Ignition, a command of a module that go-src requires: its version,
# and no labels of SELinux, which this system does not have.
ignition := github.com/coreos/ignition/v2
export COREOS_IGNITION_LDFLAGS := -X $(ignition)/internal/distro.selinuxRelabel=false \
	-X $(ignition)/internal/version.Raw=$(shell sed -n 's|^.*$(ignition) v\([^ ]*\).*|\1|p' $(TOP)/go-src/go.mod)

include $(TOP)/base/buildroot.mk
include $(TOP)/base/debian.mk

flavours := $(patsubst $(TOP)/configs/%,%,$(wildcard $(TOP)/configs/*_defconfig))
.PHONY: all run test lint unit cluster smoke soak fuzz bench flash host-tools clean distclean help $(flavours)

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

# One build at a time in an output directory.
all: $(filter %_defconfig %-dirclean %-rebuild %-reconfigure,$(MAKECMDGOALS))
	$(need-config)
	@[ "$(base)" = buildroot ] || $(TOP)/base/host-tools.sh check
	@flock $(O)/.lock $(submake) $(base)-build
	@echo "images are in $(O)/images"

$(BUILDROOT_TARGETS) source legal-info savedefconfig: FORCE
	$(need-config)
	@[ "$(base)" = buildroot ] || { echo "error: make $@ is Buildroot's; the dev flavour is configured in configs/ and base/debian/*.list" >&2; exit 1; }
	@$(submake) buildroot-$@
.PHONY: FORCE
FORCE:

host-tools:
	@$(TOP)/base/host-tools.sh install

# An output directory that nobody configured gets the dev flavour.
.PHONY: image
image: host-tools
	@[ -f $(O)/.config ] || $(submake) coreos_x86_64_dev_defconfig
	@$(submake) all

run: image
	$(if $(CONFIG),@$(O)/host/bin/configctl translate --files-dir '$(dir $(abspath $(CONFIG)))' \
		--output '$(O)/images/run.config' '$(abspath $(CONFIG))')
	@$(O)/images/coreos_production_qemu.sh $(if $(CONFIG),-i '$(O)/images/run.config')

# Each step of the tests says how long it took.
phase = @start=$$(date +%s); $(submake) $(1) || exit 1; \
	printf '%-10s %4d s\n' '$(1)' $$(($$(date +%s) - start)) >>$(O)/test-times

test: host-tools
	@mkdir -p $(O) && rm -f $(O)/test-times
	$(call phase,lint)
	$(call phase,unit)
	$(call phase,cluster)
	$(call phase,image)
	$(call phase,smoke)
	@echo "where the time went:"; cat $(O)/test-times

scripts := $(wildcard $(TOP)/*.sh $(TOP)/board/*.sh $(TOP)/base/*.sh $(TOP)/base/*/*.sh $(TOP)/board/*/*.sh $(TOP)/br2-external/*.sh $(TOP)/go-src/test/*/*.sh) $(TOP)/.ci/run
lint:
	@shellcheck $(scripts) $$(grep -rlI '^#!/bin/.*sh' $(TOP)/rootfs-overlay)
	@cd $(TOP)/go-src && bad=$$(gofmt -l .) && [ -z "$$bad" ] || { echo "error: run gofmt -w on: $$bad" >&2; exit 1; }
	@cd $(TOP)/go-src && $(GO) vet ./... && $(GO) tool staticcheck ./...

unit:
	@cd $(TOP)/go-src && $(GO) test -race ./cmd/... ./internal/... ./test/architecture

# Daemons on clusters of real etcd processes that fail, and fleets in simulated time: these without the race
# detector, whose runtime now and then crashes in the many bubbles of synctest.
no-race := ^Test(Histor|Flood)
cluster:
	@cd $(TOP)/go-src && $(GO) test -race ./test/etcdtest ./test/cluster ./test/fleettest $(if $(RUN),-run '$(RUN)') -skip '$(no-race)'
	@cd $(TOP)/go-src && $(GO) test ./test/fleettest -run '$(if $(RUN),$(RUN),$(no-race))' -args -histories=2000

# Black-box tests; RUN= names some (a regular expression), IMAGE= another image.
black-box = @[ -f $(IMAGE) ] || { echo "error: there is no $(IMAGE): run make first" >&2; exit 1; }; \
	cd $(TOP)/go-src && COREOS_TOP=$(TOP) COREOS_OUTPUT=$(O) COREOS_IMAGE=$(abspath $(IMAGE)) \
		$(GO) test -v -count=1 -timeout=8h $(1) -run '$(2)$(if $(RUN),/($(RUN)))'
smoke: export COREOS_NEWER := $(and $(NEWER),$(abspath $(NEWER)))
smoke: host-tools
	$(call black-box,./test/blackbox,TestSmoke)
soak: host-tools
	$(call black-box,./test/blackbox,TestSoak)
# Each parser of outside bytes for FUZZTIME; RUN= names some, by package and function.
FUZZTIME ?= 1m
fuzz:
	@cd $(TOP)/go-src && grep -ro '^func Fuzz[A-Za-z]*' --include=*_test.go internal | sed 's|/[^/]*_test.go:func | |' | grep -E '$(RUN)' | \
	while read -r package name; do echo "$$package $$name"; \
		$(GO) test ./$$package -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) || exit 1; done
bench: export COREOS_IMAGES := $(or $(IMAGES),coreos=$(abspath $(IMAGE)))
bench: export COREOS_OLD := $(and $(OLD),$(abspath $(OLD)))
bench: host-tools
	$(call black-box,./test/bench,$(or $(BENCH),$(if $(OLD),TestBenchUpdates,TestBench(Configs|Etcd)?))$$$$)

flash:
	@$(TOP)/board/coreos/flash.sh "$(O)/images/coreos_production_image.bin" "$(DISK)"

clean:
	@if [ -d $(O) ]; then find $(O) -mindepth 1 -maxdepth 1 ! -name keys ! -name dl -exec rm -rf {} +; fi

distclean:
	@rm -rf $(O)

help:
	@echo 'Flavours (then run make):'
	@echo '  coreos_x86_64_dev_defconfig  on Debian packages: a minute; for development and CI'
	@echo '  coreos_x86_64_defconfig      from source, by Buildroot: for releases'
	@echo
	@echo 'Targets:'
	@echo '  all (default)  build the images into output/images'
	@echo '  run            build (the dev flavour, if none was chosen) and boot it in QEMU;'
	@echo '                 CONFIG=file hands a cloud-config, a script, an Ignition or Butane config over'
	@echo '  test           lint, unit and cluster tests, and the smoke tests on a fresh image'
	@echo '  cluster        daemons on clusters of real etcd processes that fail; RUN=name runs some'
	@echo '  smoke          boot machines in QEMU; RUN=name runs one test, IMAGE=file tests another'
	@echo '                 image, NEWER=dir updates it to the images there'
	@echo '  soak           the long tests'
	@echo '  fuzz           every parser of outside bytes for FUZZTIME (1m); RUN=name some'
	@echo '  bench          sizes and times, beside a stock Debian with Docker;'
	@echo '                 IMAGES="NAME=FILE ..." measures several images in one run;'
	@echo '                 OLD=dir compares updates from the images in it with other tools;'
	@echo '                 BENCH=TestBenchConfigs only times machines that get a config'
	@echo '  flash          write the image to a disk: make flash DISK=/dev/sdX [YES=1]'
	@echo '  host-tools     install the tools that the build host lacks (Debian, as root)'
	@echo '  menuconfig source show-info savedefconfig linux-menuconfig legal-info check-package'
	@echo '                 as in Buildroot (release flavour)'
	@echo '  clean          remove the output, except keys and downloads; distclean: all of it'
	@echo
	@echo 'Variables: O=dir (output), BOARD=name (with a defconfig), SIGNING_KEY_DIR=dir,'
	@echo '  COREOS_VERSION, COREOS_GROUP, SOURCE_DATE_EPOCH, DEBIAN_MIRROR=url (dev),'
	@echo '  BUILDROOT_DIR=dir, BR2_DL_DIR=dir (release; more in docs/buildroot.md)'
