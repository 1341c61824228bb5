package slotwriter

import (
	"context"
	"io"
)

// ahead is how many requests are in progress at a time.
const ahead = 4

// part is a part of a file.
type part struct{ offset, length int64 }

// answer is the result of the request for a part.
type answer struct {
	data []byte
	err  error
}

// answers are the results of requests, in the order of the requests.
type answers <-chan chan answer

// fetchParts downloads parts of a file concurrently, and calls take for each in their
// order.
func (j *Job) fetchParts(ctx context.Context, name string, parts []part, take func(i int, data []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := j.ask(ctx, name, parts)
	for i := range parts {
		data, err := j.next(ctx, answers)
		if err != nil {
			return err
		}
		if err := take(i, data); err != nil {
			return err
		}
	}
	return nil
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
// It ends with the context.
func (j *Job) ask(ctx context.Context, name string, parts []part) answers {
	answers := make(chan chan answer, ahead)
	go func() {
		defer close(answers)
		for _, p := range parts {
			place := make(chan answer, 1)
			select {
			case answers <- place:
			case <-ctx.Done():
				return
			}
			go func() {
				data := make([]byte, p.length)
				err := j.Files.ReadRange(ctx, name, p.offset, data)
				place <- answer{data, err}
			}()
		}
	}()
	return answers
}

// openParts returns a reader of a file of size bytes that downloads its parts concurrently.
// A part that fails is requested again by itself.
func (j *Job) openParts(ctx context.Context, name string, size int64) io.ReadCloser {
	var parts []part
	for offset := int64(0); offset < size; offset += spanLimit {
		parts = append(parts, part{offset, min(spanLimit, size-offset)})
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
