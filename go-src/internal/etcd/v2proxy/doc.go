// Package v2proxy serves etcd 2's keys API, as
// https://etcd.io/docs/v2.3/api/ describes it, from a cluster of etcd 3.
//
// It keeps no state: any number of proxies may serve one cluster, beside clients of the
// v3 API. A v2 key is the v3 key of the same name with the same value, and an index is a
// revision. A directory is a v3 key with a slash at its end, its marker, or is implied by
// any key beneath it. Every write is one transaction, which compares what the answer
// depends on, and which leaves a record of what it was in etcd 2's words: a wait that
// sees a revision reads the record as of that revision, and where there is none the
// revision was a v3 client's or the end of a lease.
//
// docs/etcd2-proxy.md says where this differs from etcd 2.
package v2proxy
