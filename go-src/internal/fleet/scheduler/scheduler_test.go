package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"coreos/internal/fleet/unitfile"
)

func parse(t *testing.T, name, fleet string) Unit {
	t.Helper()
	file, err := unitfile.Parse("[X-Fleet]\n" + strings.ReplaceAll(fleet, "; ", "\n"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := unitfile.ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := file.Requirements(n)
	if err != nil {
		t.Fatal(err)
	}
	return Unit{Name: name, Requirements: r}
}

// machines adds n machines of the same size, a, b, …, in the regions eu and us in turn.
func machines(s *Scheduler, n int) {
	for i := range n {
		s.SetMachine(Machine{ID: string(rune('a' + i)), CPUs: 2, Memory: 1 << 30, Metadata: map[string]string{"region": []string{"eu", "us"}[i%2]}})
	}
}

// where returns the machine of each unit: "web@1=a web@2=b db=-".
func where(s *Scheduler) string {
	var all []string
	for _, name := range names(s.units) {
		at := "-"
		if m := s.units[name].at; m != nil {
			at = m.ID
		}
		all = append(all, strings.TrimSuffix(name, ".service")+"="+at)
	}
	return strings.Join(all, " ")
}

func TestPlan(t *testing.T) {
	for name, test := range map[string]struct {
		units map[string]string // name: requirements
		do    func(*Scheduler)
		want  string
	}{
		"the emptiest machine is taken": {
			units: map[string]string{"u1": "", "u2": "", "u3": "", "u4": ""}, want: "u1=a u2=b u3=c u4=a",
		},
		"a machine by its ID":           {units: map[string]string{"u": "MachineID=c"}, want: "u=c"},
		"a machine that is not there":   {units: map[string]string{"u": "MachineID=x"}, want: "u=-"},
		"metadata":                      {units: map[string]string{"u1": "MachineMetadata=region=us", "u2": "MachineMetadata=region=us", "u3": "MachineMetadata=region=asia"}, want: "u1=b u2=b u3=-"},
		"conflicts":                     {units: map[string]string{"w@1": "Conflicts=w@*.service", "w@2": "Conflicts=w@*.service", "w@3": "Conflicts=w@*.service", "w@4": "Conflicts=w@*.service"}, want: "w@1=a w@2=b w@3=c w@4=-"},
		"conflicts of the other one":    {units: map[string]string{"a": "MachineID=a", "b": "MachineMetadata=region=eu; Conflicts=a.service"}, want: "a=a b=c"},
		"peers in a chain":              {units: map[string]string{"c": "MachineMetadata=region=us", "b": "MachineOf=c.service", "a": "MachineOf=b.service"}, want: "a=b b=b c=b"},
		"a peer that is nowhere":        {units: map[string]string{"b": "MachineOf=c.service"}, want: "b=-"},
		"replaces":                      {units: map[string]string{"v1": "MachineMetadata=region=us", "v2": "MachineMetadata=region=us; Replaces=v1.service"}, want: "v1=- v2=b"},
		"units that replace each other": {units: map[string]string{"v1": "Replaces=v2.service", "v2": "Replaces=v1.service"}, want: "v1=a v2=b"},
		"memory":                        {units: map[string]string{"u1": "Memory=600M", "u2": "Memory=600M", "u3": "Memory=600M", "u4": "Memory=600M"}, want: "u1=a u2=b u3=c u4=-"},
		"processors":                    {units: map[string]string{"u1": "CPUs=1.5; MachineMetadata=region=us", "u2": "CPUs=0.5; MachineMetadata=region=us", "u3": "CPUs=0.1; MachineMetadata=region=us"}, want: "u1=b u2=b u3=-"},
		"maximum per machine":           {units: map[string]string{"w@1": "MaxPerMachine=1; MachineMetadata=region=eu", "w@2": "MaxPerMachine=1; MachineMetadata=region=eu", "w@3": "MaxPerMachine=1; MachineMetadata=region=eu"}, want: "w@1=a w@2=c w@3=-"},
		"preferences":                   {units: map[string]string{"u1": "Prefers=region=us", "u2": "Prefers=region=us", "u3": "Prefers=region=asia"}, want: "u1=b u2=b u3=a"},
		"a machine is lost": {
			units: map[string]string{"u1": "", "u2": "", "u3": ""}, do: func(s *Scheduler) { s.RemoveMachine("b") }, want: "u1=a u2=a u3=c",
		},
		"all are lost, one comes": {
			units: map[string]string{"u1": "", "u2": ""}, want: "u1=d u2=d",
			do: func(s *Scheduler) {
				for _, id := range []string{"a", "b", "c"} {
					s.RemoveMachine(id)
				}
				s.Plan()
				s.SetMachine(Machine{ID: "d"})
			},
		},
		"a drained machine": {
			units: map[string]string{"u1": "", "u2": "", "u3": "MachineID=a"}, want: "u1=c u2=b u3=a",
			do: func(s *Scheduler) { s.SetMachine(Machine{ID: "a", Drained: true}) },
		},
		"a sidekick follows": {
			units: map[string]string{"db": "", "side": "MachineOf=db.service"}, want: "db=b side=b",
			do: func(s *Scheduler) { s.RemoveMachine("a") },
		},
		"a removed unit makes room": {
			units: map[string]string{"u1": "Memory=1G; MachineMetadata=region=us", "u2": "Memory=1G; MachineMetadata=region=us"}, want: "u2=b",
			do: func(s *Scheduler) { s.RemoveUnit("u1.service") },
		},
		"a global unit that conflicts": {
			units: map[string]string{"w1": "", "w2": "MachineMetadata=region=us"}, want: "w1=b w2=-",
			do: func(s *Scheduler) {
				g := parse(t, "g.service", "Global=true; MachineMetadata=region=eu; Conflicts=w1.service")
				s.SetGlobal(g.Name, g.Requirements)
				g = parse(t, "h.service", "Global=true; MachineMetadata=region=us; Conflicts=w2.service")
				s.SetGlobal(g.Name, g.Requirements)
			},
		},
		"a conflict with a global unit": {
			units: map[string]string{"w": "Conflicts=g*"}, want: "w=b",
			do: func(s *Scheduler) {
				g := parse(t, "g.service", "Global=true; MachineMetadata=region=eu")
				s.SetGlobal(g.Name, g.Requirements)
			},
		},
		"a global unit that goes makes room": {
			units: map[string]string{"w": "Conflicts=g*"}, want: "w=a",
			do: func(s *Scheduler) {
				g := parse(t, "g.service", "Global=true")
				s.SetGlobal(g.Name, g.Requirements)
				s.Plan()
				if got := where(s); got != "w=-" {
					t.Errorf("beside the global unit: %s", got)
				}
				s.RemoveGlobal(g.Name)
			},
		},
		"a conflict that came later": {
			units: map[string]string{"u1": "MachineID=a", "u2": ""}, want: "u1=a u2=b",
			do: func(s *Scheduler) {
				u := s.units["u2.service"].Unit
				u.Requirements.Conflicts = []string{"u1*"}
				u.Machine = "a"
				s.SetUnit(u)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := New()
			machines(s, 3)
			for name, fleet := range test.units {
				s.SetUnit(parse(t, name+".service", fleet))
			}
			s.Plan()
			if test.do != nil {
				test.do(s)
				s.Plan()
			}
			if got := where(s); got != test.want {
				t.Errorf("%s\nwant %s", got, test.want)
			}
			if moves := s.Plan(); moves != nil {
				t.Errorf("nothing changed, and it moves %v", moves)
			}
		})
	}
}

func TestWhy(t *testing.T) {
	s := New()
	machines(s, 2)
	s.SetUnit(parse(t, "w@1.service", "Conflicts=w@*.service"))
	s.SetUnit(parse(t, "w@2.service", "Conflicts=w@*.service; MachineMetadata=region=eu"))
	s.Plan()
	s.SetUnit(parse(t, "w@3.service", "Conflicts=w@*.service; MachineMetadata=region=us"))
	s.Plan()
	for name, want := range map[string]string{
		"w@1.service": "it is assigned to a; 1 of 2 machines can have it [{a } {b it conflicts with w@3.service}]",
		"w@2.service": "none of 2 machines can have it [{a it conflicts with w@1.service} {b its metadata do not fit}]",
		"w@3.service": "it is assigned to b; 1 of 2 machines can have it [{a its metadata do not fit} {b }]",
	} {
		why, ok := s.Why(name)
		if got := fmt.Sprint(why.Summary, " ", why.Machines); !ok || got != want {
			t.Errorf("%s: %s, known %t; want %s", name, got, ok, want)
		}
	}
	if _, ok := s.Why("x.service"); ok {
		t.Error("a unit that is not there")
	}
}

func TestRebalance(t *testing.T) {
	s := New()
	machines(s, 1)
	for i := range 9 {
		s.SetUnit(parse(t, fmt.Sprintf("u%d.service", i), ""))
	}
	s.Plan()
	machines(s, 3)
	if moves := s.Plan(); moves != nil {
		t.Errorf("new machines alone move nothing: %v", moves)
	}
	if moves := s.Rebalance(); len(moves) != 6 {
		t.Errorf("%d moves: %v", len(moves), moves)
	}
	if moves := s.Rebalance(); moves != nil {
		t.Errorf("moved again: %v", moves)
	}
}

// TestRandom changes a cluster at random. After each plan, no unit is on a machine that cannot
// have it, and none waits although a machine can have it.
func TestRandom(t *testing.T) {
	kinds := []string{
		"", "", "MachineMetadata=region=eu", "Conflicts=u@*.service", "Conflicts=u@1*.service", "MachineOf=u@1.service", "MachineOf=u@2.service",
		"Memory=300M", "CPUs=0.7", "MaxPerMachine=3", "Prefers=region=us", "Replaces=u@2*.service", "MachineID=b",
	}
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 7))
		s := New()
		for step := range 60 {
			id, name := string(rune('a'+random.IntN(6))), fmt.Sprintf("u@%d.service", random.IntN(30))
			switch random.IntN(8) {
			case 0:
				s.RemoveMachine(id)
			case 1, 2:
				s.SetMachine(Machine{ID: id, CPUs: 2, Memory: 1 << 30, Drained: random.IntN(5) == 0, Metadata: map[string]string{"region": []string{"eu", "us"}[random.IntN(2)]}})
			case 3:
				s.RemoveUnit(name)
			default:
				u := parse(t, name, kinds[random.IntN(len(kinds))])
				if random.IntN(2) == 0 {
					u.Machine = id
				}
				s.SetUnit(u)
			}
			if random.IntN(3) == 0 {
				s.Plan()
				consistent(t, s, seed, step)
			}
		}
	}
}

func consistent(t *testing.T, s *Scheduler, seed uint64, step int) {
	t.Helper()
	count := 0
	for name, u := range s.units {
		if u.at == nil {
			for id, m := range s.machines {
				if obstacle := s.obstacle(u, m); obstacle == "" {
					t.Fatalf("seed %d, step %d: %s waits and could be on %s: %s", seed, step, name, id, where(s))
				}
			}
			continue
		}
		count++
		if obstacle := s.obstacle(u, u.at); obstacle != "" {
			t.Fatalf("seed %d, step %d: %s is on %s: %s: %s", seed, step, name, u.at.ID, obstacle, where(s))
		}
	}
	var order []*machine
	s.byLoad.Ascend(func(m *machine) bool { order = append(order, m); count -= len(m.units); return true })
	if len(order) != len(s.machines) || !slices.IsSortedFunc(order, func(a, b *machine) int { return len(a.units) - len(b.units) }) || count != 0 {
		t.Fatalf("seed %d, step %d: the order by load is wrong", seed, step)
	}
}
