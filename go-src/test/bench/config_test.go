package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coreos/test/machine"
)

// configured is a first boot with a config that QEMU hands over.
type configured struct {
	name, fwcfg, text string
	seconds           []float64
}

// TestBenchConfigs measures from power-on to a machine that is configured and open to
// SSH, beside one without a config. The configs say the same.
func TestBenchConfigs(t *testing.T) {
	images := strings.Fields(os.Getenv("COREOS_IMAGES"))
	if len(images) == 0 {
		t.Skip("COREOS_IMAGES is not set: run this by make bench")
	}
	key, err := machine.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range images {
		name, image, _ := strings.Cut(word, "=")
		kinds := []*configured{
			{name: "cloud-config", fwcfg: "cloud-config", text: "#cloud-config\nhostname: x\nusers: [{name: ada}]\nwrite_files: [{path: /opt/x, content: x}]\n" +
				"coreos: {units: [{name: x.service, command: start, content: \"[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=true\\n\"}]}\n"},
			{name: "Ignition", fwcfg: "config", text: `{"ignition": {"version": "3.4.0"}, "passwd": {"users": [{"name": "ada"}]}, "storage": {"files": [
				{"path": "/etc/hostname", "contents": {"source": "data:,x"}}, {"path": "/opt/x", "contents": {"source": "data:,x"}}]},
				"systemd": {"units": [{"name": "x.service", "enabled": true,
				"contents": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n[Install]\nWantedBy=multi-user.target\n"}]}}`},
			{name: "no config"},
		}
		for range rounds {
			for _, kind := range kinds {
				kind.seconds = append(kind.seconds, bootConfigured(t, key, image, kind))
			}
		}
		plain := kinds[len(kinds)-1].seconds
		fmt.Printf("%-30s", name+", configured, SSH open")
		for _, kind := range kinds {
			ratios := make([]float64, len(plain))
			for i := range plain {
				ratios[i] = kind.seconds[i] / plain[i]
			}
			fmt.Printf("  %s %.1f s (%.2f)", kind.name, median(kind.seconds), median(ratios))
		}
		fmt.Println()
	}
}

func bootConfigured(t *testing.T, key *machine.Key, image string, kind *configured) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	disk, err := machine.NewDisk(dir, "disk", image, 0)
	if err != nil {
		t.Fatal(err)
	}
	config := machine.Config{Name: "configured", Disk: disk, CPUs: 2, MemoryMB: 2048}
	if kind.fwcfg != "" {
		path := filepath.Join(dir, "config")
		if err := os.WriteFile(path, []byte(kind.text), 0o600); err != nil {
			t.Fatal(err)
		}
		config.Args = []string{"-fw_cfg", "name=opt/com.coreos/" + kind.fwcfg + ",file=" + path}
	}
	start := time.Now()
	m, err := machine.Start(dir, key, config)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Cut()
	if err := errors.Join(m.WaitUp(ctx), m.WaitSSH(ctx)); err != nil {
		t.Fatal(err)
	}
	if kind.fwcfg != "" {
		// If the unit has finished already, this returns at once.
		_, err = m.Run(ctx, "systemctl start user-cloudinit.service x.service && test -e /opt/x && id ada && [ $(cat /proc/sys/kernel/hostname) = x ]")
	}
	if err != nil {
		t.Fatal(err)
	}
	return time.Since(start).Seconds()
}
