package sbom

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
)

var when = time.Date(2023, 11, 14, 23, 13, 20, 0, time.FixedZone("", 3600))

func TestReadPackages(t *testing.T) {
	const text = "bash\t5.2.37-2+b10\tbash\t5.2.37-2\n" +
		"libc6\t2.41-12\tglibc\t2.41-12\n" +
		"busybox\t1.37.0\t\t\n"
	want := []Component{
		{"generic", "bash", "5.2.37-2+b10", "bash 5.2.37-2"},
		{"generic", "libc6", "2.41-12", "glibc 2.41-12"},
		{"generic", "busybox", "1.37.0", ""},
	}
	if got, err := ReadPackages(strings.NewReader(text)); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := ReadPackages(strings.NewReader("")); err != nil || len(got) != 0 {
		t.Errorf("no packages: got %v, %v", got, err)
	}
}

func TestReadPackagesRejects(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"too few fields", "a\t1\ta\t1\nb\t2\n", "line 2: want name"},
		{"too many fields", "a\t1\ta\t1\tx\n", "line 1: want name"},
		{"spaces instead of tabs", "a 1 a 1\n", "line 1"},
		{"no name", "\t1\ta\t1\n", "line 1"},
		{"no version", "a\t\ta\t1\n", "line 1"},
		{"empty line", "a\t1\ta\t1\n\n", "line 2"},
		{"endless line", strings.Repeat("a", 1<<20), "too long"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, err := ReadPackages(strings.NewReader(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v and error %v, want one with %q", got, err, test.want)
			}
		})
	}
}

// TestReadGo reads a binary that it builds: one of a test names no modules.
func TestReadGo(t *testing.T) {
	self := filepath.Join(t.TempDir(), "sbom")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", self, "coreos/cmd/sbom").CombinedOutput(); err != nil {
		t.Fatalf("cannot build a binary: %v: %s", err, out)
	}
	build, err := buildinfo.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	want := []Component{{"golang", "stdlib", strings.TrimPrefix(runtime.Version(), "go"), ""}}
	for _, m := range build.Deps {
		want = append(want, Component{"golang", m.Path, m.Version, ""})
	}
	got, err := ReadGo(self)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if !slices.ContainsFunc(got, func(c Component) bool {
		return c.Name == "github.com/spdx/tools-golang" && strings.HasPrefix(c.Version, "v")
	}) {
		t.Errorf("a module that it is made of is not among %v", got)
	}

	dir := filepath.Join(t.TempDir(), "usr [bin]")
	err = errors.Join(
		os.Mkdir(dir, 0o755),
		os.Mkdir(filepath.Join(dir, "directory"), 0o755),
		os.WriteFile(filepath.Join(dir, "script"), []byte("#!/bin/sh\n"), 0o755),
		os.Symlink("gone", filepath.Join(dir, "dangling")),
		os.Symlink(self, filepath.Join(dir, "binary")),
	)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ReadGo(dir); err != nil || !slices.Equal(got, want) {
		t.Errorf("in a directory: got %v, %v", got, err)
	}
	if got, err := ReadGo(filepath.Join(dir, "script")); err == nil {
		t.Errorf("a script counts as a Go binary: %v", got)
	}
	if _, err := ReadGo(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

// document writes a document and reads it back.
func document(t *testing.T, name string, when time.Time, components ...Component) (*spdx.Document, []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, name, when, components); err != nil {
		t.Fatal(err)
	}
	doc, err := spdxjson.Read(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return doc, b.Bytes()
}

func TestWrite(t *testing.T) {
	doc, _ := document(t, "CoreOS 1.2.3", when,
		Component{"golang", "example.org/a_b", "v1.0.0", ""},
		Component{"generic", "libc6", "2.41-12", "glibc 2.41-12"})
	if doc.DocumentName != "CoreOS 1.2.3" || doc.CreationInfo.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("got name %q, created %s", doc.DocumentName, doc.CreationInfo.Created)
	}
	if len(doc.Packages) != 3 || len(doc.Relationships) != 3 {
		t.Fatalf("got %d packages, %d relationships", len(doc.Packages), len(doc.Relationships))
	}
	libc, module := doc.Packages[1], doc.Packages[2]
	if libc.PackageName != "libc6" || libc.PackageVersion != "2.41-12" || libc.PackageSourceInfo != "glibc 2.41-12" {
		t.Errorf("got %+v", libc)
	}
	if refs := module.PackageExternalReferences; len(refs) != 1 || refs[0].Locator != "pkg:golang/example.org/a_b@v1.0.0" {
		t.Errorf("got references %+v", refs)
	}
	for i, r := range doc.Relationships {
		if want := doc.Packages[i].PackageSPDXIdentifier; r.RefB.ElementRefID != want {
			t.Errorf("relationship %d is with %s, want %s", i, r.RefB.ElementRefID, want)
		}
	}
}

func TestWriteKeepsKindsApart(t *testing.T) {
	doc, _ := document(t, "x", when, Component{"generic", "a", "1", ""}, Component{"golang", "a", "1", ""})
	if len(doc.Packages) != 3 {
		t.Errorf("got %d packages, want the image and two", len(doc.Packages))
	}
}

func TestWriteIsReproducible(t *testing.T) {
	a, b, c := Component{"generic", "a", "1", "a 1"}, Component{"generic", "a", "2", ""}, Component{"golang", "a", "1", ""}
	doc, want := document(t, "x", when, a, b, c)
	for name, components := range map[string][]Component{
		"other order":               {c, b, a},
		"some twice":                {a, b, c, b, a},
		"same with another source":  {a, b, {"generic", "a", "1", "z 1"}, c},
		"with another source first": {{"generic", "a", "1", "z 1"}, c, b, a},
	} {
		input := slices.Clone(components)
		if _, got := document(t, "x", when, components...); !bytes.Equal(got, want) {
			t.Errorf("%s: another document:\n%s", name, got)
		}
		if !slices.Equal(input, components) {
			t.Errorf("%s: the caller's components became %v", name, components)
		}
	}
	for name, other := range map[string]*spdx.Document{
		"other name":       first(document(t, "y", when, a, b, c)),
		"other time":       first(document(t, "x", when.Add(time.Second), a, b, c)),
		"other components": first(document(t, "x", when, a, b)),
	} {
		if other.DocumentNamespace == doc.DocumentNamespace {
			t.Errorf("%s: the same namespace %s", name, doc.DocumentNamespace)
		}
	}
}

func first(doc *spdx.Document, _ []byte) *spdx.Document { return doc }

func TestIdentifier(t *testing.T) {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"
	seen := map[string]string{}
	for _, s := range []string{"libc6-2.41", "a/b", "a_b", "a+b", "a-b", "ä", "€", ""} {
		id := identifier(s)
		if strings.Trim(id, allowed) != "" {
			t.Errorf("%q became %q", s, id)
		}
		if other, twice := seen[id]; twice {
			t.Errorf("%q and %q have the same identifier", s, other)
		}
		seen[id] = s
	}
}

func FuzzReadPackages(f *testing.F) {
	f.Add("bash\t5.2.37-2+b10\tbash\t5.2.37-2\n")
	f.Add("a\t1\t\t\nb\t\xff\t\t")
	f.Add("\t\t\t\n")
	f.Fuzz(func(t *testing.T, text string) {
		components, err := ReadPackages(strings.NewReader(text))
		if err != nil {
			return
		}
		if lines := strings.Count(text, "\n"); len(components) != lines && len(components) != lines+1 {
			t.Errorf("%d components of %q", len(components), text)
		}
		var b bytes.Buffer
		if err := Write(&b, "fuzz", when, components); err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		doc, err := spdxjson.Read(&b)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range doc.Packages {
			if ids[string(p.PackageSPDXIdentifier)] {
				t.Errorf("%q: identifier %s twice", text, p.PackageSPDXIdentifier)
			}
			ids[string(p.PackageSPDXIdentifier)] = true
		}
	})
}
