// Package lookup explains why the name of a host could not be looked up.
package lookup

import (
	"errors"
	"fmt"
	"net"
)

// Explain adds to an error of a lookup that got no answer what it means and what to look at. Without
// a name server, the resolver's own error is "server misbehaving".
func Explain(err error) error {
	var of *net.DNSError
	if !errors.As(err, &of) || of.IsNotFound {
		return err
	}
	return fmt.Errorf("%w (no name server answers: see resolvectl status)", err)
}
