package datasource

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
)

const (
	// SMBIOSDir is the directory of the kernel module dmi_sysfs with the SMBIOS structures.
	SMBIOSDir = "/sys/firmware/dmi/entries"
	// smbiosName is the prefix of user-data in base64.
	smbiosName = "com.coreos.cloud-config="
	// oemStrings is the type of the structures with strings of the manufacturer.
	oemStrings = 11
)

// SMBIOS is user-data in base64 in the OEM strings (type 11) of the SMBIOS. With QEMU:
//
//	-smbios type=11,value=com.coreos.cloud-config=BASE64
//
// The directory is SMBIOSDir, except in tests. Some firmware supports only 64 KiB of such
// strings. See the System Management BIOS specification DSP0134, OEM Strings.
func SMBIOS(dir string) Source {
	return source{"SMBIOS", func(ctx context.Context) (*Data, error) {
		files, err := filepath.Glob(filepath.Join(dir, "11-*", "raw"))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		for _, file := range files {
			// base64 is a third longer.
			raw, err := readFile(ctx, file, 2*MaxUserData)
			if err != nil {
				return nil, err
			}
			if data, err := fromSMBIOS(raw); data != nil || err != nil {
				return data, err
			}
		}
		return nil, fmt.Errorf("%w: no OEM string begins with %s", ErrAbsent, smbiosName)
	}}
}

// fromSMBIOS returns the data in a structure, nil if there is none.
func fromSMBIOS(raw []byte) (*Data, error) {
	for _, text := range smbiosStrings(raw) {
		encoded, ok := bytes.CutPrefix(text, []byte(smbiosName))
		if !ok {
			continue
		}
		decoded, err := decodeBase64(string(encoded))
		if err != nil {
			return nil, fmt.Errorf("OEM string %s: %w", smbiosName, err)
		}
		return &Data{UserData: decoded}, nil
	}
	return nil, nil
}

// smbiosStrings returns the strings of a structure. Its second byte is the offset of the
// strings; each ends with a zero byte, and the last with two.
func smbiosStrings(raw []byte) [][]byte {
	if len(raw) < 4 || raw[0] != oemStrings || int(raw[1]) > len(raw) {
		return nil
	}
	var found [][]byte
	for text := range bytes.SplitSeq(raw[raw[1]:], []byte{0}) {
		if len(text) == 0 {
			break
		}
		found = append(found, text)
	}
	return found
}
