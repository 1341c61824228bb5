package blackbox

import (
	"archive/tar"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "docker-volume", Native: true, Needs: suite.Host, Machines: 1, Limit: 10 * time.Minute,
		Does: "pulls an image from a registry, runs it, and its volume survives a reboot",
		Run:  dockerVolume,
	})
	suite.Register(suite.Test{
		Name: "containerd", Native: true, Needs: suite.Host, Machines: 1, Limit: 10 * time.Minute,
		Does: "containers outlive a restart of containerd, also of one that was killed; ctr runs an image without Docker",
		Run:  containerd,
	})
}

func dockerVolume(t *suite.T) {
	reference, authority := serveImage(t, appender)
	m := running(t)
	pull(t, m, reference, authority)
	t.Equal("storage driver", t.Run(m, "docker info --format '{{.Driver}}'"), "overlay2")
	run := "docker run --rm -v data:/data " + reference
	t.Equal("first run", t.Run(m, run), "0 lines before")
	t.Equal("second run", t.Run(m, run), "1 lines before")
	reboot(t, m)
	t.Equal("run after the reboot", t.Run(m, run), "2 lines before")
}

func containerd(t *suite.T) {
	reference, authority := serveImage(t, waiter)
	m := running(t)
	pull(t, m, reference, authority)
	t.Run(m, "docker run --detach --name waiter "+reference+" wait")
	process := func() string { return t.Run(m, "docker inspect --format '{{.State.Running}} {{.State.Pid}}' waiter") }
	before := process()
	for _, restart := range []string{"systemctl restart containerd", "systemctl kill --kill-whom=main --signal=KILL containerd"} {
		pid := t.Run(m, "systemctl show --property=MainPID --value containerd")
		t.Run(m, restart)
		// Docker asks containerd which processes there are.
		t.Run(m, fmt.Sprintf("timeout %d sh -c 'until [ $(systemctl show --property=MainPID --value containerd) != %s ] && docker top waiter >/dev/null 2>&1; do sleep 0.2; done'", t.Seconds(60), pid))
		t.Equal("the container after "+restart, process(), before)
	}
	t.Equal("Docker's containers in containerd", t.Run(m, "ctr --namespace moby containers list --quiet | wc -l"), "1")
	// Docker hears of the end through the new containerd.
	t.Equal("how it ends", t.Run(m, "docker stop -t 60 waiter && docker wait waiter"), "waiter\n7")
	t.Equal("plugins that failed", t.Run(m, "ctr plugins list | awk 'NR > 1 && $NF == \"error\"'"), "")
	t.Equal("Kubernetes' interface", t.Run(m, "ctr plugins list | awk '$1 == \"io.containerd.grpc.v1\" && $2 == \"cri\" { print $NF }'"), "ok")
	t.Run(m, "ctr images pull --local --skip-verify "+reference)
	t.Equal("a run by ctr", t.Run(m, "ctr run --rm --cpu-shares 0 "+reference+" once"), "started")
	t.Equal("containers of ctr", t.Run(m, "ctr containers list --quiet"), "")
}

// waiter is a program that says that it has started. With an argument it waits for SIGTERM,
// and ends with status 7.
const waiter = `package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("started")
	if len(os.Args) > 1 {
		<-stop
		os.Exit(7)
	}
}
`

// pull has a machine trust a registry, and pull an image from it.
func pull(t *suite.T, m *machine.Machine, reference, authority string) {
	t.Helper()
	trust := "/etc/docker/certs.d/" + strings.Split(reference, "/")[0]
	t.Run(m, fmt.Sprintf("mkdir -p %s && cat >%s/ca.crt <<'EOF'\n%sEOF", trust, trust, authority))
	t.Run(m, "docker pull -q "+reference)
}

// appender is the program in the test's image. It prints the number of lines of the file on the
// volume, and adds one.
const appender = `package main

import (
	"bytes"
	"fmt"
	"os"
)

func main() {
	f, err := os.OpenFile("/data/lines", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	b, _ := os.ReadFile("/data/lines")
	fmt.Println(bytes.Count(b, []byte("\n")), "lines before")
	fmt.Fprintln(f, "line")
	if err := f.Sync(); err != nil {
		os.Exit(1)
	}
}
`

// serveImage starts a registry on the host's loopback with an image of a Go program. It returns
// the image's reference for the machines, and the authority that they have to trust.
func serveImage(t *suite.T, program string) (reference, authority string) {
	t.Helper()
	return serveImageAt(t, t.Listen(), machine.HostInMachine, program)
}

// serveImageAt does so on a listener that the machines reach at a host's address.
func serveImageAt(t *suite.T, plain net.Listener, host, program string) (reference, authority string) {
	t.Helper()
	source := filepath.Join(t.Dir, "main.go")
	binary := filepath.Join(t.Dir, "program")
	t.Must(os.WriteFile(source, []byte(program), 0o644))
	build := exec.CommandContext(t.Context, "go", "build", "-buildvcs=false", "-o", binary, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	image, err := imageOf(binary)
	t.Must(err)

	certificate, authority := certify(t)
	listener := tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{certificate}})
	quiet := log.New(io.Discard, "", 0)
	server := &http.Server{Handler: registry.New(registry.Logger(quiet)), ReadHeaderTimeout: time.Minute, ErrorLog: quiet}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })

	address := plain.Addr().String()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(authority))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Must(crane.Push(image, address+"/program:1", crane.WithTransport(transport)))
	return net.JoinHostPort(host, port(address)) + "/program:1", authority
}

// certify makes a certificate for the registry and returns it with itself, in PEM,
// as the authority to trust.
func certify(t *suite.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	t.Must(err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.ParseIP(machine.HostInMachine), net.ParseIP(machine.HostInMachineIPv6), net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	t.Must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// imageOf makes an image with one static binary as its entry point.
func imageOf(binary string) (v1.Image, error) {
	data, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(data))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	opened, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layer.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, opened)
	if err != nil {
		return nil, err
	}
	return mutate.Config(image, v1.Config{Entrypoint: []string{"/program"}})
}
