package main

import (
	"fmt"
	"os"
	"strings"
)

// Expected maps the tests that lightship cannot or must not pass to the reason.
type Expected map[string]string

// readExpected reads lines `test: reason`; an indented line continues the reason, and `#`
// starts a comment.
func readExpected(path string) (Expected, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	expected := Expected{}
	last := ""
	for number, line := range strings.Split(string(content), "\n") {
		text := strings.TrimSpace(line)
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if strings.HasPrefix(line, " ") && last != "" {
			expected[last] += " " + text
			continue
		}
		test, reason, found := strings.Cut(text, ": ")
		if !found {
			return nil, fmt.Errorf("%s:%d: want `test: reason`", path, number+1)
		}
		last = test
		expected[test] = strings.TrimSpace(reason)
	}
	return expected, nil
}
