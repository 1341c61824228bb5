// Command dynstrip makes Go programs smaller. It runs on the build host.
package main

import "coreos/internal/build/dynstrip"

func main() { dynstrip.Main() }
