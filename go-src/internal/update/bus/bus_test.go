package bus

import (
	"errors"
	"strings"
	"testing"
)

func TestErrorsHaveNoPasswords(t *testing.T) {
	err := failed(errors.New("download http://user:s3cret@example.com/: EOF"))
	if strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "example.com") {
		t.Errorf("error %v", err)
	}
	if failed(nil) != nil {
		t.Error("no error has become one")
	}
}
