package dynstrip

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// source is a program that imports from the C library, calls it, and exports a variable of
// its own that the library looks up: environ's value is copied into the program.
const source = `package main

/*
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void say(const char *s) { puts(s); fflush(stdout); }
static int variables(void) { return environ != NULL; }
*/
import "C"

import (
	"fmt"
	"os"
	"unsafe"
)

func main() {
	s := C.CString("hello " + os.Args[1])
	defer C.free(unsafe.Pointer(s))
	C.say(s)
	fmt.Println(C.variables() != 0)
}
`

// plugins is a program that loads Go plugins.
const plugins = `package main

import (
	"fmt"
	"plugin"
)

func main() {
	if _, err := plugin.Open("/nonexistent"); err != nil {
		fmt.Println("no plugin")
	}
}
`

// build compiles a Go program as a distribution does.
func build(t testing.TB, mode, source string) []byte {
	t.Helper()
	return link(t, mode, "-linkmode=external -extldflags=-Wl,--hash-style=gnu", source)
}

// link compiles a Go program with flags of the linker.
func link(t testing.TB, mode, flags, source string) []byte {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("there is no C compiler")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("go", "build", "-buildvcs=false", "-buildmode="+mode, "-ldflags=-s -w "+flags, "-o", "program", "main.go")
	command.Dir, command.Env = dir, append(os.Environ(), "CGO_ENABLED=1", "GO111MODULE=off", "GOFLAGS=")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "program"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func run(t *testing.T, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, "world")
	command.Env = append(os.Environ(), "LD_BIND_NOW=1")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("the program: %v", err)
	}
	return string(out)
}

func exports(t *testing.T, text []byte) (exported, imported int) {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF {
			imported++
		} else {
			exported++
		}
	}
	return exported, imported
}

func TestStrip(t *testing.T) {
	for _, mode := range []string{"pie", "exe"} {
		t.Run(mode, func(t *testing.T) {
			text := build(t, mode, source)
			stripped := bytes.Clone(text)
			removed, err := Strip(stripped)
			if err != nil {
				t.Fatal(err)
			}
			before, imports := exports(t, text)
			after, left := exports(t, stripped)
			if removed == 0 || before-after != removed || left != imports || len(stripped) != len(text) {
				t.Errorf("%d removed; %d exports and %d imports became %d and %d", removed, before, imports, after, left)
			}
			if want, got := "hello world\ntrue\n", run(t, stripped); got != want {
				t.Errorf("it says %q, want %q", got, want)
			}
			if again, err := Strip(stripped); err != nil || again != 0 {
				t.Errorf("once more: %d removed, %v", again, err)
			}
			if bytes.Contains(stripped, []byte("runtime.mallocgc\x00main.")) {
				t.Error("names of removed symbols are left")
			}
		})
	}
}

func TestLeftAlone(t *testing.T) {
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"nothing": nil, "a script": []byte("#!/bin/sh\n"), "a program in C": shell, "one with plugins": build(t, "pie", plugins),
	} {
		if Applies(text) {
			t.Errorf("%s is taken for a program that can be stripped", name)
		}
		if _, err := Strip(text); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	text := build(t, "pie", source)
	file, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string, offset uint64) uint64 { return file.Section(name).Offset + offset }
	for name, change := range map[string]func([]byte){
		"a relocation by a symbol that is not there": func(b []byte) {
			binary.LittleEndian.PutUint32(b[at(".rela.dyn", 12):], 1<<30)
		},
		"a version behind the end": func(b []byte) { binary.LittleEndian.PutUint32(b[at(".gnu.version_r", 8):], 1<<20) },
		"a name behind the end":    func(b []byte) { binary.LittleEndian.PutUint32(b[at(".gnu.version_r", 4):], 1<<30) },
	} {
		changed := bytes.Clone(text)
		change(changed)
		if _, err := Strip(changed); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestOtherLinkers(t *testing.T) {
	for name, flags := range map[string]string{
		"Go's linker":           "-linkmode=internal",
		"System V's hash":       "-linkmode=external -extldflags=-Wl,--hash-style=sysv",
		"both tables of hashes": "-linkmode=external -extldflags=-Wl,--hash-style=both",
	} {
		text := link(t, "exe", flags, source)
		if file, err := elf.NewFile(bytes.NewReader(text)); err != nil || file.Section(".dynsym") == nil {
			t.Errorf("%s: the program is not one with dynamic symbols: %v", name, err)
		}
		if Applies(text) {
			t.Errorf("%s: the program would be changed", name)
		}
	}
}
