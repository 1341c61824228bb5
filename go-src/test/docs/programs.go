package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"coreos/internal/cli/multicall"
)

// Programs are the commands of go-src, as built. Their flags are read from their help.
type Programs struct {
	dir   string
	helps map[string]help
}

// help has the commands and flags that a help text names.
type help struct {
	text     string
	commands map[string]bool
	flags    map[string]bool // without dashes
}

// notForPeople are commands that pages do not call, and that must not run here.
var notForPeople = map[string]bool{"bootengine": true}

// Build builds the commands into a directory, those of multicall as links to it, like on the
// machine: linking each of them alone takes several times as long.
func Build(ctx context.Context, goSrc, dir string) (*Programs, error) {
	if err := build(ctx, goSrc, dir, multicall.Name); err != nil {
		return nil, err
	}
	if err := linkNames(ctx, dir); err != nil {
		return nil, err
	}
	mains, err := filepath.Glob(filepath.Join(goSrc, "cmd/*/main.go"))
	if err != nil {
		return nil, err
	}
	p := &Programs{dir, map[string]help{}}
	var apart []string
	for _, main := range mains {
		if name := filepath.Base(filepath.Dir(main)); !p.Has(name) {
			apart = append(apart, name)
		}
	}
	return p, build(ctx, goSrc, dir, apart...)
}

// build builds commands as the images have them: without cgo and symbols.
func build(ctx context.Context, goSrc, dir string, names ...string) error {
	command := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", dir+"/")
	for _, name := range names {
		command.Args = append(command.Args, "./cmd/"+name)
	}
	command.Dir = goSrc
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build the commands: %w\n%s", err, out)
	}
	return nil
}

// linkNames makes a link to multicall for each command that its help lists.
func linkNames(ctx context.Context, dir string) error {
	out, err := exec.CommandContext(ctx, filepath.Join(dir, multicall.Name), "--help").Output()
	if err != nil {
		return fmt.Errorf("%s --help: %w", multicall.Name, err)
	}
	_, names, _ := strings.Cut(string(out), ":\n\n")
	if names == "" {
		return fmt.Errorf("%s --help lists no commands:\n%s", multicall.Name, out)
	}
	for _, name := range strings.Fields(names) {
		if err := os.Symlink(multicall.Name, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// Has tells whether a command is one of ours.
func (p *Programs) Has(name string) bool {
	if notForPeople[name] || name == "" || strings.Contains(name, "/") {
		return false
	}
	info, err := os.Stat(filepath.Join(p.dir, name))
	return err == nil && !info.IsDir()
}

// Wrong returns what is wrong with a call, "" if the call is right.
func (p *Programs) Wrong(ctx context.Context, call Call) string {
	path := []string{call.Name}
	is, err := p.help(ctx, path)
	if err != nil {
		return err.Error()
	}
	for _, arg := range call.Args {
		name := strings.Trim(arg, "[]")
		switch {
		case name == "--" || unknowable(name):
			return ""
		case flagLike.MatchString(name):
			flag, _, _ := strings.Cut(strings.TrimLeft(name, "-"), "=")
			if !is.flags[flag] {
				return fmt.Sprintf("%s has no flag %s", strings.Join(path, " "), name)
			}
		case is.commands[name]:
			path = append(path, name)
			if is, err = p.help(ctx, path); err != nil {
				return err.Error()
			}
		case len(is.commands) > 0 && len(path) == 1 && !strings.ContainsAny(name, "/.{"):
			// A command that help does not list still has a help of its own.
			if hidden, err := p.help(ctx, append(path, name)); err != nil || hidden.text == is.text {
				return fmt.Sprintf("%s has no command %s", call.Name, name)
			}
			path = append(path, name)
			is = p.helps[strings.Join(path, " ")]
		}
	}
	return ""
}

var flagLike = regexp.MustCompile(`^--?[A-Za-z]`)

// unknowable reports whether a word stands for something that a page leaves out.
func unknowable(word string) bool {
	return strings.Contains(word, "…") || strings.HasPrefix(word, "<")
}

var (
	commandsTitle = regexp.MustCompile(`(?i)^(available )?commands:$|^[A-Za-z ]*commands:$`)
	commandLine   = regexp.MustCompile(`^\s+([a-z][a-z0-9-]*)(\s|$)`)
	flagInHelp    = regexp.MustCompile(`(?:^|[\s,\[(|'"])--?([A-Za-z][A-Za-z0-9_-]*)`)
)

// help reads the help of a command: its name and those of subcommands.
func (p *Programs) help(ctx context.Context, path []string) (help, error) {
	key := strings.Join(path, " ")
	if known, ok := p.helps[key]; ok {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(p.dir, path[0]), append(path[1:], "--help")...).CombinedOutput()
	if err != nil {
		return help{}, fmt.Errorf("%s --help: %w: %s", key, err, out)
	}
	p.helps[key] = parseHelp(string(out))
	return p.helps[key], nil
}

// parseHelp reads the commands and flags in a help text, which has the form of cobra or
// etcd's.
func parseHelp(text string) help {
	h := help{text, map[string]bool{}, map[string]bool{"help": true, "h": true}}
	inCommands := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.TrimSpace(line) == "" {
			inCommands = false
		}
		if commandsTitle.MatchString(line) {
			inCommands = true
		} else if m := commandLine.FindStringSubmatch(line); inCommands && m != nil {
			h.commands[m[1]] = true
		}
		for _, m := range flagInHelp.FindAllStringSubmatch(line, -1) {
			h.flags[m[1]] = true
		}
	}
	return h
}
