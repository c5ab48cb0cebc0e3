package main

import (
	"fmt"
	"os"
	"strings"
)

var marks = [...]string{"pass", "**fail**", "skip"}

// Report is what RESULTS.md tells: the first runtime is lightship, and each column has the
// results of one runtime.
type Report struct {
	runtimes []Runtime
	columns  []map[string]Result
	tests    []string
	expected Expected
	// repeat is how often lightship's race-prone tests ran.
	repeat int
}

func (r Report) page() string {
	var page strings.Builder
	fmt.Fprintf(&page, "# Conformance\n\n")
	fmt.Fprintf(&page, "Written by `runtime-spec-tests/run --peers --repeat %d`: the validation programs of `%s`, and the tests of `own/`,\n", r.repeat, module)
	fmt.Fprintf(&page, "which check what the specification demands and those programs do not check. Host: Linux %s, cgroups %s.\n", kernel(), layout())
	suite, own := r.split()
	r.table(&page, "The runtime-tools suite", suite)
	r.table(&page, "Our own tests", own)
	r.comparison(&page)
	r.repeats(&page)
	for i := range r.runtimes {
		r.failures(&page, i)
	}
	return page.String()
}

// split separates the suite's tests from our own.
func (r Report) split() (suite, own []string) {
	for _, test := range r.tests {
		if strings.HasPrefix(test, "own/") {
			own = append(own, test)
		} else {
			suite = append(suite, test)
		}
	}
	return suite, own
}

// table has the totals of some tests and a row for each.
func (r Report) table(page *strings.Builder, title string, tests []string) {
	fmt.Fprintf(page, "\n## %s: %d tests\n\n", title, len(tests))
	fmt.Fprintf(page, "| runtime | passed | failed | skipped | assertions ok / not ok / skipped |\n|---|---|---|---|---|\n")
	for i, runtime := range r.runtimes {
		var count [3]int
		var ok, notOk, skipped int
		for _, test := range tests {
			result := r.columns[i][test]
			count[result.Verdict]++
			ok, notOk, skipped = ok+result.Ok, notOk+len(result.Failures), skipped+result.Skipped
		}
		fmt.Fprintf(page, "| %s | %d | %d | %d | %d / %d / %d |\n", runtime.Describe(), count[Passed], count[Failed], count[Skipped], ok, notOk, skipped)
	}
	fmt.Fprintf(page, "\n| test |")
	for _, runtime := range r.runtimes {
		fmt.Fprintf(page, " %s |", runtime.Name)
	}
	fmt.Fprintf(page, "\n|---|%s\n", strings.Repeat("---|", len(r.runtimes)))
	for _, test := range tests {
		fmt.Fprintf(page, "| %s |", test)
		for _, column := range r.columns {
			fmt.Fprintf(page, " %s |", marks[column[test].Verdict])
		}
		fmt.Fprintln(page)
	}
}

// comparison names what a peer passes and lightship does not, and the reverse.
func (r Report) comparison(page *strings.Builder) {
	var behind, ahead []string
	for _, test := range r.tests {
		peer := false
		for _, column := range r.columns[1:] {
			peer = peer || column[test].Verdict == Passed
		}
		switch own := r.columns[0][test].Verdict == Passed; {
		case peer && !own:
			behind = append(behind, test)
		case own && !peer:
			ahead = append(ahead, test)
		}
	}
	fmt.Fprintf(page, "\n## Beside the others\n\n")
	fmt.Fprintf(page, "- passed by another runtime and not by %s: %s\n", r.runtimes[0].Name, listed(behind))
	fmt.Fprintf(page, "- passed by %s alone: %s\n", r.runtimes[0].Name, listed(ahead))
}

func listed(tests []string) string {
	if len(tests) == 0 {
		return "none"
	}
	return strings.Join(tests, ", ")
}

// repeats tells how the race-prone tests fared that pass at all.
func (r Report) repeats(page *strings.Builder) {
	if r.repeat == 1 {
		return
	}
	always := []string{}
	fmt.Fprintf(page, "\n## Race-prone tests, %d times each on %s\n\n", r.repeat, r.runtimes[0].Name)
	for _, test := range r.tests {
		switch passed := r.columns[0][test].PassedRuns; {
		case racy.MatchString(test) && passed == r.repeat:
			always = append(always, test)
		case racy.MatchString(test) && passed > 0:
			fmt.Fprintf(page, "- %s failed at run %d\n", test, passed+1)
		}
	}
	fmt.Fprintf(page, "- passed %d of %d: %s\n", r.repeat, r.repeat, listed(always))
}

// failures gives the reason of each of a runtime's.
func (r Report) failures(page *strings.Builder, i int) {
	fmt.Fprintf(page, "\n## Why %s fails\n\n", r.runtimes[i].Name)
	for _, test := range r.tests {
		result := r.columns[i][test]
		if result.Verdict != Failed {
			continue
		}
		reason := "`" + strings.ReplaceAll(result.Reason, "`", "'") + "`"
		if excuse := r.expected.excuse(test, result); i == 0 && excuse != "" {
			reason = excuse
		} else if more := len(result.Failures) - 1; more > 0 {
			reason += fmt.Sprintf(" and %d more", more)
		}
		fmt.Fprintf(page, "- %s: %s\n", test, reason)
	}
}

func kernel() string {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(release))
}

// layout names the cgroup layout by what is mounted.
func layout() string {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	v1, v2 := false, false
	for _, line := range strings.Split(string(mounts), "\n") {
		if fields := strings.Fields(line); len(fields) > 2 {
			v1 = v1 || fields[2] == "cgroup"
			v2 = v2 || fields[2] == "cgroup2"
		}
	}
	switch {
	case v1 && v2:
		return "hybrid"
	case v1:
		return "v1"
	}
	return "v2"
}
