package main

import (
	"fmt"
	"os"
	"strings"
)

var marks = [...]string{"pass", "**fail**", "skip"}

// results renders RESULTS.md: totals, a row per test, and the reason of every failure.
func results(runtimes []Runtime, columns []map[string]Result, tests []string, expected Expected) string {
	var page strings.Builder
	fmt.Fprintf(&page, "# The runtime-tools validation suite\n\n")
	fmt.Fprintf(&page, "Written by `runtime-spec-tests/run --peers`. Module `%s`, %d programs, and %d tests of our own (`own/`), for\n", module, len(tests)-len(ownTests), len(ownTests))
	fmt.Fprintf(&page, "the upstream hook tests of the same names print a diagnostic and cannot fail.\n")
	fmt.Fprintf(&page, "Host: Linux %s, cgroups %s.\n\n", kernel(), layout())
	fmt.Fprintf(&page, "| runtime | passed | failed | skipped | assertions ok / not ok / skipped |\n|---|---|---|---|---|\n")
	for i, runtime := range runtimes {
		var count [3]int
		var ok, notOk, skipped int
		for _, result := range columns[i] {
			count[result.Verdict]++
			ok, notOk, skipped = ok+result.Ok, notOk+len(result.Failures), skipped+result.Skipped
		}
		fmt.Fprintf(&page, "| %s | %d | %d | %d | %d / %d / %d |\n", runtime.Describe(), count[Passed], count[Failed], count[Skipped], ok, notOk, skipped)
	}
	fmt.Fprintf(&page, "\n| test |")
	for _, runtime := range runtimes {
		fmt.Fprintf(&page, " %s |", runtime.Name)
	}
	fmt.Fprintf(&page, "\n|---|%s\n", strings.Repeat("---|", len(runtimes)))
	for _, test := range tests {
		fmt.Fprintf(&page, "| %s |", test)
		for _, column := range columns {
			fmt.Fprintf(&page, " %s |", marks[column[test].Verdict])
		}
		fmt.Fprintln(&page)
	}
	for i, runtime := range runtimes {
		fmt.Fprintf(&page, "\n## Why %s fails\n\n", runtime.Name)
		for _, test := range tests {
			result := columns[i][test]
			if result.Verdict != Failed {
				continue
			}
			reason := "`" + strings.ReplaceAll(result.Reason, "`", "'") + "`"
			if excuse := expected.excuse(test, result); i == 0 && excuse != "" {
				reason = excuse
			}
			fmt.Fprintf(&page, "- %s: %s\n", test, reason)
		}
	}
	return page.String()
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
