// Command configctl checks and translates configs of machines.
package main

import "coreos/internal/provision/configctl"

func main() { configctl.Main() }
