package slotwriter

import "context"

// ahead is how many requests are under way at a time.
const ahead = 4

// part is a part of a file.
type part struct{ offset, length int64 }

// answer is what came of asking for a part.
type answer struct {
	data []byte
	err  error
}

// fetchParts asks for some parts of a file ahead, and hands them over in their order.
func (j *Job) fetchParts(ctx context.Context, name string, parts []part, take func(i int, data []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan chan answer, ahead)
	go j.ask(ctx, name, parts, answers)
	for i := range parts {
		place, ok := <-answers
		if !ok {
			return ctx.Err()
		}
		got := <-place
		if got.err != nil {
			return got.err
		}
		j.fetched(len(got.data))
		if err := take(i, got.data); err != nil {
			return err
		}
	}
	return nil
}

// ask sends the requests, as many at a time as answers has room for, and gives the place
// of each answer to answers, which it closes. It ends with the context.
func (j *Job) ask(ctx context.Context, name string, parts []part, answers chan<- chan answer) {
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
}
