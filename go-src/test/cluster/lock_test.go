package cluster

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/reboot/lock"
	"coreos/internal/reboot/semaphore"
	"coreos/test/etcdtest"
)

// attempt is an operation of a contender on the semaphore.
type attempt struct {
	id     string
	unlock bool
	limit  int    // of holders, the same in all of a history
	term   string // of the holder, which no other attempt to lock has
}

// answer is the answer to an attempt, and the holders that the contender saw: those after
// the attempt, or those because of which it was refused.
type answer struct {
	outcome outcome
	saw     holders // "?" if it was not told
}

type outcome int

const (
	done outcome = iota
	refused
	unknown
)

// holders are the ids of a state, sorted, each with a space behind it.
type holders string

func (h holders) has(id string) bool { return strings.Contains(string(h), id+" ") }
func (h holders) count() int         { return strings.Count(string(h), " ") }

func (h holders) with(id string) holders {
	all := append(strings.Fields(string(h)), id)
	slices.Sort(all)
	return holders(strings.Join(slices.Compact(all), " ") + " ")
}

func (h holders) without(id string) holders {
	return holders(strings.Replace(string(h), id+" ", "", 1))
}

// after returns the states that there can be after an attempt.
func (h holders) after(in attempt, out answer) []any {
	possible, then := h.has(in.id), h.without(in.id)
	if !in.unlock {
		possible, then = h.has(in.id) || h.count() < in.limit, h.with(in.id)
	}
	switch {
	case out.outcome == unknown && possible:
		return []any{h, then}
	case out.outcome == unknown || out.outcome == refused && !possible && out.saw == h:
		return []any{h}
	case out.outcome == done && possible && (out.saw == then || out.saw == "?"):
		return []any{then}
	}
	return nil
}

var lockModel = (&porcupine.NondeterministicModel{
	Init:  func() []any { return []any{holders("")} },
	Step:  func(state, in, out any) []any { return state.(holders).after(in.(attempt), out.(answer)) },
	Equal: func(a, b any) bool { return a == b },
}).ToModel()

// contender is a machine that wants to restart again and again.
type contender struct {
	id      string
	number  int
	lock    *lock.Lock
	random  *rand.Rand
	limit   int
	begin   time.Time
	history []porcupine.Operation
}

// do makes attempts as long as the machine lives. It can be killed at any moment.
func (c *contender) do(ctx context.Context, unlock bool) outcome {
	life, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if c.random.IntN(8) == 0 { // it is killed
		life, cancel = context.WithTimeout(ctx, time.Duration(c.random.Int64N(int64(20*time.Millisecond))))
		defer cancel()
	}
	call := time.Since(c.begin)
	exchanges := false // or tried to, so that it is not known whether it did
	in := attempt{c.id, unlock, c.limit, fmt.Sprintf("%s-%d", c.id, call)}
	saw, err := c.lock.Change(life, func(s *semaphore.Semaphore) (err error) {
		if unlock {
			h, _ := s.Holds(c.id)
			in.term, err = h.BootID, s.Unlock(c.id)
		} else {
			err = s.Lock(c.id, semaphore.Holder{BootID: in.term, To: "2.0.0"})
		}
		exchanges = err == nil
		return err
	})
	out := answer{outcome: unknown}
	var full *semaphore.FullError
	switch {
	case err == nil:
		out = answer{done, holdersOf(saw)}
	case errors.As(err, &full), errors.Is(err, semaphore.ErrNotExist):
		out = answer{refused, holdersOf(saw)}
	case !exchanges:
		return unknown // it did not get to do anything
	}
	c.write(in, out, call)
	return out.outcome
}

func holdersOf(s *semaphore.Semaphore) holders {
	h := holders("")
	for _, id := range s.Holders {
		h += holders(id + " ")
	}
	return h
}

func (c *contender) write(in attempt, out answer, call time.Duration) {
	c.history = append(c.history, porcupine.Operation{ClientId: c.number, Input: in, Output: out, Call: int64(call), Return: int64(time.Since(c.begin))})
}

// terms returns the terms of the holders in etcd, and whether each was ended by an unlock,
// rather than by another lock of the same holder.
func terms(ctx context.Context, t *testing.T, etcd *clientv3.Client, group string) map[string]bool {
	t.Helper()
	key := "/coreos.com/updateengine/rebootlock/groups/" + group + "/semaphore"
	now, err := etcd.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all, before := map[string]bool{}, map[string]semaphore.Holder{}
	for answer := range etcd.Watch(ctx, key, clientv3.WithRev(now.Kvs[0].CreateRevision)) {
		for _, event := range answer.Events {
			s, err := semaphore.Parse(event.Kv.Value)
			if err != nil {
				t.Fatal(err)
			}
			for id, h := range before {
				_, still := s.Holds(id)
				all[h.BootID] = !still
			}
			for _, h := range s.Details {
				all[h.BootID] = false
			}
			before = s.Details
			if event.Kv.ModRevision == now.Kvs[0].ModRevision {
				return all
			}
		}
	}
	t.Fatal("etcd does not say what the semaphore was")
	return nil
}

// resolve finds out the outcome of attempts without an answer, from the states of the
// semaphore: porcupine takes long for attempts that may or may not have had an effect.
func resolve(history []porcupine.Operation, ended map[string]bool) []porcupine.Operation {
	unlocks := map[string][]answer{}
	for _, op := range history {
		if in := op.Input.(attempt); in.unlock {
			unlocks[in.term] = append(unlocks[in.term], op.Output.(answer))
		}
	}
	var resolved []porcupine.Operation
	for _, op := range history {
		in, out := op.Input.(attempt), op.Output.(answer)
		if out.outcome == unknown {
			byUnlock, was := ended[in.term]
			others := slices.ContainsFunc(unlocks[in.term], func(a answer) bool { return a.outcome == done })
			switch {
			case !was, in.unlock && (!byUnlock || others):
				continue // without effect
			case !in.unlock, len(unlocks[in.term]) == 1:
				op.Output = answer{done, "?"}
			}
		}
		resolved = append(resolved, op)
	}
	return resolved
}

// openEnd returns the time until which attempts without an answer can have taken effect:
// until an attempt that began later has exchanged the semaphore, since attempts name the
// revision that they saw. Without such an attempt there is no end.
func openEnd(history []porcupine.Operation) {
	for i, op := range history {
		if op.Output.(answer).outcome != unknown {
			continue
		}
		history[i].Return = math.MaxInt64
		for _, later := range history {
			if later.Output.(answer).outcome == done && later.Call > op.Return {
				history[i].Return = min(history[i].Return, later.Return)
			}
		}
	}
}

// thin leaves out refusals that another one implies, since porcupine's search grows fast
// with the number of operations at the same time. A refusal that is right about the state
// that it saw is left out if another one saw the same state within its time.
func thin(history []porcupine.Operation) []porcupine.Operation {
	implied := func(i int) bool {
		op, out := history[i], history[i].Output.(answer)
		if out.outcome != refused || out.saw.after(op.Input.(attempt), out) == nil {
			return false
		}
		return slices.ContainsFunc(history, func(other porcupine.Operation) bool {
			return other.Output == op.Output && op.Call <= other.Call && other.Return <= op.Return && (op.Call < other.Call || other.Return < op.Return)
		})
	}
	var thinned []porcupine.Operation
	for i, op := range history {
		if !implied(i) {
			thinned = append(thinned, op)
		}
	}
	return thinned
}

func (c *contender) run(ctx context.Context) {
	holds := false
	for ctx.Err() == nil {
		switch out := c.do(context.WithoutCancel(ctx), holds); {
		case out == done:
			holds = !holds
		case out == refused && holds:
			holds = false // an unlock whose answer was lost
		}
		// This time is an input of the test, not a wait for something.
		time.Sleep(time.Duration(50+c.random.IntN(200)) * time.Millisecond)
	}
}

const contenders = 50

// TestLockNeverHasTooManyHolders has contenders lock and unlock, some of them killed at
// it, while members of etcd fail, and looks for an order of all attempts in which there
// were never more holders than the semaphore allows.
func TestLockNeverHasTooManyHolders(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 3, etcdtest.NoFsync())
	var locks []func(group string) *lock.Lock
	for i := range c.Len() {
		etcd := c.Client(t, c.Endpoint(i))
		locks = append(locks, func(group string) *lock.Lock { return lock.New(etcd, group) })
	}
	all := c.Client(t)
	locks = append(locks, func(group string) *lock.Lock { return lock.New(all, group) })
	for seed := range uint64(20) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			history := contend(ctx, t, c, locks, seed)
			if result := porcupine.CheckOperationsTimeout(lockModel, history, time.Minute); result != porcupine.Ok {
				t.Errorf("%d attempts: %s", len(history), result)
			}
		})
	}
}

func contend(ctx context.Context, t *testing.T, c *etcdtest.Cluster, locks []func(string) *lock.Lock, seed uint64) []porcupine.Operation {
	t.Helper()
	limit, group := 1+int(seed%2), fmt.Sprintf("seed%d", seed)
	if _, err := locks[0](group).Change(ctx, func(s *semaphore.Semaphore) error {
		_, err := s.SetMax(limit)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	working, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	var machines []*contender
	for i := range contenders {
		m := &contender{
			id: fmt.Sprintf("m%02d", i), number: i, limit: limit, begin: begin,
			lock: locks[i%len(locks)](group), random: rand.New(rand.NewPCG(seed, uint64(i))),
		}
		machines = append(machines, m)
		running.Go(func() { m.run(working) })
	}
	random := rand.New(rand.NewPCG(seed, math.MaxUint64))
	for range 2 {
		name, err := fault(ctx, c, random)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Log(name)
	}
	stop()
	running.Wait()
	history := collectAttempts(t, machines)
	openEnd(history)
	return thin(resolve(history, terms(ctx, t, c.Client(t), group)))
}

func collectAttempts(t *testing.T, machines []*contender) (history []porcupine.Operation) {
	counts := map[outcome]int{}
	for _, m := range machines {
		for _, op := range m.history {
			counts[op.Output.(answer).outcome]++
		}
		history = append(history, m.history...)
	}
	t.Logf("%d attempts done, %d refused, %d unknown", counts[done], counts[refused], counts[unknown])
	if counts[done] == 0 || counts[refused] == 0 {
		t.Error("nothing was contended for")
	}
	return history
}
