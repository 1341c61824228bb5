################################################################################
#
# coreos-containerd-shim
#
################################################################################

# It runs once for each container, so it is apart from containerd, and without gRPC, of which
# it uses nothing: as upstream builds it.
COREOS_CONTAINERD_SHIM_BUILD_TARGETS = cmd/containerd-shim-runc-v2
COREOS_CONTAINERD_SHIM_TAGS = no_grpc
COREOS_CONTAINERD_SHIM_LDFLAGS = $(COREOS_CONTAINERD_VERSION_LDFLAGS)

$(eval $(coreos-go-package))
