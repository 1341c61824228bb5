package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"coreos/internal/boot/slot"
	"coreos/internal/update/status"
)

// maxAllocated bounds all memory that an attempt allocates, and with it what it holds at once.
const maxAllocated = 64 << 20

// forgery is what somebody does to the repository, and the kind of error that it must end with.
type forgery struct {
	name  string
	forge func(forger)
	want  error
	like  string // the forgery that has the same error, if there is one
}

// TestForgedRepositories gives a machine each class of attack that the specification of The
// Update Framework names (section 1.5.2), and malformed answers. The machine has seen version
// 1.1.0 of the repository, and is offered 1.2.0. Each kind of attack has an error of
// its own.
func TestForgedRepositories(t *testing.T) {
	all, before := seenOneOfTwo(t)
	errs := map[string]string{}
	for _, test := range slices.Concat(forgedSignatures, forgedStates, forgedContents, forgedAnswers) {
		t.Run(test.name, func(t *testing.T) {
			w := all.fork(t)
			w.config.Repository = w.http.URL + "/repo/"
			test.forge(forger{w, before})
			err := w.refuses(w.machine(), test.want, func(d *Daemon) error {
				_, err := d.Attempt(context.Background(), true)
				return err
			})
			other, known := errs[err]
			if known != (test.like != "") || known && other != test.like {
				t.Errorf("the error of %q is said to be that of %q: %s", other, test.like, err)
			}
			if !known {
				errs[err] = test.name
			}
		})
	}
}

// seenOneOfTwo returns a world whose machine has seen 1.1.0, while 1.2.0 is published now, and a
// copy of the repository from before that.
func seenOneOfTwo(t *testing.T) (all *world, before string) {
	t.Helper()
	all = newWorld(t)
	all.patches = 0
	all.publish("1.1.0", "")
	all.config.Server, all.config.Repository = "", all.http.URL+"/repo/"
	_, _, err := all.machine().server.(Channel).repository(context.Background(), all.config.Repository)
	all.must(err)
	before = filepath.Join(t.TempDir(), "before")
	all.must(os.CopyFS(before, os.DirFS(all.repo)))
	all.publish("1.2.0", "")
	return all, before
}

// refuses checks that an installation ends with an error, without much memory, and that the
// machine is as it was. It returns the error without what differs in each world.
func (w *world) refuses(d *Daemon, want error, install func(*Daemon) error) string {
	w.t.Helper()
	running := w.runningSlot()
	var start, end runtime.MemStats
	runtime.ReadMemStats(&start)
	began := time.Now()
	err := install(d)
	runtime.ReadMemStats(&end)
	if err == nil || !errors.Is(err, want) {
		w.t.Fatalf("error %v, want %v", err, want)
	}
	w.t.Log(err)
	if took := time.Since(began); took > time.Minute {
		w.t.Errorf("it took %v", took)
	}
	if allocated := end.TotalAlloc - start.TotalAlloc; allocated > maxAllocated {
		w.t.Errorf("it allocated %d bytes", allocated)
	}
	w.wantOperation(d, status.Idle, "")
	if got := w.runningSlot(); got != running {
		w.t.Error("the running slot has changed")
	}
	if reports, err := w.Slots(); err != nil || !reports[0].Next || !reports[0].OK || reports[1].Tries != 0 || w.running != slot.A {
		w.t.Errorf("slot A alone should be bootable: %+v, %v", reports, err)
	}
	return strings.NewReplacer(w.dir, "", w.http.URL, "").Replace(err.Error())
}

// runningSlot returns a hash of the running slot.
func (w *world) runningSlot() string {
	hash := sha256.New()
	for _, label := range []string{"BOOT-A", "USR-A"} {
		file, err := os.Open(filepath.Join(w.dir, label))
		w.must(err)
		_, err = io.Copy(hash, file)
		w.must(errors.Join(err, file.Close()))
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}
