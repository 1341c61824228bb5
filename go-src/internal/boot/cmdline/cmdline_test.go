package cmdline

import (
	"strings"
	"testing"

	"coreos/internal/boot/slot"
)

const (
	hash      = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	goodSlot  = "usrhash=" + hash + " coreos.usrblocks=100524"
	goodGRUB  = "coreos.slot=A"
	goodOther = "BOOT_IMAGE=(hd0,gpt3)/vmlinuz console=tty0 console=ttyS0,115200n8 quiet gpt"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, cmdline string
		slot          slot.Name
		stamp         string
	}{
		{"as GRUB passes it", goodOther + " " + goodSlot + " coreos.slot=B coreos.bootdisk=2026.1.2.3.4.5", slot.B, "2026.1.2.3.4.5"},
		{"a GRUB without stamps", goodOther + " " + goodSlot + " coreos.slot=B", slot.B, ""},
		{"nothing else", goodSlot + " " + goodGRUB, slot.A, ""},
		{"newline at the end", goodSlot + " coreos.slot=A\n", slot.A, ""},
		{"other arguments twice", "console=a console=b " + goodSlot + " coreos.slot=A coreos.x=1 coreos.x=2", slot.A, ""},
		{"similar names", goodSlot + " coreos.slot=A xusrhash=1 usrhash.x=2 coreos.slots=B coreos.bootdisks=3", slot.A, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args, err := Parse(test.cmdline)
			if err != nil {
				t.Fatal(err)
			}
			if args.Slot != test.slot || args.Stamp != test.stamp || args.Usr.Blocks != 100524 || args.Usr.Hash[1] != 0x11 {
				t.Errorf("got %+v", args)
			}
		})
	}
}

func TestParseRejects(t *testing.T) {
	tests := []struct{ name, cmdline, want string }{
		{"nothing", "", "coreos.slot"},
		{"no slot", goodSlot, "coreos.slot"},
		{"other slot", goodSlot + " coreos.slot=C", `no slot "C"`},
		{"no hash", "coreos.slot=A coreos.usrblocks=1", "usrhash is missing"},
		{"empty hash", "coreos.slot=A coreos.usrblocks=1 usrhash=", "usrhash is missing"},
		{"hash too short", "coreos.slot=A coreos.usrblocks=1 usrhash=00", "bad root hash"},
		{"hash too long", "coreos.slot=A coreos.usrblocks=1 usrhash=" + hash + "00", "bad root hash"},
		{"no number of blocks", "coreos.slot=A usrhash=" + hash, "coreos.usrblocks"},
		{"no blocks", "coreos.slot=A coreos.usrblocks=0 usrhash=" + hash, "bad number"},
		{"negative", "coreos.slot=A coreos.usrblocks=-1 usrhash=" + hash, "coreos.usrblocks"},
		{"too many blocks", "coreos.slot=A coreos.usrblocks=99999999999999999999 usrhash=" + hash, "coreos.usrblocks"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if args, err := Parse(test.cmdline); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %+v and error %v, want one with %q", args, err, test.want)
			}
		})
	}
}

// TestParseTwice adds what decides over the boot once more, before and after,
// even with the same value.
func TestParseTwice(t *testing.T) {
	const good = goodSlot + " coreos.slot=A coreos.bootdisk=1"
	for _, again := range []string{
		"usrhash=" + hash, "usrhash=" + strings.Repeat("0", 64), "usrhash", "usrhash=",
		"coreos.usrblocks=100524", "coreos.usrblocks=1", "coreos.slot=A", "coreos.slot=B", "coreos.slot",
		"coreos.bootdisk=1", "coreos.bootdisk=2", "coreos.bootdisk",
	} {
		for _, cmdline := range []string{good + " " + again, again + " " + good} {
			name, _, _ := strings.Cut(again, "=")
			if _, err := Parse(cmdline); err == nil || err.Error() != name+" is given twice" {
				t.Errorf("%q: got error %v", cmdline, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(goodOther + " " + goodSlot + " " + goodGRUB)
	f.Add("usrhash=" + hash + hash + " coreos.usrblocks=1 coreos.slot=b")
	f.Add("usrhash= = coreos.slot")
	f.Fuzz(func(t *testing.T, cmdline string) {
		args, err := Parse(cmdline)
		if err != nil {
			return
		}
		if args.Slot != slot.A && args.Slot != slot.B || args.Usr.Blocks == 0 {
			t.Errorf("%q: got %+v", cmdline, args)
		}
		for _, name := range []string{"usrhash=", "coreos.slot=", "coreos.usrblocks="} {
			if strings.Count(" "+strings.Join(strings.Fields(cmdline), " "), " "+name) != 1 {
				t.Errorf("%q was taken", cmdline)
			}
		}
	})
}
