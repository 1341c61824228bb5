################################################################################
#
# coreos-cloudinit
#
################################################################################

COREOS_CLOUDINIT_BUILD_TARGETS = cmd/coreos-cloudinit

$(eval $(coreos-go-package))
