################################################################################
#
# coreos-etcd
#
################################################################################

COREOS_ETCD_BUILD_TARGETS = cmd/etcd cmd/etcdctl cmd/etcdutl cmd/etcd-memberctl

$(eval $(coreos-go-package))
