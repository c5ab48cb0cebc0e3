// Command own tests the hooks of a runtime. Each test quotes the sentence of the runtime
// specification (1.3.0) that it checks and prints TAP.
//
// The same static program plays every part: `own TEST` is the test; `own record …` is a hook
// or the container's process, and writes what it sees into the journal; `own fail` and
// `own wait` are a failing hook and a container that runs until it is killed.
package main

import (
	"fmt"
	"os"
	"time"
)

var tests = map[string]func(*container){
	"hooks":          hooksInOrder,
	"prestart":       prestart,
	"poststart":      poststart,
	"poststop":       poststop,
	"prestart_fail":  prestartFails,
	"poststart_fail": poststartFails,
	"poststop_fail":  poststopFails,
}

func main() {
	args := append(os.Args, "", "", "", "")
	switch args[1] {
	case "record":
		check(record(args[2], args[3], args[4]))
	case "fail":
		fmt.Fprintln(os.Stderr, "this hook fails on purpose")
		os.Exit(1)
	case "wait":
		check(record("process", args[2], ""))
		for {
			time.Sleep(time.Hour)
		}
	default:
		test, known := tests[args[1]]
		if !known {
			fmt.Fprintf(os.Stderr, "own: no test %q\n", args[1])
			os.Exit(2)
		}
		c := newContainer()
		defer c.remove()
		test(c)
		c.plan()
	}
}

// check ends the program when the test itself could not be carried out.
func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "own:", err)
		os.Exit(3)
	}
}
