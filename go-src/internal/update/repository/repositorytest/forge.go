// Package repositorytest forges metadata of repositories for tests: it changes what the
// product never writes, and signs it with any keys.
package repositorytest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/sigstore/sigstore/pkg/signature"
)

// Signer signs metadata. repository.Key converts to it.
type Signer struct {
	signature.Signer
	ID string
}

// Signed is the signed part of metadata.
type Signed map[string]any

// Edit changes the signed part of the metadata file at from, signs it with the keys only,
// and writes it to the path to. A key that is given twice signs twice.
func Edit(t *testing.T, from, to string, change func(Signed), keys ...Signer) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Signatures []map[string]string `json:"signatures"`
		Signed     Signed              `json:"signed"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	change(file.Signed)
	canonical, err := cjson.EncodeCanonical(file.Signed)
	if err != nil {
		t.Fatal(err)
	}
	file.Signatures = []map[string]string{}
	for _, key := range keys {
		sign, err := key.SignMessage(bytes.NewReader(canonical))
		if err != nil {
			t.Fatal(err)
		}
		file.Signatures = append(file.Signatures, map[string]string{"keyid": key.ID, "sig": hex.EncodeToString(sign)})
	}
	if text, err = json.Marshal(file); err == nil {
		err = os.WriteFile(to, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Keep changes nothing.
func Keep(Signed) {}

// Set returns a change that sets a field, which a path of names leads to.
func Set(value any, names ...string) func(Signed) {
	return func(s Signed) {
		at := map[string]any(s)
		for _, name := range names[:len(names)-1] {
			at = at[name].(map[string]any)
		}
		at[names[len(names)-1]] = value
	}
}
