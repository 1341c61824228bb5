package architecture

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// root is the directory of the module, seen from this package's.
const root = "../.."

// module is a Go module other than ours.
type module struct {
	Path string
	Main bool
}

// goPackage is a package as `go list` describes it.
type goPackage struct {
	ImportPath, Name, Dir              string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string
	Module                             *module
}

// goList returns what `go list` says with the arguments, for the system and the linking
// (static, without cgo) of the images.
func goList(cgo string, args ...string) ([]goPackage, error) {
	fields := "-json=ImportPath,Name,Dir,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports,Module"
	list := exec.Command("go", append([]string{"list", fields}, args...)...)
	list.Dir = root
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED="+cgo)
	out, err := list.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return nil, errors.Join(err, errors.New(string(exit.Stderr)))
	} else if err != nil {
		return nil, err
	}
	var all []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
		all = append(all, p)
	}
}

var ours = sync.OnceValues(func() ([]goPackage, error) { return goList("0", "./...") })

// packages returns the packages of this module.
func packages(t *testing.T) []goPackage {
	t.Helper()
	all, err := ours()
	if err != nil {
		t.Fatal(err)
	}
	return all
}
