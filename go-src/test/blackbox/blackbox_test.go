// Package blackbox holds the tests that boot machines from a built image: those of the
// suite Change for every change, of Smoke for every release, and of Soak, which take hours.
package blackbox

import (
	"testing"

	"coreos/test/suite"
)

func TestMain(m *testing.M) { suite.Main(m) }

func TestChange(t *testing.T) { suite.RunAll(t, suite.Change) }

func TestSmoke(t *testing.T) { suite.RunAll(t, suite.Smoke) }

func TestSoak(t *testing.T) { suite.RunAll(t, suite.Soak) }
