package slot

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// bootImage makes a boot partition with a slot.cfg.
func bootImage(t *testing.T, version, hash string) []byte {
	t.Helper()
	text := "set slot_version=\"" + version + "\"\nset slot_cmdline=\"quiet usrhash=" + hash + "\"\n"
	var image bytes.Buffer
	archive := tar.NewWriter(&image)
	header := &tar.Header{Name: "slot.cfg", Mode: 0o644, Size: int64(len(text)), Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return image.Bytes()
}

func reports(t *testing.T) []Report {
	t.Helper()
	states := decode(env("B A", "3 1", "0 0 boot-kernel"))
	image := bootImage(t, "1.2.3", strings.Repeat("0123456789abcdef", 4))
	return Inspect(states, A, func(n Name) (io.ReadCloser, error) {
		if n == A {
			return io.NopCloser(bytes.NewReader(image)), nil
		}
		return io.NopCloser(bytes.NewReader(make([]byte, 4096))), nil
	})
}

func TestInspect(t *testing.T) {
	want := []Report{
		{Slot: A, Version: "1.2.3", UsrHash: strings.Repeat("0123456789abcdef", 4), Tries: 3, OK: true, Running: true, Next: true},
		{Slot: B, Why: "boot-kernel", Problem: "empty"},
	}
	if got := reports(t); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestInspectReportsProblems(t *testing.T) {
	broken := errors.New("disk vda has no partition BOOT-A")
	for _, r := range Inspect(decode(env("A B", "3 1", "0 0")), A, func(Name) (io.ReadCloser, error) { return nil, broken }) {
		if r.Problem != broken.Error() {
			t.Errorf("slot %s: problem %q, want %q", r.Slot, r.Problem, broken)
		}
	}
}

func TestWriteTable(t *testing.T) {
	var out strings.Builder
	if err := WriteTable(&out, reports(t)); err != nil {
		t.Fatal(err)
	}
	want := "SLOT  VERSION  TRIES  PROVEN  ROOT HASH     STATE\n" +
		"A     1.2.3    3      yes     0123456789ab  running, next\n" +
		"B     -        0      no      -             empty, failed: boot-kernel\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestWriteJSON(t *testing.T) {
	var out bytes.Buffer
	if err := WriteJSON(&out, reports(t)); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"slot": "B", "version": "", "usrhash": "", "tries": 0.0, "ok": false,
		"why": "boot-kernel", "running": false, "next": false, "problem": "empty",
	}
	if len(got) != 2 || !reflect.DeepEqual(got[1], want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
