// Package blackbox holds the tests that boot machines from a built image. Those of
// the smoke suite are for every change, those of the soak suite take hours.
package blackbox

import (
	"testing"

	"coreos/test/suite"
)

func TestMain(m *testing.M) { suite.Main(m) }

func TestSmoke(t *testing.T) { suite.RunAll(t, suite.Smoke) }

func TestSoak(t *testing.T) { suite.RunAll(t, suite.Soak) }
