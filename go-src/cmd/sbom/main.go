// Command sbom prints the bill of materials of an image. It runs on the build host.
package main

import "coreos/internal/build/sbom"

func main() { sbom.Main() }
