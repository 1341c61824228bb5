package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// RunNames returns for each target of make that takes RUN= what the pattern can match: the
// strings in the sources of the black-box tests, whose names are among them in whole or in
// parts, and the names of test and fuzz functions.
func RunNames(goSrc string) (map[string][]string, error) {
	blackbox, err := stringsIn(filepath.Join(goSrc, "test/blackbox"))
	if err != nil {
		return nil, err
	}
	names := map[string][]string{"machines": blackbox, "smoke": blackbox, "soak": blackbox}
	for target, dirs := range map[string][]string{"fuzz": {"internal"}, "cluster": {"test/etcdtest", "test/cluster", "test/fleettest"}} {
		for _, dir := range dirs {
			found, err := functionsIn(filepath.Join(goSrc, dir))
			if err != nil {
				return nil, err
			}
			names[target] = append(names[target], found...)
		}
	}
	return names, nil
}

// eachTestFile parses the test files below a directory.
func eachTestFile(dir string, do func(*ast.File)) error {
	return filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err == nil {
			do(file)
		}
		return err
	})
}

// stringsIn returns the string literals of the test files in a directory.
func stringsIn(dir string) ([]string, error) {
	var found []string
	err := eachTestFile(dir, func(file *ast.File) {
		ast.Inspect(file, func(node ast.Node) bool {
			if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if value, err := strconv.Unquote(literal.Value); err == nil {
					found = append(found, value)
				}
			}
			return true
		})
	})
	return found, err
}

// functionsIn returns the names of the functions in test files.
func functionsIn(dir string) ([]string, error) {
	var found []string
	err := eachTestFile(dir, func(file *ast.File) {
		for _, declaration := range file.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok {
				found = append(found, function.Name.Name)
			}
		}
	})
	return found, err
}

// registeredIn returns the names of the black-box tests that the test files of a directory
// register, as far as they are written out there.
func registeredIn(dir string) ([]string, error) {
	var found []string
	err := eachTestFile(dir, func(file *ast.File) {
		ast.Inspect(file, func(node ast.Node) bool {
			composite, ok := node.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if of, ok := composite.Type.(*ast.SelectorExpr); !ok || of.Sel.Name != "Test" {
				return true
			}
			for _, element := range composite.Elts {
				field, ok := element.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				key, _ := field.Key.(*ast.Ident)
				name, ok := field.Value.(*ast.BasicLit)
				if !ok || key == nil || key.Name != "Name" {
					continue
				}
				if value, err := strconv.Unquote(name.Value); err == nil {
					found = append(found, value)
				}
			}
			return true
		})
	})
	return found, err
}
