package v2proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// about answers requests that are not about keys: about the cluster and its members.
func (h *handler) about(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), h.limits.Request)
	defer cancel()
	serve := map[string]func(context.Context, http.ResponseWriter, *http.Request) error{
		"/version":           h.version,
		"/health":            h.health,
		"/v2/machines":       h.machines,
		"/v2/members":        h.members,
		"/v2/members/leader": h.leader,
	}[strings.TrimSuffix(r.URL.Path, "/")]
	if serve == nil {
		say(w, http.StatusNotFound, "etcd2-proxy serves /v2/keys, /v2/members (to read), /v2/machines, /version, /health and /metrics: "+
			"for anything else, members and users among it, use etcd's v3 API")
		return
	}
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	if err := serve(ctx, w, r); err != nil {
		slog.Warn("request failed", "path", r.URL.Path, "error", err)
		say(w, http.StatusServiceUnavailable, "etcd: "+err.Error())
	}
}

// say answers with a message, in the form that etcd 2 uses for requests that are not about
// keys.
func say(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Message string `json:"message"`
	}{message})
}

// status asks one member after the other until one answers.
func (h *handler) status(ctx context.Context) (resp *clientv3.StatusResponse, err error) {
	endpoints := h.store.client.Endpoints()
	share := h.limits.Request / time.Duration(max(1, len(endpoints)))
	for _, endpoint := range endpoints {
		one, cancel := context.WithTimeout(ctx, share)
		resp, err = h.store.client.Status(one, endpoint)
		cancel()
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return resp, err
}

func (h *handler) version(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
	status, err := h.status(ctx)
	if err != nil {
		return err
	}
	cluster := status.Version
	if parts := strings.SplitN(cluster, ".", 3); len(parts) == 3 {
		cluster = parts[0] + "." + parts[1] + ".0"
	}
	return encode(w, struct {
		Server  string `json:"etcdserver"`
		Cluster string `json:"etcdcluster"`
	}{status.Version, cluster})
}

// health answers /health with the health of the cluster, which a linearizable read shows.
func (h *handler) health(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
	_, err := h.store.readTxn(ctx, clientv3.OpGet(recordKey, clientv3.WithKeysOnly()))
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		slog.Warn("etcd is not healthy", "error", err)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = fmt.Fprintf(w, `{"health":"%t"}`, err == nil)
	return nil
}

// origin returns the URL at which the client reached the proxy: the URLs of etcd do not
// serve the v2 API.
func origin(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

func (h *handler) machines(_ context.Context, w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, origin(r))
	return nil
}

type member struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
}

func newMember(m *etcdserverpb.Member, r *http.Request) member {
	return member{strconv.FormatUint(m.ID, 16), m.Name, m.PeerURLs, []string{origin(r)}}
}

func (h *handler) members(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	// As in etcd 2, the member that answers says what it knows, also without a majority.
	list, err := h.store.client.MemberList(ctx, clientv3.WithSerializable())
	if err != nil {
		return err
	}
	all := make([]member, len(list.Members))
	for i, m := range list.Members {
		all[i] = newMember(m, r)
	}
	w.Header().Set("X-Etcd-Cluster-Id", strconv.FormatUint(list.Header.ClusterId, 16))
	return encode(w, struct {
		Members []member `json:"members"`
	}{all})
}

func (h *handler) leader(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	status, err := h.status(ctx)
	if err != nil {
		return err
	}
	list, err := h.store.client.MemberList(ctx, clientv3.WithSerializable())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list.Members, func(m *etcdserverpb.Member) bool { return m.ID == status.Leader })
	if i < 0 {
		say(w, http.StatusServiceUnavailable, "During election")
		return nil
	}
	w.Header().Set("X-Etcd-Cluster-Id", strconv.FormatUint(list.Header.ClusterId, 16))
	return encode(w, newMember(list.Members[i], r))
}

func encode(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
	return nil
}
