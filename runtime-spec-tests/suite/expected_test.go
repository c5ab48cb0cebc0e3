package main

import "testing"

func TestExpected(t *testing.T) {
	expected, err := parseExpected("# comment\na: first\n  second\nb /kernel memory/: no such file\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		test   string
		result Result
		want   string
	}{
		{"a", Result{Verdict: Failed}, "first second"},
		{"b", Result{Verdict: Failed, Failures: []string{"not ok 3 - kernel memory"}}, "no such file"},
		{"b", Result{Verdict: Failed, Failures: []string{"not ok 3 - kernel memory", "not ok 4 - swap"}}, ""},
		{"b", Result{Verdict: Failed, Reason: "timeout"}, ""},
		{"c", Result{Verdict: Failed}, ""},
	} {
		if got := expected.excuse(c.test, c.result); got != c.want {
			t.Errorf("%s %v: got %q, want %q", c.test, c.result.Failures, got, c.want)
		}
	}
	if _, err := parseExpected("no colon\n"); err == nil {
		t.Error("a line without a reason was accepted")
	}
}
