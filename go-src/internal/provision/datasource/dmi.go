package datasource

import (
	"bytes"
	"context"
	"fmt"
)

// VendorFile is where firmware says who made the machine, ProductFile what it is.
const (
	VendorFile  = "/sys/class/dmi/id/sys_vendor"
	ProductFile = "/sys/class/dmi/id/product_name"
)

// checkDMI returns ErrAbsent unless a file of /sys/class/dmi/id begins with what it does
// on a platform's machines.
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
