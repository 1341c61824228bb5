################################################################################
#
# ignition
#
################################################################################

# The command is in a module that go-src requires
IGNITION_GOMOD = github.com/coreos/ignition/v2
IGNITION_BUILD_TARGETS = internal
IGNITION_BIN_NAME = ignition
IGNITION_GO_ENV = CGO_ENABLED=1
IGNITION_DEPENDENCIES = util-linux
# It fetches from Google's storage by HTTP; the tag leaves out another way, by gRPC, which it
# never takes.
IGNITION_TAGS = disable_grpc_modules
IGNITION_LDFLAGS = $(COREOS_IGNITION_LDFLAGS)

$(eval $(coreos-go-package))
