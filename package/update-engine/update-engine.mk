################################################################################
#
# update-engine
#
################################################################################

UPDATE_ENGINE_BUILD_TARGETS = cmd/update-engine cmd/update_engine_client

$(eval $(coreos-go-package))
