################################################################################
#
# coreos-multicall
#
################################################################################

# The commands of the packages that use coreos-command-package, in one binary
COREOS_MULTICALL_BUILD_TARGETS = cmd/multicall
COREOS_MULTICALL_TAGS = $(COREOS_COMMANDS_LEFT_OUT)

define COREOS_MULTICALL_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/bin/multicall $(TARGET_DIR)/usr/lib/coreos/multicall
endef

$(eval $(coreos-go-package))
