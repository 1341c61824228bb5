// Package sbom writes the bill of materials of an image as an SPDX 2.3 document: the
// packages of its base, and the Go modules in our binaries.
package sbom

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
)

// Component is a component of the image.
type Component struct {
	Kind    string // package URL type: "golang" or "generic"
	Name    string
	Version string
	Source  string // source package and its version, if it has another name
}

// ReadPackages reads the packages.tsv of a base. Each line has the name and the version of
// a package and of its source, separated by tabs.
func ReadPackages(r io.Reader) ([]Component, error) {
	var components []Component
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 4 || fields[0] == "" || fields[1] == "" {
			return nil, fmt.Errorf("line %d: want name, version, source and source version, separated by tabs", number)
		}
		components = append(components, Component{
			Kind: "generic", Name: fields[0], Version: fields[1], Source: strings.TrimSpace(fields[2] + " " + fields[3]),
		})
	}
	return components, lines.Err()
}

// ReadGo reads the modules from which Go binaries were built. path is a binary, or a
// directory, in which other files are ignored.
func ReadGo(path string) ([]Component, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return readBinary(path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var components []Component
	for _, entry := range entries {
		modules, err := readBinary(filepath.Join(path, entry.Name()))
		if err != nil {
			continue // not a Go binary
		}
		components = append(components, modules...)
	}
	return components, nil
}

func readBinary(path string) ([]Component, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, err
	}
	components := []Component{{Kind: "golang", Name: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		components = append(components, Component{Kind: "golang", Name: module.Path, Version: module.Version})
	}
	return components, nil
}

// Write writes the document with the components of an image. name is the name of the image
// and when the creation time. The same input gives the same bytes.
func Write(w io.Writer, name string, when time.Time, components []Component) error {
	components = slices.Clone(components)
	slices.SortFunc(components, func(a, b Component) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version),
			cmp.Compare(a.Source, b.Source))
	})
	// Identifiers must be unique.
	components = slices.CompactFunc(components, func(a, b Component) bool {
		return a.Kind == b.Kind && a.Name == b.Name && a.Version == b.Version
	})

	image := &spdx.Package{
		PackageName:             name,
		PackageSPDXIdentifier:   "image",
		PackageDownloadLocation: "NOASSERTION",
	}
	document := &spdx.Document{
		SPDXVersion:    spdx.Version,
		DataLicense:    spdx.DataLicense,
		SPDXIdentifier: "DOCUMENT",
		DocumentName:   name,
		CreationInfo: &spdx.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "sbom"}},
			Created:  when.UTC().Format(time.RFC3339),
		},
		Packages:      []*spdx.Package{image},
		Relationships: []*spdx.Relationship{relation("DOCUMENT", common.TypeRelationshipDescribe, "image")},
	}
	digest := sha256.New() // of the whole content, which makes the namespace unique
	fmt.Fprintln(digest, name, document.CreationInfo.Created)
	for _, c := range components {
		p := c.spdx()
		fmt.Fprintln(digest, p.PackageSPDXIdentifier, p.PackageSourceInfo)
		document.Packages = append(document.Packages, p)
		document.Relationships = append(document.Relationships, relation("image", common.TypeRelationshipContains, p.PackageSPDXIdentifier))
	}
	document.DocumentNamespace = "urn:coreos:sbom:" + hex.EncodeToString(digest.Sum(nil))
	return spdxjson.Write(document, w, spdxjson.Indent("  "))
}

func relation(a common.ElementID, kind string, b common.ElementID) *spdx.Relationship {
	return &spdx.Relationship{
		RefA: common.MakeDocElementID("", string(a)), RefB: common.MakeDocElementID("", string(b)), Relationship: kind,
	}
}

func (c Component) spdx() *spdx.Package {
	p := &spdx.Package{
		PackageName:             c.Name,
		PackageVersion:          c.Version,
		PackageSPDXIdentifier:   common.ElementID(identifier(c.Kind + "-" + c.Name + "-" + c.Version)),
		PackageDownloadLocation: "NOASSERTION",
		PackageSourceInfo:       c.Source,
	}
	if c.Kind == "golang" {
		p.PackageExternalReferences = []*spdx.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL,
			Locator: "pkg:golang/" + c.Name + "@" + c.Version,
		}}
	}
	return p
}

// identifier replaces the characters that SPDX identifiers may not have. The hash keeps
// different names different.
func identifier(s string) string {
	sum := sha256.Sum256([]byte(s))
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		}
		return '-'
	}, s)
	return clean + "-" + hex.EncodeToString(sum[:4])
}
