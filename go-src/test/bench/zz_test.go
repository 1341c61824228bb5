package bench

import (
	"fmt"
	"os"
	"testing"
)

func TestZZ(t *testing.T) {
	p := pair{t.TempDir(), os.Getenv("COREOS_OLD"), os.Getenv("ZZNEW")}
	c := ours(t, p, "ours", os.Getenv("ZZPATCH") != "")
	fmt.Printf("%-34s  wire %7.2f MB  requests %5d  CPU %6.2f s  wall %6.2f s  memory %5.0f MB\n", c.name,
		float64(c.wire)/1e6, c.requests, c.cpu.Seconds(), c.wall.Seconds(), float64(c.memory)/1e6)
}
