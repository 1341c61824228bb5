package guard

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestProtects(t *testing.T) {
	p := Policy{Protected: append([]string{"/other/fleet", "\xff\xff"}, System...)}
	for _, test := range []struct {
		key, end string
		want     bool
	}{
		{"/app", "", false},
		{"/app/", "/app0", false},
		{"/_coreos.com/fleet/v3/leader", "", true},
		{"/_coreos.com/", "", true},
		{"/_coreos.com", "", true}, // would be a file for clients of the API v2
		{"/_coreos.con", "", false},
		{"/_coreos.com0", "", false},
		{"/coreos.com/network/config", "", true},
		{"/coreos.com/updateengine/rebootlock/semaphore", "", true},
		{"/coreos.com", "", true},
		{"/coreos.community", "", false},
		{"coreos.com/network/config", "", false},
		{"/other/fleet/x", "", true},
		{"/other/fleets", "", true}, // a prefix without a slash at its end
		{"/other/flee", "", false},
		{"\xff\xff\x01", "", true},
		{"\xff\xfe", "", false},
		{"", "", false}, // etcd refuses the empty key
		// Ranges.
		{"\x00", "\x00", true}, // all keys
		{"/", "0", true},
		{"/", "\x00", true},
		{"z", "\x00", true}, // has \xff\xff
		{"", "\xff", true},
		{"/a", "/b", false},
		{"/_a", "/_coreos.com", false},              // ends before
		{"/_a", "/_coreos.com\x00", true},           // has the directory
		{"/_a", "/_coreos.com/\x00", true},          // has the first key
		{"/_coreos.com/zzz", "/a", true},            // begins in it
		{"/_coreos.com0", "/a", false},              // begins behind it
		{"/_coreos.com/a", "/_coreos.com/b", true},  // is in it
		{"/_coreos.com/b", "/_coreos.com/a", false}, // is empty
		{"/_coreos.com/b", "/_coreos.com/b", false}, // is empty
		{"/coreos.com/", "/coreos.com0", true},
		{"/coreos.c", "/coreos.d", true},
	} {
		if got := p.protects(rangeOf([]byte(test.key), []byte(test.end))); got != test.want {
			t.Errorf("%q to %q: %t, want %t", test.key, test.end, got, test.want)
		}
	}
}

// TestNoProtection has a range of keys that no policy names.
func TestNoProtection(t *testing.T) {
	if new(Policy).protects(rangeOf([]byte{0}, []byte{0})) {
		t.Error("without protected keys all are protected")
	}
	if (&Policy{Protected: []string{""}}).protects(rangeOf([]byte("a"), nil)) != true {
		t.Error("the empty prefix is not that of all keys")
	}
}

// FuzzProtects compares ranges with the keys in them: whatever range has a protected key is protected.
func FuzzProtects(f *testing.F) {
	f.Add([]byte("/_coreos.com/"), []byte("/_coreos.com0"), []byte("/_coreos.com/fleet"))
	f.Add([]byte{0}, []byte{0}, []byte("/coreos.com/network/config"))
	p := Policy{Protected: System}
	f.Fuzz(func(t *testing.T, begin, end, key []byte) {
		in := string(key) >= string(begin) && (string(end) == "\x00" || string(key) < string(end)) || len(end) == 0 && string(key) == string(begin)
		if in && p.protects(rangeOf(key, nil)) && !p.protects(rangeOf(begin, end)) {
			t.Errorf("%q to %q has %q and is not protected", begin, end, key)
		}
	})
}

func put(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key)}}}
}

func deletion(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
}

func reading(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
}

func nested(then, otherwise []*pb.RequestOp) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: then, Failure: otherwise}}}
}
