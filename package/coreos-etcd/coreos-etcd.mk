################################################################################
#
# coreos-etcd
#
################################################################################

COREOS_ETCD_BUILD_TARGETS = cmd/etcd cmd/etcdctl cmd/etcdutl

$(eval $(coreos-go-package))
