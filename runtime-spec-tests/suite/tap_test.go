package main

import (
	"errors"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name, stdout, stderr string
		exit                 error
		want                 Verdict
		reason               string
	}{
		{"all ok", "TAP version 13\nok 1 - a\nok 2 - b\n1..2\n", "", nil, Passed, ""},
		{"plan first", "TAP version 13\n1..1\nok 1\n", "", nil, Passed, ""},
		{"one failed", "TAP version 13\nok 1\nnot ok 2 - b\n  ---\n  {\"error\": \"no\"}\n  ...\n1..2\n", "", nil, Failed, "not ok 2 - b: no"},
		{"failed inside a diagnostic only", "TAP version 13\nok 1\n  ---\n  not ok 7\n  ...\n1..1\n", "", nil, Passed, ""},
		{"truncated", "TAP version 13\nok 1\n", "", nil, Failed, "incomplete"},
		{"second document truncated", "TAP version 13\nok 1\n1..1\nTAP version 13\nok 1\n", "", nil, Failed, "incomplete"},
		{"short of its plan", "TAP version 13\n1..3\nok 1\n", "", nil, Failed, "3 planned, 1 seen"},
		{"exit status", "TAP version 13\nok 1\n1..1\n", "mount: denied\nexit status 1\n", errors.New("exit status 1"), Failed, "mount: denied"},
		{"silent success", "", "", nil, Passed, ""},
		{"silent failure", "", "boom\n", errors.New("exit status 1"), Failed, "boom"},
		{"skipped", "TAP version 13\n1..1\nok 1 # SKIP no such controller\n", "", nil, Skipped, "no such controller"},
		{"partly skipped", "TAP version 13\nok 1 # SKIP x\nok 2 - y\n1..2\n", "", nil, Passed, ""},
	} {
		got := judge(c.stdout, c.stderr, c.exit)
		if got.Verdict != c.want || !strings.Contains(got.Reason, c.reason) {
			t.Errorf("%s: got %v %q, want %v %q", c.name, got.Verdict, got.Reason, c.want, c.reason)
		}
	}
}
