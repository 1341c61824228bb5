package cluster

import (
	"encoding/json"
	"net/http"
	"testing"

	"coreos/test/etcdtest"
)

// TestMembersWithoutMajority kills two of three members: the third one still says who the members are, as
// that of etcd 2 does.
func TestMembersWithoutMajority(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 3, etcdtest.NoFsync())
	front := fronts(t, c)[1]
	for i := 1; i < 3; i++ {
		if err := c.Member(i).Kill(); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := http.Get(front + "/v2/members")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var list struct {
		Members []struct{ Name string } `json:"members"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil || answer.StatusCode != http.StatusOK || len(list.Members) != 3 {
		t.Errorf("%s: %+v, %v", answer.Status, list, err)
	}
}
