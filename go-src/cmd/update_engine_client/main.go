// Command update_engine_client shows what update-engine does and tells it what to do.
package main

import "coreos/internal/update/cli"

func main() { cli.Main() }
