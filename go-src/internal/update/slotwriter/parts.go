package slotwriter

import (
	"context"
	"errors"
	"io"

	"coreos/internal/update/release"
)

const (
	// ahead is how many requests are in progress at a time.
	ahead = 4
	// spanLimit is the size limit of a request in bytes, which limits the memory.
	spanLimit = 512 << 10
	// requestParts is the limit of parts of a request, so that its header stays short.
	requestParts = 64
)

// part is a part of a file.
type part struct{ offset, length int64 }

// answer is the result of the request for a part.
type answer struct {
	data []byte
	err  error
}

// answers are the results of requests, in the order of the requests.
type answers <-chan chan answer

// fetchParts downloads parts of a file, which are in ascending order, and calls take for
// each. Several requests are in progress at a time, and a request has several parts.
func (j *Job) fetchParts(ctx context.Context, name string, parts []part, take func(i int, data []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	requests := group(parts)
	answers := j.ask(ctx, name, requests)
	i := 0
	for _, r := range requests {
		data, err := j.next(ctx, answers)
		if err != nil {
			return err
		}
		for _, p := range r {
			if err := take(i, data[:p.length]); err != nil {
				return err
			}
			i, data = i+1, data[p.length:]
		}
	}
	return nil
}

// group divides parts into requests, each of at most spanLimit bytes and requestParts parts,
// or of one part.
func group(parts []part) [][]part {
	var requests [][]part
	size := int64(0)
	for _, p := range parts {
		n := len(requests) - 1
		if size += p.length; n < 0 || size > spanLimit || len(requests[n]) == requestParts {
			requests, n, size = append(requests, nil), n+1, p.length
		}
		requests[n] = append(requests[n], p)
	}
	return requests
}

// next waits for the result of the next request.
func (j *Job) next(ctx context.Context, answers answers) ([]byte, error) {
	place, ok := <-answers
	if !ok {
		return nil, ctx.Err()
	}
	got := <-place
	if got.err == nil {
		j.fetched(len(got.data))
	}
	return got.data, got.err
}

// ask sends the requests, concurrently up to the capacity of the channel that it returns.
// An answer has the bytes of all parts of its request. It ends with the context.
func (j *Job) ask(ctx context.Context, name string, requests [][]part) answers {
	answers := make(chan chan answer, ahead)
	go func() {
		defer close(answers)
		for _, parts := range requests {
			place := make(chan answer, 1)
			select {
			case answers <- place:
			case <-ctx.Done():
				return
			}
			go func() {
				data, err := j.read(ctx, name, parts)
				place <- answer{data, err}
			}()
		}
	}()
	return answers
}

// read downloads parts of a file by one request, or by one for each range if the server does
// not send several.
func (j *Job) read(ctx context.Context, name string, parts []part) ([]byte, error) {
	size := int64(0)
	for _, p := range parts {
		size += p.length
	}
	data := make([]byte, size)
	offsets, ranges := ranges(parts, data)
	if len(ranges) > 1 {
		err := j.readRanges(ctx, name, offsets, ranges)
		if !errors.Is(err, errors.ErrUnsupported) {
			return data, err
		}
	}
	for i, b := range ranges {
		if err := j.Files.ReadRange(ctx, name, offsets[i], b); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// readRanges downloads ranges by one request. It returns errors.ErrUnsupported, without a
// request after the first, if the server does not send several ranges.
func (j *Job) readRanges(ctx context.Context, name string, offsets []int64, b [][]byte) error {
	if j.singly.Load() {
		return errors.ErrUnsupported
	}
	err := j.Files.ReadRanges(ctx, name, offsets, b)
	if errors.Is(err, errors.ErrUnsupported) {
		j.singly.Store(true)
	}
	return err
}

// probe asks for two bytes of the smallest file, to learn whether the server sends several
// ranges in one response. A server that does not may send all of the file. A bundle that
// leaves out the hash trees is not a server: there is nothing to learn.
func (j *Job) probe(ctx context.Context) error {
	size := j.Manifest.Boot.Tree.Size
	err := j.readRanges(ctx, release.TreeFile(release.Boot), []int64{0, size - 1}, [][]byte{make([]byte, 1), make([]byte, 1)})
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, release.ErrLeftOut) {
		return nil
	}
	return err
}

// ranges divides data, which are the bytes of the parts, into ranges of the file. Parts
// without a gap between them are one range.
func ranges(parts []part, data []byte) (offsets []int64, ranges [][]byte) {
	end := int64(-1)
	for _, p := range parts {
		n := len(ranges) - 1
		if p.offset != end {
			offsets, ranges, n = append(offsets, p.offset), append(ranges, data[:0]), n+1
		}
		ranges[n] = ranges[n][:len(ranges[n])+int(p.length)]
		end, data = p.offset+p.length, data[p.length:]
	}
	return offsets, ranges
}

// openParts returns a reader of a file of size bytes that downloads its parts concurrently.
// A part that fails is requested again by itself.
func (j *Job) openParts(ctx context.Context, name string, size int64) io.ReadCloser {
	var parts [][]part
	for offset := int64(0); offset < size; offset += spanLimit {
		parts = append(parts, []part{{offset, min(spanLimit, size-offset)}})
	}
	ctx, cancel := context.WithCancel(ctx)
	return &partReader{job: j, ctx: ctx, cancel: cancel, answers: j.ask(ctx, name, parts), left: len(parts)}
}

type partReader struct {
	job     *Job
	ctx     context.Context
	cancel  context.CancelFunc
	answers answers
	left    int // parts that have not been read
	data    []byte
}

func (r *partReader) Read(b []byte) (int, error) {
	if len(r.data) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		data, err := r.job.next(r.ctx, r.answers)
		if err != nil {
			return 0, err
		}
		r.data, r.left = data, r.left-1
	}
	n := copy(b, r.data)
	r.data = r.data[n:]
	return n, nil
}

func (r *partReader) Close() error {
	r.cancel()
	return nil
}
