################################################################################
#
# coreos-host-tools
#
################################################################################

HOST_COREOS_HOST_TOOLS_BUILD_TARGETS = cmd/bootkey cmd/configctl cmd/dynstrip cmd/releasectl cmd/sbom

$(eval $(host-coreos-go-package))
