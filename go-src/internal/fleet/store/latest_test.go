package store

import (
	"testing"
)

func TestLatest(t *testing.T) {
	before := &Job{Target: "before"}
	put := func(value string) Event { return Event{Value: []byte(value)} }
	for name, test := range map[string]struct {
		batch Batch
		want  string // the target; empty if there is no job
		fails bool
	}{
		"progress only":          {Batch{}, "before", false},
		"read, and there is one": {Batch{Reset: true, Events: []Event{put(`{"target":"now"}`)}}, "now", false},
		"read, and there is not": {Batch{Reset: true}, "", false},
		"two changes":            {Batch{Events: []Event{put(`{"target":"first"}`), put(`{"target":"second"}`)}}, "second", false},
		"deleted":                {Batch{Events: []Event{put(`{"target":"first"}`), {}}}, "", false},
		"made again":             {Batch{Events: []Event{{}, put(`{"target":"again"}`)}}, "again", false},
		"not readable":           {Batch{Events: []Event{put(`{"target":"x","hash":1}`)}}, "", true},
		"null":                   {Batch{Events: []Event{put(`null`)}}, "", false},
	} {
		job, err := Latest(test.batch, before)
		target := ""
		if job != nil {
			target = job.Target
		}
		if target != test.want || (err != nil) != test.fails {
			t.Errorf("%s: target %q, error %v", name, target, err)
		}
	}
}
