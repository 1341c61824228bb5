################################################################################
#
# update-engine
#
################################################################################

UPDATE_ENGINE_COMMANDS = update-engine update_engine_client

$(eval $(coreos-command-package))
