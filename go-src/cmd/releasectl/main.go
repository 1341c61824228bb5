// Command releasectl keeps a repository of releases. It runs where releases are published.
package main

import "coreos/internal/update/releasectl"

func main() { releasectl.Main() }
