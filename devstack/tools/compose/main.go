// Loads a compose file with the library that `docker compose` itself uses, and so finds what it
// would refuse: unknown keys, undefined services, wrong conditions, malformed ports.
//
// Usage: compose FILE. Prints the services' names; on a fault says which and exits 1.
package main

import (
	"context"
	"fmt"
	"os"
	"sort"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: compose FILE")
		os.Exit(2)
	}
	everything := cli.WithProfiles([]string{"*"})
	options, err := cli.NewProjectOptions([]string{os.Args[1]}, cli.WithOsEnv, everything)
	if err != nil {
		fail(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		fail(err)
	}
	names := project.ServiceNames()
	sort.Strings(names)
	for _, name := range names {
		fmt.Println(name)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
