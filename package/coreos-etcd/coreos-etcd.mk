################################################################################
#
# coreos-etcd
#
################################################################################

COREOS_ETCD_COMMANDS = etcd etcdctl etcdutl etcd-memberctl

$(eval $(coreos-command-package))
