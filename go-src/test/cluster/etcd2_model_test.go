package cluster

import (
	"github.com/anishathalye/porcupine"
)

// register is the state of a key at a moment. Index 0 is an index that no client was told.
type register struct {
	exists bool
	value  string
	index  int64
}

type kind int

const (
	get kind = iota
	set
	swapValue
	swapIndex
	remove
	kinds
)

type input struct {
	key       string
	kind      kind
	value     string
	prevValue string
	prevIndex int64
}

// output is an answer. The outcome of a write without an answer is unknown.
type output struct {
	unknown bool
	ok      bool // false: no such key, or not what it was compared with
	missing bool
	value   string
	index   int64
}

// after returns the register after a write that took place.
func (in input) after(index int64) register {
	if in.kind == remove {
		return register{}
	}
	return register{exists: true, value: in.value, index: index}
}

// applies reports whether a write can take place.
func (in input) applies(r register) bool {
	switch in.kind {
	case swapValue:
		return r.exists && r.value == in.prevValue
	case swapIndex:
		return r.exists && (r.index == 0 || r.index == in.prevIndex)
	case remove:
		return r.exists
	}
	return true
}

// step returns the registers that there can be after an operation.
func step(r register, in input, out output) []register {
	switch {
	case in.kind == get && out.missing:
		return only(r, !r.exists)
	case in.kind == get:
		seen := register{true, out.value, out.index}
		return only(seen, r.exists && r.value == out.value && (r.index == 0 || r.index == out.index))
	case out.unknown && in.applies(r):
		return []register{r, in.after(0)}
	case out.unknown:
		return []register{r}
	case out.ok:
		return only(in.after(out.index), in.applies(r) && out.index > r.index)
	case out.missing:
		return only(r, !r.exists)
	}
	// An index that nobody was told may differ from the one in the request.
	return only(r, r.exists && (!in.applies(r) || in.kind == swapIndex && r.index == 0))
}

func only(r register, possible bool) []register {
	if !possible {
		return nil
	}
	return []register{r}
}

var model = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{register{}} },
	Step: func(state, in, out any) []any {
		var all []any
		for _, r := range step(state.(register), in.(input), out.(output)) {
			all = append(all, r)
		}
		return all
	},
}).ToModel()
