// Command own tests what the runtime specification (1.3.0) demands and the runtime-tools
// suite does not check. Each test quotes the sentences that it checks and prints TAP;
// elsewhere.txt accounts for the other sentences, and spec_test.go for there being no more.
//
// The same static program plays every part: `own TEST` is the test; `own record …` is a hook
// or the container's process, and writes what it sees into the journal; `own fail` and
// `own wait` are a failing hook and a container that runs until it is killed; `own list`
// prints the tests' names.
package main

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// test is one function and the passages whose demands it checks.
type test struct {
	name     string
	run      func(*container)
	passages []passage
}

// passage quotes sentences that stand below one heading of the specification, without the
// targets of links.
type passage struct {
	file, heading string
	sentences     []string
}

func must(name string, run func(*container), passages ...passage) test {
	return test{name, run, passages}
}

func in(file, heading string, sentences ...string) passage {
	return passage{file, heading, sentences}
}

var tests = slices.Concat(bundleTests, mountTests, processTests, requiredTests, hookTests, hookFailureTests,
	namespaceTests, deviceTests, netDeviceTests, cgroupTests, seccompTests, lifecycleTests, featuresTests)

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
	case "list":
		for _, t := range tests {
			fmt.Println(t.name)
		}
	default:
		index := slices.IndexFunc(tests, func(t test) bool { return t.name == args[1] })
		if index < 0 {
			fmt.Fprintf(os.Stderr, "own: no test %q\n", args[1])
			os.Exit(2)
		}
		c := newContainer(tests[index].passages[0].sentences[0])
		defer c.remove()
		tests[index].run(c)
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
