package blackbox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"coreos/test/docs"
	"coreos/test/machine"
	"coreos/test/suite"
)

// reader does what a page says: it writes its files and runs its commands, in their order.
type reader struct {
	t        *suite.T
	page     docs.Page
	dir      string            // on the build host, with output/ in it as at the top of the tree
	configs  map[string]string // of machines, by name
	machines map[string]*machine.Machine
	sent     map[string]map[string]string // the files that each machine has
	network  *machine.Network
	booted   *booted // nil until a block has started it

	environment []string // of commands on the build host

	image, authority string // of the registry with the page's images of containers
}

func newReader(t *suite.T, page docs.Page) *reader {
	dir := filepath.Join(t.Dir, "work")
	return &reader{
		t: t, page: page, dir: dir, environment: environmentOf(t, dir),
		configs: map[string]string{}, machines: map[string]*machine.Machine{}, sent: map[string]map[string]string{},
	}
}

// How long a block may take, and how long one may be repeated.
const (
	patience    = 3 * time.Minute
	repeatUntil = time.Minute
)

func (r *reader) read() {
	r.makeDir()
	r.readConfigs()
	if prepare := prepare[r.page.Path]; prepare != nil {
		prepare(r)
	}
	for _, block := range r.page.Blocks {
		switch block.Kind {
		case docs.File:
			r.write(block, block.Value)
		case docs.Config:
			r.write(block, append(block.Options, "config.yml")[0])
		case docs.Run:
			if r.isHere(block) {
				r.run(block)
			}
		}
		if r.t.Failed() {
			return // what follows builds on it
		}
	}
}

// readConfigs reads the configs of the page's machines.
func (r *reader) readConfigs() {
	for _, block := range r.page.Blocks {
		if block.Kind == docs.Config {
			for name := range strings.FieldsSeq(block.Value) {
				r.configs[name] = whole(block)
			}
		}
	}
}

// whole is the text of a block. A page leaves out what is long: keys and hashes.
func whole(block docs.Block) string {
	text := strings.Join(block.Lines, "\n") + "\n"
	return strings.NewReplacer("AAAA…", strings.Fields(exampleKey)[1], "sha512-…", "sha512-"+strings.Repeat("0", 128)).Replace(text)
}

// isHere tells whether a block runs in this suite.
func (r *reader) isHere(block docs.Block) bool {
	if block.Value == docs.Root && os.Geteuid() != 0 {
		r.t.Logf("%v: is left out: it takes root", block)
		return false
	}
	return !r.t.Native() || block.Value != docs.QEMU && block.Value != docs.Booted && !block.Has(docs.Boots)
}

// makeDir makes the directory on the build host. The output is that of the image's build, but
// for the disk that coreos_production_qemu.sh makes beside itself.
func (r *reader) makeDir() {
	t := r.t
	images := filepath.Join(r.dir, "output", "images")
	t.Must(os.MkdirAll(images, 0o755))
	t.Must(os.Symlink(filepath.Join(t.Env.Output, "host"), filepath.Join(r.dir, "output", "host")))
	entries, err := os.ReadDir(filepath.Dir(t.Env.Image))
	t.Must(err)
	for _, entry := range entries {
		from, to := t.Env.ImageFile(entry.Name()), filepath.Join(images, entry.Name())
		if !strings.HasSuffix(from, ".sh") {
			t.Must(os.Symlink(from, to))
			continue
		}
		text, err := os.ReadFile(from)
		t.Must(err)
		t.Must(os.WriteFile(to, text, 0o755))
	}
}

// write writes a file of the page. configctl has to be content with a config.
func (r *reader) write(block docs.Block, name string) {
	t := r.t
	if filepath.IsAbs(name) {
		name = absolute + name
	}
	path, text := filepath.Join(r.dir, name), whole(block)
	t.Must(os.MkdirAll(filepath.Dir(path), 0o755))
	t.Must(os.WriteFile(path, []byte(text), 0o644))
	isConfig := strings.HasSuffix(path, ".bu") || strings.HasSuffix(path, ".ign") || strings.HasPrefix(text, "#cloud-config")
	if !isConfig || strings.HasPrefix(filepath.Base(path), "bad") {
		return
	}
	out, err := r.command(t.Context, r.dir, "output/host/bin/configctl validate --files-dir . "+name).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v: configctl validate: %v\n%s", block, err, out)
	}
}

// run runs the commands of a block and compares what they print.
func (r *reader) run(block docs.Block) {
	t := r.t
	start := time.Now()
	defer func() {
		if took := time.Since(start); took > time.Second {
			t.Logf("%v: %.1f s", block, took.Seconds())
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context, t.Scaled(patience))
	defer cancel()
	if block.Has(docs.Boots) {
		r.boots(ctx, block)
		return
	}
	shell := r.shell(block.Value)
	end := time.Now().Add(t.Scaled(repeatUntil))
	steps := block.Steps()
	for {
		printed := shell(ctx, docs.Script(steps))
		wrong := docs.Wrong(steps, printed)
		switch {
		case block.Has(docs.Restarts): // which may have ended the connection first
			m := r.machines[docs.Machine]
			m.Restarts()
			healthy(t, m)
			return
		case wrong == "":
			return
		case !block.Has(docs.Repeated) || ctx.Err() != nil || time.Now().After(end):
			t.Errorf("%v: %s", block, wrong)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(repeatAfter):
		}
	}
}

// repeatAfter is the pause before a block runs again that waits for its machine.
const repeatAfter = 300 * time.Millisecond

// shell returns the function that runs a program of bash at a place, and returns what it prints.
func (r *reader) shell(place string) func(context.Context, string) string {
	switch place {
	case docs.Host, docs.Root:
		return func(ctx context.Context, script string) string { return output(r.command(ctx, r.dir, script)) }
	case docs.Tree:
		return func(ctx context.Context, script string) string { return output(r.command(ctx, r.t.Env.Top, script)) }
	case docs.Booted:
		return r.booted.run
	case docs.QEMU:
		place = docs.Machine
	}
	m := r.machine(place)
	return func(ctx context.Context, script string) string {
		command := "bash -l -c " + quoted(script)
		out, err := m.Run(ctx, command)
		if err != nil {
			out += "\n" + strings.TrimPrefix(err.Error(), command+": ")
		}
		return out
	}
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// output is what a command prints, and how it failed to run.
func output(command *exec.Cmd) string {
	out, err := command.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s\n%v", out, err)
	}
	return string(out)
}

// command is a program of bash on the build host.
func (r *reader) command(ctx context.Context, dir, script string) *exec.Cmd {
	command := exec.CommandContext(ctx, "bash", "-c", script)
	command.Dir, command.Env, command.WaitDelay = dir, r.environment, time.Second
	return command
}

// environmentOf returns the environment of commands on the build host. Their home is the page's
// directory; the directories of the Go command, which are below the home by default, stay.
func environmentOf(t *suite.T, home string) []string {
	goDirs := []string{"GOCACHE", "GOMODCACHE", "GOPATH"}
	out, err := exec.CommandContext(t.Context, "go", append([]string{"env"}, goDirs...)...).Output()
	t.Must(err)
	environment := append(os.Environ(), "HOME="+home, "PATH="+home+"/.bin:"+filepath.Join(t.Env.Output, "host/bin")+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	for i, value := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		environment = append(environment, goDirs[i]+"="+value)
	}
	// The tree may belong to another user, as in a container.
	return append(environment, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
}
