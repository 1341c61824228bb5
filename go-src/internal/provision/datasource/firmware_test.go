package datasource

import (
	"bytes"
	"strings"
	"testing"

	"coreos/internal/host/treetest"
)

func TestQEMU(t *testing.T) {
	const raw = "by_name/opt/com.coreos/cloud-config/raw"
	check(t, QEMU(treetest.Dir(t, map[string]string{raw: config})), &Data{UserData: []byte(config)}, nil)
	check(t, QEMU(treetest.Dir(t, map[string]string{"by_name/opt/com.coreos/config/raw": "{}"})), nil, ErrAbsent)
	check(t, QEMU(treetest.Dir(t, map[string]string{raw: strings.Repeat("#", MaxUserData+1)})), nil, ErrTooLarge)
}

// smbios is a structure of OEM strings, as the firmware has it: type, length of the part
// before the strings, handle, number of strings.
func smbios(texts ...string) string {
	return "\x0b\x05\x00\x11" + string(rune(len(texts))) + strings.Join(texts, "\x00") + "\x00\x00"
}

func TestSMBIOS(t *testing.T) {
	credential := "io.systemd.credential:ssh.authorized_keys.root=abc"
	tests := map[string]struct {
		files   map[string]string
		want    string
		wantErr error
	}{
		"one string":         {map[string]string{"11-0/raw": smbios(smbiosName + base64Of(config))}, config, nil},
		"one of some":        {map[string]string{"11-0/raw": smbios(credential, smbiosName+base64Of(config), credential)}, config, nil},
		"another structure":  {map[string]string{"11-0/raw": smbios(credential), "11-1/raw": smbios(smbiosName + base64Of(config))}, config, nil},
		"packed":             {map[string]string{"11-0/raw": smbios(smbiosName + base64Of(string(pack(t, []byte(config)))))}, config, nil},
		"other strings":      {map[string]string{"11-0/raw": smbios(credential)}, "", ErrAbsent},
		"another type":       {map[string]string{"1-0/raw": smbios(smbiosName + base64Of(config))}, "", ErrAbsent},
		"no firmware":        {nil, "", ErrAbsent},
		"no strings":         {map[string]string{"11-0/raw": smbios()}, "", ErrAbsent},
		"cut short":          {map[string]string{"11-0/raw": "\x0b\x05\x00"}, "", ErrAbsent},
		"shorter than it is": {map[string]string{"11-0/raw": "\x0b\xff\x00\x11\x01a"}, "", ErrAbsent},
		"not in base64":      {map[string]string{"11-0/raw": smbios(smbiosName + config)}, "", ErrInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			check(t, SMBIOS(treetest.Dir(t, test.files)), &Data{UserData: []byte(test.want)}, test.wantErr)
		})
	}
}

func FuzzSMBIOS(f *testing.F) {
	f.Add([]byte(smbios("a", smbiosName+base64Of(config))))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, text := range smbiosStrings(raw) {
			if len(text) == 0 || bytes.Contains(text, []byte{0}) {
				t.Errorf("string %q", text)
			}
		}
		_, _ = fromSMBIOS(raw)
	})
}
