// Package v2proxy serves the keys API of etcd 2 (https://etcd.io/docs/v2.3/api/) from a
// cluster of etcd 3.
//
// It keeps no state: any number of proxies may serve a cluster, beside clients of the v3
// API. A v2 key is the v3 key of the same name with the same value, and an index is a
// revision. A directory is a v3 key that ends with a slash, called its marker, or exists
// because keys below it exist. Every write is one transaction. It compares everything that
// the answer depends on, and writes a record that describes the write in etcd 2's terms. A
// wait reads for each revision the record of that revision. If there is none, a v3 client
// made the revision, or a lease ended.
//
// docs/etcd2-proxy.md describes the differences to etcd 2.
package v2proxy
