package docs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Step is a command of a block and what the page says that it prints.
type Step struct {
	Command  string
	Prints   []string
	Fails    bool // the page says so
	AnyOrder bool // of what it prints
}

var (
	prompt  = regexp.MustCompile(`^[#$] `)
	refused = regexp.MustCompile(`\s# (refused|fails)\b`)
)

// Steps returns the commands of a block. If its first line begins with a prompt ("# " or
// "$ "), lines with a prompt are commands, and what follows each is what it prints. Any other
// block is a script: each line must succeed, unless its comment begins with "refused" or
// "fails".
func (b Block) Steps() []Step {
	if len(b.Lines) == 0 || !prompt.MatchString(b.Lines[0]) {
		return b.script()
	}
	var steps []Step
	for _, line := range b.Lines {
		switch last := len(steps) - 1; {
		case last >= 0 && strings.HasSuffix(steps[last].Command, `\`):
			steps[last].Command += "\n" + line
		case prompt.MatchString(line):
			steps = append(steps, Step{Command: line[2:], AnyOrder: b.Has(Unordered)})
		default:
			steps[last].Prints = append(steps[last].Prints, line)
		}
	}
	return steps
}

// script returns the lines as one step, but for lines that have to fail, which are steps of
// their own.
func (b Block) script() []Step {
	var steps []Step
	for _, line := range b.Lines {
		if refused.MatchString(line) {
			steps = append(steps, Step{Command: line, Fails: true})
			continue
		}
		if n := len(steps); n == 0 || steps[n-1].Fails {
			steps = append(steps, Step{})
		}
		steps[len(steps)-1].Command += line + "\n"
	}
	return steps
}

// interrupted tells whether the page interrupts the command, and returns what it prints before.
func (s Step) interrupted() (prints []string, interrupted bool) {
	if n := len(s.Prints); n > 0 && s.Prints[n-1] == "^C" {
		return s.Prints[:n-1], true
	}
	return s.Prints, false
}

// separator begins the lines that separate what the steps of a script print.
const separator = "=====end-of-a-step====="

// Script returns a program for bash which runs the steps in one shell. Behind what each step
// prints comes a line with its status.
func Script(steps []Step) string {
	var b strings.Builder
	for _, step := range steps {
		command := strings.TrimRight(step.Command, "\n")
		if _, interrupted := step.interrupted(); interrupted {
			command = fmt.Sprintf("timeout --signal=INT %d %s", interruptAfter, command)
		}
		// The braces keep the shell, and with it variables and directories. A script ends at
		// the first command that fails.
		shell := "{ %s\n} 2>&1"
		if len(step.Prints) == 0 && !step.Fails {
			shell = "set -e; { %s\n} 2>&1; set +e"
			command = "set -x; " + command + "\n{ set +x; } 2>/dev/null"
		}
		fmt.Fprintf(&b, shell+"\nprintf '\\n%%s %%s\\n' %s $?\n", command, separator)
	}
	return b.String()
}

// interruptAfter is after how many seconds a command is interrupted that the page interrupts.
const interruptAfter = 6

// outputs splits what such a program has printed, and returns for each step whose end is there its
// output and status, and what comes after the last one.
func outputs(printed string) (outputs, statuses []string, rest string) {
	printed = "\n" + printed // whoever ran it may have cut spaces off
	for {
		out, after, found := strings.Cut(printed, "\n"+separator+" ")
		if !found {
			return outputs, statuses, strings.Trim(printed, "\n")
		}
		status, after, _ := strings.Cut(after, "\n")
		outputs, statuses, printed = append(outputs, strings.Trim(out, "\n")), append(statuses, status), "\n"+after
	}
}

// Wrong returns what is wrong with what the program of the steps has printed, "" if nothing is.
func Wrong(steps []Step, printed string) string {
	outputs, statuses, rest := outputs(printed)
	for i, step := range steps {
		switch {
		case i >= len(outputs):
			return fmt.Sprintf("fails: %s\n%s", step.Command, rest)
		case step.Fails && statuses[i] == "0":
			return "goes well, but the page says that it fails: " + step.Command
		case len(step.Prints) > 0:
			shown, _ := step.interrupted()
			if wrong := differs(shown, outputs[i], step.AnyOrder); wrong != "" {
				return step.Command + ": " + wrong
			}
		}
	}
	return ""
}

// varying are the parts of a line that differ from run to run: ids and hashes, days and months, numbers.
// A number behind a small letter or "@" belongs to a name: node1, web@1.
var varying = regexp.MustCompile(`…|\b[0-9a-f]{7,}\b|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b|[a-z@]?[0-9]+|\s+`)

// pattern returns the expression for a line that a page shows.
func pattern(line string) *regexp.Regexp {
	var b strings.Builder
	rest := strings.TrimSpace(line)
	for {
		at := varying.FindStringIndex(rest)
		if at == nil {
			break
		}
		b.WriteString(regexp.QuoteMeta(rest[:at[0]]))
		switch part := rest[at[0]:at[1]]; {
		case part == "…":
			b.WriteString(`.*`)
		case strings.TrimSpace(part) == "":
			b.WriteString(`\s+`)
		case part[0] >= 'A' && part[0] <= 'Z':
			b.WriteString(`[A-Z][a-z]{2}`)
		case len(part) >= 7 && part[0] != '@':
			b.WriteString(`[0-9a-f]+`)
		case part[0] >= '0' && part[0] <= '9':
			b.WriteString(`[0-9]+`)
		default:
			b.WriteString(regexp.QuoteMeta(part))
		}
		rest = rest[at[1]:]
	}
	return regexp.MustCompile(`^\s*` + b.String() + regexp.QuoteMeta(rest) + `\s*$`)
}

// differs compares what a command has printed with what a page shows, and returns the
// difference, "" if there is none. Numbers, ids and days of the page stand for any, "…" for
// any text, and alone in a line for any lines.
func differs(shown []string, printed string, anyOrder bool) string {
	var got []string
	if printed = strings.TrimRight(printed, "\n "); printed != "" {
		got = strings.Split(printed, "\n")
	}
	if says := func(line string) bool { return strings.HasPrefix(line, waiting) }; !slices.ContainsFunc(shown, says) {
		got = slices.DeleteFunc(got, says)
	}
	if fits(shown, got) || anyOrder && fitsSorted(shown, got) {
		return ""
	}
	return fmt.Sprintf("the page shows\n  %s\nand it prints\n  %s", strings.Join(shown, "\n  "), strings.Join(got, "\n  "))
}

// waiting begins what a command says on a slow machine, between what pages show.
const waiting = "Waiting for "

func fits(shown, got []string) bool {
	for i, line := range shown {
		if strings.TrimSpace(line) == "…" {
			for skip := range len(got) - i + 1 {
				if fits(shown[i+1:], got[i+skip:]) {
					return true
				}
			}
			return false
		}
		if i >= len(got) || !pattern(line).MatchString(got[i]) {
			return false
		}
	}
	return len(shown) == len(got)
}

// fitsSorted compares lines in any order: each that is shown with the first that is left and fits.
func fitsSorted(shown, got []string) bool {
	left := slices.Clone(got)
	for _, line := range shown {
		i := slices.IndexFunc(left, pattern(line).MatchString)
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return len(left) == 0
}
