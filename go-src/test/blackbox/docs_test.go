package blackbox

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"coreos/internal/boot/bootimage/imagetest"
	"coreos/internal/boot/verity"
	"coreos/test/docs"
	"coreos/test/suite"
)

// tree is the top of the tree, for this package.
const tree = "../../.."

// Each page of the documentation is a test: its commands run in their order, and print what the
// page shows.
func init() {
	pages, err := docs.ReadPages(tree)
	if err != nil {
		panic(err)
	}
	for _, page := range pages {
		if test, runs := pageTest(page); runs {
			suite.Register(test)
		}
	}
}

// pageTest makes the test of a page, if the page has a block that runs.
func pageTest(page docs.Page) (test suite.Test, runs bool) {
	var places []string
	for _, block := range page.Blocks {
		if block.Kind == docs.Run || block.Kind == docs.File {
			runs = true
		}
		if block.Kind == docs.Run {
			places = append(places, block.Value)
		}
	}
	machines := machinesIn(places)
	in := suite.Change
	if inSmoke[page.Path] {
		in = suite.Smoke
	}
	return suite.Test{
		Suite: in, Name: "docs-" + strings.TrimSuffix(path.Base(page.Path), ".md"), Native: len(machines) > 0,
		Needs: append(slices.Clip(suite.Host), suite.ConfigCtl, suite.BootKey), Machines: len(machines), Limit: 15 * time.Minute,
		Does: "the commands of " + page.Path + " do what the page says",
		Run:  func(t *suite.T) { newReader(t, page).read() },
	}, runs
}

// inSmoke are pages that take too long for each change: those of several machines, and long ones.
var inSmoke = map[string]bool{
	"docs/etcd-operations.md": true, "docs/fleet.md": true, "docs/fleetctl.md": true, "docs/fleet-operations.md": true,
	"docs/fleet-units.md": true, "docs/ignition.md": true, "docs/bad-states.md": true,
}

// machinesIn returns the machines among the places where blocks run.
func machinesIn(places []string) []string {
	var names []string
	for _, place := range places {
		switch place {
		case docs.Host, docs.Root, docs.Tree:
		case docs.QEMU:
			names = append(names, docs.Machine)
		default:
			names = append(names, place)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// prepare makes what pages assume to be there.
var prepare = map[string]func(*reader){
	// Images like those of a build, but small: a real one takes minutes to compress.
	"docs/repository.md": func(r *reader) {
		for name, version := range map[string]string{"coreos_production": "4891.0.0", "newer": "4891.1.0"} {
			boot, usr := imagetest.Slot(r.t.T, version, bytes.Repeat([]byte(version), verity.BlockSize))
			r.t.Must(os.WriteFile(filepath.Join(r.dir, name+"_boot.img"), boot, 0o644))
			r.t.Must(os.WriteFile(filepath.Join(r.dir, name+"_usr.img"), usr, 0o644))
		}
		r.t.Must(os.WriteFile(filepath.Join(r.dir, "notes.md"), []byte("- faster\n"), 0o644))
	},
	// The command of the operator's machine, which need not be one of ours.
	"docs/etcd-operations.md": func(r *reader) {
		if out := output(r.command(r.t.Context, filepath.Join(r.t.Env.Top, "go-src"), "go build -buildvcs=false -o "+r.dir+"/.bin/etcd-memberctl ./cmd/multicall")); out != "" {
			r.t.Fatalf("%s", out)
		}
	},
	// What a guest reaches at 10.0.2.2:8000.
	"docs/platforms.md": func(r *reader) {
		if r.t.Native() {
			return
		}
		listener, err := net.Listen("tcp", "127.0.0.1:8000")
		r.t.Must(err)
		server := &http.Server{Handler: http.FileServer(http.Dir(r.dir)), ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(listener) }()
		r.t.Cleanup(func() { _ = server.Close() })
	},
}
