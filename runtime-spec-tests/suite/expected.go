package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// Expectation is a failure that lightship cannot or must not avoid.
type Expectation struct {
	Reason string
	// Only, when set, matches every assertion that may fail; another one is a real failure.
	Only *regexp.Regexp
}

// Expected maps tests to their expectation; a test that is not in it must pass.
type Expected map[string]Expectation

var expectation = regexp.MustCompile(`^(\S+)(?: /(.+)/)?: (.+)$`)

// readExpected reads lines `test: reason` or `test /assertions/: reason`; an indented line
// continues the reason, and `#` starts a comment.
func readExpected(path string) (Expected, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseExpected(string(content))
}

func parseExpected(content string) (Expected, error) {
	expected := Expected{}
	last := ""
	for number, line := range strings.Split(content, "\n") {
		text := strings.TrimSpace(line)
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if strings.HasPrefix(line, " ") && last != "" {
			entry := expected[last]
			entry.Reason += " " + text
			expected[last] = entry
			continue
		}
		match := expectation.FindStringSubmatch(text)
		if match == nil {
			return nil, fmt.Errorf("expected.txt:%d: want `test: reason` or `test /assertions/: reason`", number+1)
		}
		last = match[1]
		entry := Expectation{Reason: match[3]}
		if match[2] != "" {
			only, err := regexp.Compile(match[2])
			if err != nil {
				return nil, fmt.Errorf("expected.txt:%d: %w", number+1, err)
			}
			entry.Only = only
		}
		expected[last] = entry
	}
	return expected, nil
}

// excuse is the reason why this failure was expected, or "" when it was not.
func (e Expected) excuse(test string, result Result) string {
	entry, known := e[test]
	if !known {
		return ""
	}
	if entry.Only != nil {
		for _, assertion := range result.Failures {
			if !entry.Only.MatchString(assertion) {
				return ""
			}
		}
		// It failed in another way than by an assertion.
		if len(result.Failures) == 0 {
			return ""
		}
	}
	return entry.Reason
}
