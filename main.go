// Mayday is a terminal cockpit for emergency hotfixes.
package main

import (
	"os"

	"mayday/ui/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
