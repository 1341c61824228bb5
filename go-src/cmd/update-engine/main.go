// Command update-engine is the daemon that keeps a machine up to date.
package main

import "coreos/internal/update/daemon"

func main() { daemon.Main() }
