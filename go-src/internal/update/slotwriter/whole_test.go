package slotwriter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing"

	"coreos/internal/update/payload"
	"coreos/internal/update/release"
)

// withWhole returns the release with the whole stream of its /usr.
func (v *version) withWhole() *version {
	with := *v
	with.manifest, with.files = new(release.Manifest), maps.Clone(v.files)
	*with.manifest = *v.manifest
	var stream bytes.Buffer
	if err := payload.WriteWhole(context.Background(), &stream, bytes.NewReader(v.usr), v.manifest.Usr.Blocks, payload.Fast, nil); err != nil {
		panic(err)
	}
	with.files[release.WholeFile(release.Usr)] = stream.Bytes()
	with.manifest.Usr.Whole = &release.File{Size: int64(stream.Len())}
	return &with
}

// wholeFiles is a server without ranges.
type wholeFiles struct{ Files }

func (wholeFiles) ReadRange(context.Context, string, int64, []byte) error {
	return errors.ErrUnsupported
}

func (wholeFiles) ReadRanges(context.Context, string, []int64, [][]byte) error {
	return errors.ErrUnsupported
}

// The whole stream is taken where it is shorter, and nothing else is fetched then.
func TestWhole(t *testing.T) {
	for _, server := range []server{multiple, single, whole} {
		s := large()
		s.server = server
		last := s.update(t)
		usr, boot := s.new.manifest.Usr, s.new.manifest.Boot
		most := usr.Whole.Size + usr.Tree.Size + payload.IndexSize(usr.Blocks) + boot.Tree.Size + boot.Payload.Size
		if usr.Whole.Size > usr.Payload.Size/2 || last.Fetched > most || last.Fetched != last.Total {
			t.Errorf("%+v, want at most %d bytes; the payload has %d", last, most, usr.Payload.Size)
		}
	}
}

// A whole stream that is of no use costs bytes, not the update, where there is a payload;
// one that is lost is no reason to fetch everything in another way.
func TestBadWhole(t *testing.T) {
	lost := errors.New("connection lost")
	for name, test := range map[string]struct {
		spoil   func(offset int64, b []byte) error
		bundle  error // result with a bundle
		payload error // and of a repository
	}{
		"its start": {func(offset int64, b []byte) error { return flip(b, 1-offset) }, ErrWrongBytes, nil},
		"a block":   {func(offset int64, b []byte) error { return flip(b, 90000-offset) }, ErrWrongBytes, nil},
		"all":       {func(_ int64, b []byte) error { clear(b); return nil }, ErrWrongBytes, nil},
		"lost":      {func(int64, []byte) error { return lost }, lost, lost},
	} {
		for _, server := range []server{multiple, whole} {
			for _, bundle := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %v, %v", name, server, bundle), func(t *testing.T) {
					s := large()
					want := test.payload
					if s.server = server; bundle {
						s.new, s.server, want = s.new.inBundle(), multiple, test.bundle
					}
					m := s.machine(1)
					j := s.job(m)
					j.Files = badFiles{j.Files, func(name string, offset int64, b []byte) error {
						if name != release.WholeFile(release.Usr) {
							return nil
						}
						return test.spoil(offset, b)
					}}
					var last Progress
					j.Report = func(p Progress) { last = p }
					if err := j.Run(context.Background()); !errors.Is(err, want) {
						t.Fatalf("error %v, want %v", err, want)
					}
					m.restart()
					if want != nil {
						m.wantBoot(t, s.running, s.versions()...)
						return
					}
					if last.Fetched != last.Total {
						t.Errorf("%+v", last)
					}
					m.wantBoot(t, s.new, s.versions()...)
				})
			}
		}
	}
}

// An update by the whole stream that was interrupted keeps its blocks, and fetches the
// others in the way that is shorter then.
func TestResumeWhole(t *testing.T) {
	s := large()
	m := s.machine(1)
	lost := errors.New("connection lost")
	half := s.new.manifest.Usr.Whole.Size * 9 / 10
	j := s.job(m)
	j.Files = cutFiles{j.Files, release.WholeFile(release.Usr), half, lost}
	if err := j.Run(context.Background()); !errors.Is(err, lost) {
		t.Fatalf("error %v, want %v", err, lost)
	}
	var rest Progress
	j = s.job(m)
	j.Report = func(p Progress) { rest = p }
	if err := j.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if whole := s.new.manifest.Usr.Whole.Size; rest.Fetched > whole*3/4 {
		t.Errorf("%d bytes were fetched after the interruption, the whole stream has %d", rest.Fetched, whole)
	}
	m.restart()
	m.wantBoot(t, s.new, s.versions()...)
}

// cutFiles breaks off a file.
type cutFiles struct {
	Files
	name string
	at   int64
	err  error
}

func (f cutFiles) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	file, err := f.Files.Open(ctx, name)
	if err != nil || name != f.name {
		return file, err
	}
	return io.NopCloser(io.MultiReader(io.LimitReader(file, f.at), failing{f.err})), nil
}

func (f cutFiles) ReadRange(ctx context.Context, name string, offset int64, b []byte) error {
	if name == f.name {
		return errors.ErrUnsupported
	}
	return f.Files.ReadRange(ctx, name, offset, b)
}

func (f cutFiles) ReadRanges(ctx context.Context, name string, offsets []int64, b [][]byte) error {
	return eachRange(ctx, f, name, offsets, b)
}

// failing is a connection that is lost.
type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }
