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

// Build builds the commands into a directory.
func Build(ctx context.Context, goSrc, dir string) (*Programs, error) {
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", dir+"/", "./cmd/...")
	build.Dir = goSrc
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the commands: %w\n%s", err, out)
	}
	return &Programs{dir, map[string]help{}}, nil
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
