package conn

import (
	"strings"
	"testing"
)

func TestErrorsHaveNoPasswords(t *testing.T) {
	for _, endpoint := range []string{"me:s3cret@10.0.0.1:2379", "ftp://me:s3cret@10.0.0.1:2379", "ftp://me:s3%cret@10.0.0.1"} {
		if _, err := Dial(Config{Endpoints: []string{endpoint}}); err == nil || strings.Contains(err.Error(), "s3") {
			t.Errorf("%s: error %v", endpoint, err)
		}
	}
}
