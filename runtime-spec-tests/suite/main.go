// Command suite runs the validation programs of opencontainers/runtime-tools, and our own
// tests, on a runtime, and compares the outcome with expected.txt.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"syscall"
	"time"
)

// racy matches the tests that depend on when a process starts or ends: --repeat runs them more than once.
var racy = regexp.MustCompile(`^(own/)?(create|start|state|kill|delete|hook|prestart|poststart|poststop|pidfile)`)

// signalsEarly is the test whose signal may come before the shell has set its trap. It is lost then, as the first process of a
// PID namespace has no default action (pid_namespaces(7)): on a busy machine a single failure says nothing of the runtime.
const signalsEarly = "killsig"

const usage = `usage: run [flags] [TEST...]

Runs the tests (default: all) one at a time on one runtime. Exit status: 0 when every failure
is listed in expected.txt, 1 when another test failed, 2 when nothing could be run.

`

func main() {
	failures, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "runtime-spec-tests:", err)
		os.Exit(2)
	}
	if failures > 0 {
		os.Exit(1)
	}
}

func run() (int, error) {
	runtimePath := flag.String("runtime", "", "`PATH` of the runtime (default: the newest target/*/release/lightship)")
	peers := flag.Bool("peers", false, "run runc, crun and youki too (see scripts/peers) and write RESULTS.md")
	repeat := flag.Int("repeat", 1, "run each race-prone test of lightship `N` times; it passes when all runs pass")
	v1Only := flag.Bool("v1-only", false, "hide the cgroup2 mount of the hybrid layout (crun refuses hybrid)")
	version := flag.String("oci-version", "", "write this `VERSION` into each config.json first, for a runtime older than the suite's 1.3.0")
	buildOnly := flag.Bool("build-only", false, "build the tests and run none")
	built := flag.Bool("built", false, "build nothing: take what an earlier run has built, where there is no Go")
	verbose := flag.Bool("verbose", false, "print the whole output of a failing test")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if os.Geteuid() != 0 {
		return 0, errors.New("containers with cgroups and devices need root")
	}
	home, err := home()
	if err != nil {
		return 0, err
	}
	work := filepath.Join(home, ".work")
	unlock, err := lock(filepath.Join(work, "lock"))
	if err != nil {
		return 0, err
	}
	defer unlock()
	expected, err := readExpected(filepath.Join(home, "expected.txt"))
	if err != nil {
		return 0, err
	}
	prepare := build
	if *built {
		prepare = findBuilt
	}
	tests, err := prepare(home, work)
	if err != nil {
		return 0, err
	}
	if *buildOnly {
		return 0, nil
	}
	if flag.NArg() > 0 {
		if tests, err = choose(tests, flag.Args()); err != nil {
			return 0, err
		}
	}
	runtime, err := lightship(home, *runtimePath)
	if err != nil {
		return 0, err
	}
	runtime.V1Only, runtime.OciVersion = *v1Only, *version
	trials := &Trials{work: work, repeat: *repeat, verbose: *verbose}

	if *peers {
		return comparePeers(trials, home, runtime, tests, expected)
	}
	results, err := trials.runAll(runtime, tests, expected)
	if err != nil {
		return 0, err
	}
	return summary(results, expected), nil
}

// home is the folder that holds expected.txt: the one above .work, where `run` put this program.
func home() (string, error) {
	program, err := os.Executable()
	return filepath.Dir(filepath.Dir(program)), err
}

// lock waits until no other run is going on: the suite's cgroup paths are the same in each.
func lock(path string) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	return func() { file.Close() }, syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
}

func choose(all, wanted []string) ([]string, error) {
	known := map[string]bool{}
	for _, name := range all {
		known[name] = true
	}
	for _, name := range wanted {
		if !known[name] {
			return nil, fmt.Errorf("no test %q; there are: %s", name, strings.Join(all, " "))
		}
	}
	return wanted, nil
}

// runAll prints one line per test.
func (t *Trials) runAll(runtime Runtime, tests []string, expected Expected) (map[string]Result, error) {
	fmt.Printf("# %s\n", runtime.Describe())
	results := map[string]Result{}
	for _, test := range tests {
		runs := 1
		if racy.MatchString(test) {
			runs = t.repeat
		}
		started := time.Now()
		var result Result
		passed := 0
		for i := 0; i < runs && passed == i; i++ {
			var err error
			result, err = t.runOne(runtime, test)
			if err == nil && result.Verdict == Failed && test == signalsEarly && runs == 1 {
				result, err = t.runOne(runtime, test)
			}
			if err != nil {
				return nil, err
			}
			if result.Verdict == Passed {
				passed++
			}
		}
		result.PassedRuns = passed
		results[test] = result
		note := result.Reason
		if excuse := expected.excuse(test, result); result.Verdict == Failed && excuse != "" {
			note += " (expected: " + excuse + ")"
		}
		line := fmt.Sprintf("%s  %-32s %5.1fs  %s", result.Verdict, test, time.Since(started).Seconds(), note)
		fmt.Println(strings.TrimRight(line, " "))
	}
	return results, nil
}

// summary prints what differs from expected.txt and then the counts, the last line, and
// returns the number of failures that expected.txt does not list.
func summary(results map[string]Result, expected Expected) int {
	var count [3]int
	var surprises, unlisted []string
	for test, result := range results {
		count[result.Verdict]++
		_, listed := expected[test]
		switch {
		case result.Verdict == Failed && expected.excuse(test, result) == "":
			unlisted = append(unlisted, test)
		case result.Verdict == Passed && listed:
			surprises = append(surprises, test)
		}
	}
	sort.Strings(surprises)
	sort.Strings(unlisted)
	if len(surprises) > 0 {
		fmt.Println("passed though expected.txt lists it:", strings.Join(surprises, " "))
	}
	if len(unlisted) > 0 {
		fmt.Println("failed though it should pass:", strings.Join(unlisted, " "))
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", count[Passed], count[Failed], count[Skipped])
	return len(unlisted)
}
