package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Make has the targets and variables of the Makefile.
type Make struct {
	targets   []string        // those for people
	described map[string]bool // in `make help`
	words     map[string]bool // all words in capitals in `make help`: variables
}

var (
	ruleLine  = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_-]*):`)
	helpLine  = regexp.MustCompile(`^  ([a-z][a-z0-9_ -]*?)(  |$)`)
	capitals  = regexp.MustCompile(`\b[A-Z][A-Z0-9_]*\b`)
	internal  = regexp.MustCompile(`^(buildroot|debian)-|^FORCE$`)
	perTarget = regexp.MustCompile(`-(dirclean|rebuild|reconfigure)$`)
	variable  = regexp.MustCompile(`(?m)^(?:export )?([A-Z][A-Z0-9_]*) \?=`)
)

// ReadMake asks make for its targets and its help.
func ReadMake(ctx context.Context, top, output string) (*Make, error) {
	// The output is the database of rules. make ends with an error, since it does not make
	// the target.
	database, err := exec.CommandContext(ctx, "make", "-C", top, "O="+output, "-pRrq", "--no-print-directory", "help").Output()
	if err != nil && len(database) == 0 {
		return nil, fmt.Errorf("make -p: %w", err)
	}
	text, err := exec.CommandContext(ctx, "make", "-C", top, "O="+output, "--no-print-directory", "help").Output()
	if err != nil {
		return nil, fmt.Errorf("make help: %w", err)
	}
	return &Make{targetsIn(string(database)), describedIn(string(text)), set(capitals.FindAllString(string(text), -1))}, nil
}

// targetsIn returns the targets of make's database that people call.
func targetsIn(database string) []string {
	var targets []string
	file := false // what follows is a file that is not a target
	for line := range strings.Lines(database) {
		if m := ruleLine.FindStringSubmatch(line); m != nil && !file && !internal.MatchString(m[1]) && !strings.Contains(line, ":=") {
			targets = append(targets, m[1])
		}
		file = strings.HasPrefix(line, "# Not a target")
	}
	slices.Sort(targets)
	return slices.Compact(targets)
}

func describedIn(text string) map[string]bool {
	described := map[string]bool{}
	for line := range strings.Lines(text) {
		if m := helpLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			for name := range strings.FieldsSeq(m[1]) {
				described[name] = true
			}
		}
	}
	return described
}

func set(words []string) map[string]bool {
	all := map[string]bool{}
	for _, word := range words {
		all[word] = true
	}
	return all
}

// Undescribed returns the targets and the variables that `make help` does not have.
func (m *Make) Undescribed(makefiles []string) []string {
	var missing []string
	for _, name := range m.targets {
		if !m.described[name] {
			missing = append(missing, "target "+name+": write its text in a line that begins with \"## \" above it")
		}
	}
	for _, text := range makefiles {
		for _, match := range variable.FindAllStringSubmatch(text, -1) {
			if name := match[1]; !m.words[name] && !notForHelp[name] {
				missing = append(missing, "variable "+name+": write its text in a line that begins with \"## \" above it")
			}
		}
	}
	return missing
}

// notForHelp are variables that one makefile passes to another.
var notForHelp = map[string]bool{"DEFCONFIG": true}

// Makefiles reads the makefiles.
func Makefiles(top string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(top, "base", "*.mk"))
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, name := range append(names, filepath.Join(top, "Makefile")) {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(text))
	}
	return texts, nil
}

// Wrong returns what is wrong with a call of make, "" if the call is right. tests has the
// names that RUN= can match, for each target.
func (m *Make) Wrong(call Call, tests map[string][]string) string {
	for i, arg := range call.Args {
		arg = strings.Trim(arg, "[],")
		name, value, isVariable := strings.Cut(arg, "=")
		switch {
		case unknowable(arg) || strings.HasPrefix(arg, "-") || i > 0 && call.Args[i-1] == "-C":
		case isVariable && !m.words[name]:
			return "make help has no variable " + name
		case name == "RUN":
			if wrong := unmatched(value, call.Args, tests); wrong != "" {
				return wrong
			}
		case isVariable || perTarget.MatchString(arg) || capitals.MatchString(arg):
		case !slices.Contains(m.targets, arg):
			return "make has no target " + arg
		}
	}
	return ""
}

// unmatched returns what is wrong with RUN=pattern for the targets among the arguments.
func unmatched(pattern string, args []string, tests map[string][]string) string {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return err.Error()
	}
	if placeholder.MatchString(pattern) || pattern == "name" {
		return ""
	}
	for _, target := range args {
		if names, ok := tests[target]; ok && !slices.ContainsFunc(names, re.MatchString) {
			return fmt.Sprintf("make %s has no test that matches RUN=%s", target, pattern)
		}
	}
	return ""
}
