package blackbox

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"coreos/test/docs"
	"coreos/test/machine"
)

// containerImages are the images of containers that pages run, as if they came from a registry of the
// world: each is a program that waits for its end.
var containerImages = map[string][]string{
	"README.md":     {"hello-world", "nginx"},
	"docs/fleet.md": {"nginx"},
}

// machine returns the machine of that name, which is switched on when it is first used.
func (r *reader) machine(name string) *machine.Machine {
	m := r.machines[name]
	if m == nil {
		r.switchOn(name)
		m = r.machines[name]
		healthy(r.t, m)
		for _, one := range r.machines {
			r.pullImages(one)
		}
	}
	r.copyFiles(name, m)
	return m
}

// copyFiles copies what is new in the page's directory to the home of a machine's root: a reader
// has one copy of a file wherever it is used. Files with an absolute path are the machine's.
func (r *reader) copyFiles(name string, m *machine.Machine) {
	t := r.t
	sent := r.sent[name]
	if sent == nil {
		sent = map[string]string{}
		r.sent[name] = sent
	}
	t.Must(filepath.WalkDir(r.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative := strings.TrimPrefix(path, r.dir+"/")
		if entry.IsDir() && (strings.HasPrefix(relative, ".") || relative == "output") {
			return fs.SkipDir
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > largestFile {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && sent[relative] != string(text) {
			sent[relative] = string(text)
			to := strings.TrimPrefix(relative, absolute)
			t.Run(m, fmt.Sprintf("mkdir -p %s && base64 -d >%s <<<%s && chmod %o %[2]s", quoted(filepath.Dir(to)), quoted(to), base64.StdEncoding.EncodeToString(text), info.Mode().Perm()))
		}
		return err
	}))
}

// Files of more than largestFile are not for machines. Below absolute are those with an absolute
// path.
const (
	largestFile = 100 << 10
	absolute    = "absolute"
)

// switchOn starts a machine. Those of a cluster are all started when the first of them is used:
// their etcds wait for each other.
func (r *reader) switchOn(name string) {
	t := r.t
	if _, configured := r.configs[name]; !configured {
		if name != docs.Machine {
			t.Fatalf("%s has no config for %s", r.page.Path, name)
		}
		r.machines[name] = running(t)
		return
	}
	for one, text := range r.configs {
		if (one == docs.Machine) == (name == docs.Machine) {
			r.machines[one] = r.withConfig(one, text)
		}
	}
}

// withConfig starts a machine that is handed a config. A machine of a cluster gets its address
// by one more unit, where the page's operator has a network that knows the machine.
func (r *reader) withConfig(name, text string) *machine.Machine {
	t := r.t
	config := machine.Config{Name: name}
	path := filepath.Join(r.dir, "config-of-"+name)
	if name != docs.Machine {
		if r.network == nil {
			r.network = t.Network()
		}
		number := int(name[len(name)-1] - '0')
		config.Network, config.MAC = r.network, mac(number-1)
		text = ofNode(text, name) + fmt.Sprintf(`    - name: 10-lan.network
      content: |
        [Match]
        MACAddress=%s
        [Network]
        Address=%s/24
        [Link]
        RequiredForOnline=no
`, config.MAC, lanOf(text, name))
	}
	t.Must(os.WriteFile(path, []byte(text), 0o644))
	config.CloudConfig = path
	if !strings.HasPrefix(text, "#") {
		ignition := path + ".ign"
		if out := output(r.command(t.Context, r.dir, "output/host/bin/configctl translate --output "+ignition+" "+path)); out != "" {
			t.Fatalf("%s", out)
		}
		config.CloudConfig, config.Ignition = "", ignition
	}
	return boot(t, config)
}

// fleetMetadata are those of fleet's second and third machine in docs/fleet.md.
var fleetMetadata = map[string]string{"2": "region=eu,disk=hdd", "3": "region=us,disk=ssd"}

// ofNode makes the config of a machine of that of the first, as a reader does: another name and
// address. The list of all members stays.
func ofNode(text, name string) string {
	digit := name[len(name)-1:]
	if digit == "1" {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		switch {
		case strings.Contains(line, "initial-cluster:"):
		case strings.Contains(line, "metadata:"):
			before, _, _ := strings.Cut(line, "metadata:")
			line = before + "metadata: " + fleetMetadata[digit] + "\n"
		default:
			line = ofFirst.ReplaceAllString(line, "${1}"+digit)
		}
		b.WriteString(line)
	}
	return b.String()
}

// ofFirst is what names the first machine.
var ofFirst = regexp.MustCompile(`\b(node|etcd|10\.[0-9]+\.0\.)1\b`)

// lanOf returns the address of a machine in the network of its cluster.
func lanOf(text, name string) string {
	return lan.FindString(text) + name[len(name)-1:]
}

var lan = regexp.MustCompile(`10\.[0-9]+\.0\.`)

// pullImages has a machine hold the page's images of containers.
func (r *reader) pullImages(m *machine.Machine) {
	names := containerImages[r.page.Path]
	if len(names) == 0 {
		return
	}
	if r.image == "" {
		r.image, r.authority = serveImage(r.t, waiter)
	}
	pull(r.t, m, r.image, r.authority)
	for _, name := range names {
		r.t.Run(m, "docker tag "+r.image+" "+name)
	}
}

// booted is a machine that coreos_production_qemu.sh has started, as in an operator's terminal.
type booted struct {
	r      *reader
	login  string // how to log in by SSH, as the script says
	script *exec.Cmd
}

var loginLine = regexp.MustCompile(`log in:  (ssh .* root@127\.0\.0\.1) `)

// boots runs a block whose last command starts a machine, until the machine is up.
func (r *reader) boots(ctx context.Context, block docs.Block) {
	t := r.t
	if r.booted != nil {
		r.booted.end()
	}
	log, err := os.Create(filepath.Join(t.Dir, "booted.console"))
	t.Must(err)
	defer func() { _ = log.Close() }()
	command := r.command(t.Context, r.dir, "set -e\n"+strings.Join(block.Lines, "\n"))
	command.Stdout, command.Stderr = log, log
	_, err = command.StdinPipe() // stays open until the end: the console reads it
	t.Must(err)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // of the shell, and of QEMU
	t.Must(command.Start())
	r.booted = &booted{r: r, script: command}
	t.Cleanup(r.booted.end)
	var said []byte
	for up := false; !up; {
		select {
		case <-ctx.Done():
			t.Fatalf("%v: the machine does not come up: %s", block, said[max(0, len(said)-2000):])
		case <-time.After(repeatAfter):
		}
		said, err = os.ReadFile(log.Name())
		t.Must(err)
		if login := loginLine.FindSubmatch(said); login != nil && upLine.Match(said) {
			r.booted.login = string(login[1])
			up = strings.TrimSpace(r.booted.run(ctx, "echo $((2 * 21))")) == "42"
		}
	}
}

// upLine says that the machine has started. It may still have no address then.
var upLine = regexp.MustCompile(`Reached target .*(getty|multi-user)\.target`)

// run runs a program in the machine, by SSH.
func (b *booted) run(ctx context.Context, script string) string {
	ssh := b.r.command(ctx, b.r.dir, strings.Replace(b.login, "ssh ", "ssh -q -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null ", 1)+" bash -s")
	ssh.Stdin = io.NopCloser(strings.NewReader(script))
	return output(ssh)
}

// end ends the script and its machine. Once they have ended, their process group may be that of
// another program, which a second call leaves alone.
func (b *booted) end() {
	if b.script.ProcessState != nil {
		return
	}
	_ = syscall.Kill(-b.script.Process.Pid, syscall.SIGKILL)
	_ = b.script.Wait()
}
