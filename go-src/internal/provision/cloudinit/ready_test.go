package cloudinit

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"coreos/internal/provision/datasource"
)

// azure is a source whose platform wants to know when the machine is up.
type azure struct{ readyAt string }

func (a azure) Name() string { return "azure" }
func (a azure) Fetch(context.Context) (*datasource.Data, error) {
	return &datasource.Data{Source: "azure", UserData: []byte("#cloud-config\nnonsense: x\n"), ReadyAt: a.readyAt}, nil
}

// TestReady has the platform told, although the user-data has errors.
func TestReady(t *testing.T) {
	reports := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			reports++
			return
		}
		_, _ = io.WriteString(w, "<GoalState><Incarnation>1</Incarnation><Container><ContainerId>c</ContainerId>"+
			"<RoleInstanceList><RoleInstance><InstanceId>i</InstanceId></RoleInstance></RoleInstanceList></Container></GoalState>")
	}))
	defer server.Close()
	m := newMachine(t)
	p := Provision{Sources: []datasource.Source{azure{server.URL + "/"}}, Applier: m.Applier, Workspace: t.TempDir(), Problems: io.Discard}
	if err := p.Run(t.Context()); err == nil {
		t.Error("the error of the user-data is lost")
	}
	if reports != 1 {
		t.Errorf("%d reports", reports)
	}
}
