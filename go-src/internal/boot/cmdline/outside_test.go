package cmdline

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const grubConfig = "../../../../board/coreos/grub.cfg"

func TestFilter(t *testing.T) {
	const signed = "BOOT_IMAGE=(hd0,gpt3)/vmlinuz console=tty0 lsm=landlock,yama panic=5 " + goodSlot + " coreos.slot=A"
	tests := map[string]string{ // what is added, and what of it is refused
		"":                 "",
		"coreos.autologin": "",
		"coreos.autologin=ttyS0 console=ttyS0,9600n8 quiet debug":                               "",
		"ignition.config.url=https://u:p@[2001:db8::1]/x?a=b&c=%20 quiet":                       "ignition.config.url", // brackets are patterns of files to GRUB
		"ignition.config.url=http://10.0.2.2:8000/web.ign?a=b&c=%20":                            "",
		"ip=192.0.2.2::192.0.2.1:255.255.255.0::eth0:off nameserver=192.0.2.1":                  "",
		"systemd.log_level=debug systemd.hostname=web-1":                                        "",
		"systemd.debug_shell systemd.debug-shell=1 rd.systemd.debug_shell":                      "systemd.debug_shell systemd.debug-shell rd.systemd.debug_shell",
		"debug_shell init=/bin/sh rdinit=/bin/sh":                                               "debug_shell init rdinit",
		"systemd.unit=rescue.target rescue emergency single 1 s -b":                             "systemd.unit rescue emergency single 1 s -b",
		"systemd.run=/evil systemd.setenv=A=b systemd.set_credential=a:b":                       "systemd.run systemd.setenv systemd.set_credential",
		"systemd.mask=slot-health.service systemd.wants=debug-shell.service":                    "systemd.mask systemd.wants",
		"systemd.mount-extra=/dev/vda8:/usr:ext4 root=/dev/vda8 mount.usr=/dev/vda8":            "systemd.mount-extra root mount.usr",
		"usrhash=" + hash + " coreos.usrblocks=1 coreos.slot=B systemd.verity=no":               "usrhash coreos.usrblocks coreos.slot systemd.verity",
		"lsm=capability security=none apparmor=0 lockdown=none mitigations=off panic=0 nokaslr": "lsm security apparmor lockdown mitigations panic nokaslr",
		"module.sig_enforce=0 modprobe.blacklist=dm_verity dm_verity.error_behavior=0":          "module.sig_enforce modprobe.blacklist dm_verity.error_behavior",
		"LD_PRELOAD=/evil.so PATH=/evil SYSTEMD_PROC_CMDLINE=init GODEBUG=x":                    "LD_PRELOAD PATH SYSTEMD_PROC_CMDLINE GODEBUG",
		"coreos.bootdisk=2026.1.2.3.4.5 quiet":                                                  "", // GRUB's
		"quiet coreos.bootdisk=2026.1.2.3.4.5":                                                  "coreos.bootdisk",
		"-- console=ttyS0":                                                                      "--",
		`console="ttyS0 init=/bin/sh" quiet`:                                                    `console init`,
		"console=ttyS0\\ x":                                                                     "console x",
		"console=ttyS0\vinit=/bin/sh":                                                           "init",
		"console=ttyS0\u00a0init=/bin/sh":                                                       "init",
		"console=ttyS0\xa0init=/bin/sh":                                                         "console",
		"CONSOLE=ttyS0 xconsole=1 console.x=1 console":                                          "CONSOLE xconsole console.x console",
		"systemdxlog_level=debug":                                                               "systemdxlog_level",
		"coreos.dropped=init,systemd.debug_shell":                                               "init systemd.debug_shell",
		"quiet coreos.dropped=init systemd.unit=rescue.target":                                  "init systemd.unit",
	}
	for added, want := range tests {
		t.Run(added, func(t *testing.T) {
			filtered, refused := Filter(signed + " " + added + "\n")
			if got := strings.Join(refused, " "); got != want {
				t.Errorf("refused are %q, want %q", got, want)
			}
			if !strings.HasPrefix(filtered+" ", signed+" ") {
				t.Errorf("the signed part has changed: %q", filtered)
			}
			if args, err := Parse(filtered); err != nil || args.Slot != "A" {
				t.Errorf("%q: got %+v, %v", filtered, args, err)
			}
			if again, _ := Filter(filtered); again != filtered {
				t.Errorf("%q, filtered again, is %q", filtered, again)
			}
		})
	}
}

func TestSigned(t *testing.T) {
	for cmdline, want := range map[string]string{
		"BOOT_IMAGE=(hd0,gpt3)/vmlinuz a b=c coreos.slot=A d": "a b=c",
		"a b=c coreos.slot=B":          "a b=c",
		"coreos.slot=A a":              "",
		"a BOOT_IMAGE=x coreos.slot=A": "a BOOT_IMAGE=x",
		"a b":                          "a b",
	} {
		if got := strings.Join(Signed(cmdline), " "); got != want {
			t.Errorf("%q: got %q, want %q", cmdline, got, want)
		}
	}
}

// TestGRUBHasTheSameLists keeps the two programs that filter in agreement.
func TestGRUBHasTheSameLists(t *testing.T) {
	text, err := os.ReadFile(grubConfig)
	if err != nil {
		t.Fatal(err)
	}
	var inGRUB []string
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "outside_"); ok {
			inGRUB = append(inGRUB, list)
		}
	}
	want := []string{
		"words='" + alternatives(outsideWords) + "'",
		"names='" + alternatives(outsideNames) + "'",
		"value='" + outsideValue + "'",
	}
	if !slices.Equal(inGRUB, want) {
		t.Errorf("%s has\n%s\nwant\n%s", grubConfig, strings.Join(inGRUB, "\n"), strings.Join(want, "\n"))
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("systemd.debug_shell console=ttyS0 init=/bin/sh")
	f.Add("coreos.dropped=a,b coreos.slot=B usrhash=1")
	f.Fuzz(func(t *testing.T, added string) {
		const signed = goodSlot + " coreos.slot=A"
		filtered, _ := Filter(signed + " " + added)
		for word := range strings.FieldsSeq(strings.TrimPrefix(filtered, signed)) {
			if !outside.MatchString(word) && !strings.HasPrefix(word, bootDisk) && !strings.HasPrefix(word, dropped) {
				t.Errorf("%q lets %q through", added, word)
			}
		}
	})
}
