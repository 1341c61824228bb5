package datasource

import (
	"bytes"
	"context"
	"fmt"
)

// VendorFile is the file with the vendor of the machine, ProductFile the file with its
// product name.
const (
	VendorFile  = "/sys/class/dmi/id/sys_vendor"
	ProductFile = "/sys/class/dmi/id/product_name"
)

// checkDMI returns ErrAbsent unless a file of /sys/class/dmi/id begins with the text of a
// platform.
func checkDMI(ctx context.Context, path, want string) error {
	text, err := readFile(ctx, path, maxValue)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(text, []byte(want)) {
		return fmt.Errorf("%w: the machine is %.80q, not of %s", ErrAbsent, bytes.TrimSpace(text), want)
	}
	return nil
}
