################################################################################
#
# bootengine
#
################################################################################

BOOTENGINE_BUILD_TARGETS = cmd/bootengine

# It is /init of the initramfs and is not installed in /usr. post-image.sh takes it from
# the images directory.
BOOTENGINE_INSTALL_TARGET = NO
BOOTENGINE_INSTALL_IMAGES = YES

define BOOTENGINE_INSTALL_IMAGES_CMDS
	$(INSTALL) -D -m 0755 $(@D)/bin/bootengine $(BINARIES_DIR)/bootengine
endef

$(eval $(coreos-go-package))
