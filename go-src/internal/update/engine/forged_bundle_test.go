package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"coreos/internal/update/release"
	"coreos/internal/update/repository"
	"coreos/internal/update/repository/repositorytest"
	"coreos/internal/update/slotwriter"
)

// member is a member of a bundle.
type member struct {
	tar.Header
	data []byte
}

// bundled makes forgeries of a good bundle.
type bundled struct {
	forger
	path string
}

// bundle writes the bundle of 1.2.0 as the repository of the world has it.
func (b bundled) bundle() []byte {
	var text bytes.Buffer
	b.must(repository.Open(b.repo).WriteBundle(context.Background(), &text, board, "1.2.0", repository.BundleFormat))
	return text.Bytes()
}

func (b bundled) save(text []byte) { b.must(os.WriteFile(b.path, text, 0o644)) }

// change changes the members of the good bundle.
func (b bundled) change(change func([]member) []member) { b.edit(b.bundle(), change) }

// edit writes a bundle with changed members.
func (b bundled) edit(good []byte, change func([]member) []member) {
	var members []member
	archive := tar.NewReader(bytes.NewReader(good))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		b.must(err)
		data, err := io.ReadAll(archive)
		b.must(err)
		members = append(members, member{*header, data})
	}
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for _, m := range change(members) {
		b.must(w.WriteHeader(&m.Header))
		_, err := w.Write(m.data)
		b.must(err)
	}
	b.must(w.Close())
	b.save(text.Bytes())
}

// with adds a member.
func (b bundled) with(header tar.Header, data string) {
	header.Size = int64(len(data))
	b.change(func(members []member) []member { return append(members, member{header, []byte(data)}) })
}

// without leaves out the members whose name contains a word.
func (b bundled) without(word string) {
	b.change(func(members []member) (left []member) {
		for _, m := range members {
			if !strings.Contains(m.Name, word) {
				left = append(left, m)
			}
		}
		return left
	})
}

// put replaces the members whose name contains a word by one, or adds that.
func (b bundled) put(word, name string, data []byte) {
	b.change(func(members []member) []member {
		new := member{tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(data))}, data}
		for i := range members {
			if strings.Contains(members[i].Name, word) {
				members[i] = new
				return members
			}
		}
		return append(members, new)
	})
}

// retarget puts forged targets into the good bundle.
func (b bundled) retarget(change func(repositorytest.Signed)) {
	b.forgeTo("3.targets.json", "forged.json", change, "targets")
	text, err := os.ReadFile(filepath.Join(b.repo, "metadata/forged.json"))
	b.must(err)
	b.put("metadata/targets.json", "metadata/targets.json", text)
}

// replaces replaces a part of a member, from an offset on.
func (b bundled) replaces(word string, at int, text []byte) {
	b.change(func(members []member) []member {
		for _, m := range members {
			if strings.Contains(m.Name, word) {
				copy(m.data[at:], text)
			}
		}
		return members
	})
}

const manifestName = "amd64-usr/1.2.0/0.manifest.json"

var forgedBundles = []struct {
	name  string
	forge func(bundled)
	want  error
}{
	// What is no file.
	{"nothing there", func(bundled) {}, fs.ErrNotExist},
	{"a pipe", func(b bundled) { b.must(unix.Mkfifo(b.path, 0o600)) }, ErrNotRegular},
	{"a directory", func(b bundled) { b.must(os.Mkdir(b.path, 0o700)) }, ErrNotRegular},
	{"a device", func(b bundled) { b.must(os.Symlink("/dev/zero", b.path)) }, ErrNotRegular},
	{"a socket", func(b bundled) {
		address := filepath.Join(os.TempDir(), filepath.Base(filepath.Dir(b.dir))+filepath.Base(b.dir))
		l, err := net.Listen("unix", address)
		b.must(err)
		b.t.Cleanup(func() { _ = l.Close() })
		b.must(os.Symlink(address, b.path))
	}, unix.ENXIO},

	// What is no archive, or a bad one.
	{"an empty file", func(b bundled) { b.save(nil) }, repository.ErrBundle},
	{"something else", func(b bundled) { b.save(bytes.Repeat([]byte("<html>"), 1000)) }, repository.ErrBundle},
	{"cut off in a header", func(b bundled) { b.save(b.bundle()[:1536+200]) }, repository.ErrTruncated},
	{"cut off in a file", func(b bundled) { text := b.bundle(); b.save(text[:len(text)*2/3]) }, repository.ErrTruncated},
	{"a symbolic link", func(b bundled) { b.with(tar.Header{Name: "x", Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}, "") }, repository.ErrLink},
	{"a link in the manifest's place", func(b bundled) {
		b.with(tar.Header{Name: manifestName, Typeflag: tar.TypeLink, Linkname: "metadata/targets.json"}, "")
	}, repository.ErrLink},
	{"a device in it", func(b bundled) { b.with(tar.Header{Name: "y", Typeflag: tar.TypeChar}, "") }, repository.ErrNoFile},
	{"a pipe in it", func(b bundled) { b.with(tar.Header{Name: "z", Typeflag: tar.TypeFifo}, "") }, repository.ErrNoFile},
	{"a file of 2^62 bytes", func(b bundled) { b.save(headerOnly(b, tar.Header{Name: "huge", Size: 1 << 62, Typeflag: tar.TypeReg})) }, repository.ErrHuge},
	{"a file of 2^63-1 bytes", func(b bundled) {
		b.save(headerOnly(b, tar.Header{Name: "huger", Size: 1<<63 - 1, Typeflag: tar.TypeReg}))
	}, repository.ErrHuge},
	{"a path upwards", func(b bundled) { b.with(tar.Header{Name: "../../etc/passwd", Typeflag: tar.TypeReg}, "root") }, repository.ErrBadName},
	{"an absolute path", func(b bundled) { b.with(tar.Header{Name: "/etc/passwd", Typeflag: tar.TypeReg}, "root") }, repository.ErrBadName},
	{"a file twice", func(b bundled) { b.with(tar.Header{Name: "metadata/targets.json", Typeflag: tar.TypeReg}, "{}") }, repository.ErrTwice},
	{"two manifests", func(b bundled) { b.with(tar.Header{Name: manifestName, Typeflag: tar.TypeReg}, "{}") }, repository.ErrTwice},
	{"ten thousand files", func(b bundled) {
		b.change(func(members []member) []member {
			for i := range 10_000 {
				members = append(members, member{tar.Header{Name: strings.Repeat("x", 1+i%90) + string(rune('0'+i/90%10)) + string(rune('a'+i/900)), Typeflag: tar.TypeReg}, nil})
			}
			return members
		})
	}, repository.ErrBundle},
	{"a format of tomorrow", func(b bundled) {
		b.change(func(members []member) []member {
			members[0].PAXRecords["COREOS.bundle"] = "9"
			return members
		})
	}, repository.ErrBundle},

	// What is signed by the wrong keys, expired, older, or does not belong together.
	{"without metadata", func(b bundled) { b.without("metadata/") }, fs.ErrNotExist},
	{"without a manifest", func(b bundled) { b.without("manifest.json") }, repository.ErrBundle},
	{"targets by a stranger", func(b bundled) {
		b.forge("3.targets.json", repositorytest.Keep, "stranger")
		b.save(b.bundle())
	}, repository.ErrWrongKey},
	{"root by a stranger", func(b bundled) {
		b.root(repositorytest.Keep, "stranger")
		b.save(b.bundle())
	}, repository.ErrWrongKey},
	{"root of before under the next name", func(b bundled) {
		text, err := os.ReadFile(filepath.Join(b.repo, "metadata/1.root.json"))
		b.must(err)
		b.put("metadata/2.root.json", "metadata/2.root.json", text)
	}, repository.ErrMixed},
	{"targets that have expired", func(b bundled) {
		b.retarget(repositorytest.Set(past, "expires"))
	}, repository.ErrExpired},
	{"targets of before", func(b bundled) {
		b.retarget(repositorytest.Set(1, "version"))
	}, repository.ErrOlder},
	{"targets far ahead", func(b bundled) {
		b.retarget(repositorytest.Set(int64(1<<62), "version"))
	}, repository.ErrAhead},
	{"targets -1", func(b bundled) {
		b.retarget(repositorytest.Set(-1, "version"))
	}, repository.ErrVersion},
	{"a null target", func(b bundled) {
		b.put("metadata/targets.json", "metadata/targets.json", []byte(`{"signed": {"_type": "targets", "targets": {"x": null}}}`))
	}, repository.ErrMalformed},
	{"a delegation", func(b bundled) {
		b.retarget(repositorytest.Set(map[string]any{"keys": map[string]any{}, "succinct_roles": map[string]any{
			"keyids": []any{b.key("stranger").ID}, "threshold": 1, "bit_length": 1, "name_prefix": "x",
		}}, "delegations"))
	}, repository.ErrDelegation},
	{"a manifest that has changed", func(b bundled) { b.replaces("manifest.json", 5, []byte("?")) }, repository.ErrMixed},
	{"a release of another board", func(b bundled) {
		b.change(func(members []member) []member {
			for i := range members {
				members[i].Name = strings.Replace(members[i].Name, "amd64-usr/", "arm64-usr/", 1)
			}
			return members
		})
	}, fs.ErrNotExist},
	{"the manifest of another release", func(b bundled) {
		text, err := os.ReadFile(must(filepath.Glob(filepath.Join(b.repo, board, "1.1.0", "*.manifest.json")))[0])
		b.must(err)
		good, name := b.bundle(), ""
		b.forger.manifest(string(text))
		b.forge("3.targets.json", func(s repositorytest.Signed) {
			hashes := s["targets"].(map[string]any)[repository.ManifestTarget(board, "1.2.0")].(map[string]any)["hashes"]
			name = filepath.Join(board, "1.2.0", hashes.(map[string]any)["sha256"].(string)+".manifest.json")
		}, "targets")
		targets, err := os.ReadFile(filepath.Join(b.repo, "metadata/3.targets.json"))
		b.must(err)
		b.edit(good, func(members []member) []member {
			for i := range members {
				if strings.HasSuffix(members[i].Name, ".manifest.json") {
					members[i] = member{tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(text))}, text}
				} else if members[i].Name == "metadata/targets.json" {
					members[i].data, members[i].Size = targets, int64(len(targets))
				}
			}
			return members
		})
	}, release.ErrManifest},

	// What the manifest names, but its bytes are others.
	{"without the boot image", func(b bundled) { b.without("boot.zst") }, fs.ErrNotExist},
	{"without /usr", func(b bundled) { b.without("usr.whole.zst") }, fs.ErrNotExist},
	{"a bomb in the boot image", func(b bundled) { b.replaces("boot.zst", 0, bombFrame()) }, slotwriter.ErrWrongBytes},
	{"a bomb in the stream of /usr", func(b bundled) { b.replaces("usr.whole.zst", wholeHeader(b.forger), bombFrame()) }, slotwriter.ErrWrongBytes},
}

// headerOnly returns a bundle that begins with a header of a file, without its data.
func headerOnly(b bundled, header tar.Header) []byte {
	var text bytes.Buffer
	b.must(tar.NewWriter(&text).WriteHeader(&header))
	return append(text.Bytes(), make([]byte, 4096)...)
}

// TestForgedBundles gives a machine that has seen version 1.1.0 of the repository bundles of
// 1.2.0.
func TestForgedBundles(t *testing.T) {
	all, before := seenOneOfTwo(t)
	errs := map[string]string{}
	for _, test := range forgedBundles {
		t.Run(test.name, func(t *testing.T) {
			w := all.fork(t)
			b := bundled{forger{w, before}, filepath.Join(t.TempDir(), "update.bundle")}
			test.forge(b)
			err := w.refuses(w.machine(), test.want, func(d *Daemon) error { return d.ApplyBundle(context.Background(), b.path) })
			err = strings.ReplaceAll(err, b.path, "")
			if other, known := errs[err]; known {
				t.Errorf("the same error as of %q: %s", other, err)
			}
			errs[err] = test.name
		})
	}
	t.Run("the good one", func(t *testing.T) {
		w := all.fork(t)
		b := bundled{forger{w, before}, filepath.Join(t.TempDir(), "update.bundle")}
		b.change(func(members []member) []member { return members })
		w.must(w.machine().ApplyBundle(context.Background(), b.path))
	})
}
