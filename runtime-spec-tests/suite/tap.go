package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Verdict is what one run of one program came to.
type Verdict int

const (
	Passed Verdict = iota
	Failed
	Skipped
)

func (v Verdict) String() string { return [...]string{"PASS", "FAIL", "SKIP"}[v] }

// Result is a verdict with its evidence.
type Result struct {
	Verdict Verdict
	// Reason is the first failing assertion, or why the output cannot be trusted.
	Reason string
	// Failures are all the failed assertions.
	Failures    []string
	Ok, Skipped int
	// PassedRuns is how many runs in a row passed.
	PassedRuns int
	// SkipReason is that of the first skipped assertion.
	SkipReason string
}

var (
	assertion = regexp.MustCompile(`^(not )?ok\b *(\d*)(.*)`)
	plan      = regexp.MustCompile(`^1\.\.(\d+)`)
	skip      = regexp.MustCompile(`(?i)# *skip`)
)

// judge reads a program's output. A pass is: exit status 0, no failed assertion at top level,
// and every TAP document complete. The programs print diagnostics, and the output of the
// program inside the container, indented: those lines are no assertions.
func judge(stdout, stderr string, exit error) Result {
	var r Result
	documents := documents(stdout)
	for _, document := range documents {
		r.count(document)
	}
	switch {
	case len(r.Failures) > 0:
		r.Verdict = Failed
	case exit != nil:
		r.fail(fmt.Sprintf("%v: %s", exit, lastLine(stderr)))
	case r.Ok == 0 && r.Skipped > 0 && r.Reason == "":
		r.Verdict, r.Reason = Skipped, r.SkipReason
	case r.Reason != "":
		r.Verdict = Failed
	}
	return r
}

func (r *Result) fail(reason string) {
	r.Verdict = Failed
	if r.Reason == "" || len(r.Failures) == 0 {
		r.Reason = shorten(reason)
	}
}

// documents splits the output at each `TAP version` header. Output without a header (two
// programs say only by their exit status what happened) gives none.
func documents(stdout string) [][]string {
	var all [][]string
	for _, line := range strings.Split(stdout, "\n") {
		if strings.HasPrefix(line, "TAP version") {
			all = append(all, nil)
		}
		if len(all) > 0 {
			all[len(all)-1] = append(all[len(all)-1], line)
		}
	}
	return all
}

// count adds up one document and remembers the first thing wrong with it.
func (r *Result) count(document []string) {
	planned, seen := -1, 0
	for i, line := range document {
		if m := plan.FindStringSubmatch(line); m != nil {
			planned, _ = strconv.Atoi(m[1])
			continue
		}
		m := assertion.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		seen++
		switch {
		case skip.MatchString(line):
			r.Skipped++
			if r.SkipReason == "" {
				r.SkipReason = strings.TrimSpace(line[skip.FindStringIndex(line)[1]:])
			}
		case m[1] == "":
			r.Ok++
		default:
			if len(r.Failures) == 0 {
				r.Reason = shorten(line + cause(document[i+1:]))
			}
			r.Failures = append(r.Failures, line)
		}
	}
	if planned != seen && r.Reason == "" {
		r.Reason = fmt.Sprintf("incomplete TAP document: %d planned, %d seen (-1: no plan)", planned, seen)
	}
}

// cause finds in the diagnostic block that follows an assertion what the runtime said.
func cause(following []string) string {
	if len(following) == 0 || strings.TrimSpace(following[0]) != "---" {
		return ""
	}
	var block []string
	for _, line := range following[1:] {
		if strings.TrimSpace(line) == "..." {
			break
		}
		block = append(block, line)
	}
	var diagnostic struct{ Error, Stderr, Actual, Expected any }
	if json.Unmarshal([]byte(strings.Join(block, "\n")), &diagnostic) != nil {
		return ""
	}
	switch {
	case diagnostic.Stderr != nil && diagnostic.Stderr != "":
		return fmt.Sprintf(": %v", diagnostic.Stderr)
	case diagnostic.Error != nil:
		return fmt.Sprintf(": %v", diagnostic.Error)
	case diagnostic.Expected != nil:
		return fmt.Sprintf(": expected %v, actual %v", diagnostic.Expected, diagnostic.Actual)
	}
	return ""
}

// lastLine is the last line that says more than "exit status 1".
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if !strings.HasPrefix(lines[i], "exit status") {
			return lines[i]
		}
	}
	return "no message"
}

func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 300 {
		return string(runes[:300]) + "…"
	}
	return text
}
