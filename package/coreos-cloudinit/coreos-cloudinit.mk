################################################################################
#
# coreos-cloudinit
#
################################################################################

COREOS_CLOUDINIT_COMMANDS = coreos-cloudinit

$(eval $(coreos-command-package))
