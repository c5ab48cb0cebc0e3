package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documents are those of the specification that speak to a Linux runtime.
var documents = []string{"bundle.md", "config.md", "config-linux.md", "runtime.md", "runtime-linux.md", "features.md", "features-linux.md"}

var (
	demand  = regexp.MustCompile(`\b(MUST|SHALL|REQUIRED)\b`)
	heading = regexp.MustCompile(`^#+ +(?:<a [^>]*>)?(?:</a>)? *(.*)$`)
	link    = regexp.MustCompile(`\[((?:[^\[\]]|\[\])*)\](?:\([^()]*\)|\[[^\[\]]*\])`)
)

// plain is the text without emphasis, the targets of links, and line breaks.
func plain(text string) string {
	text = strings.ReplaceAll(link.ReplaceAllString(text, "$1"), "*", "")
	return strings.Join(strings.Fields(text), " ")
}

// sections reads a document: the plain text below each of its headings, without examples.
func sections(t *testing.T, path string) map[string]string {
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all, current, example := map[string]string{}, "", false
	for _, line := range strings.Split(string(content), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			example = !example
		} else if found := heading.FindStringSubmatch(line); found != nil && !example {
			current = found[1]
		} else if !example {
			all[current] += line + "\n"
		}
	}
	for name, text := range all {
		all[name] = plain(text)
	}
	return all
}

// elsewhere reads elsewhere.txt, and the suite's tests that it names.
func elsewhere(t *testing.T) (passages []passage, suite []string) {
	file, err := os.Open("elsewhere.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		text := strings.TrimSpace(line)
		switch {
		case text == "" || line[0] == '#':
		case line[0] != ' ':
			name, head, _ := strings.Cut(text, ": ")
			passages = append(passages, in(name, head))
		case !strings.HasPrefix(line, "    "):
			tests, isSuite := strings.CutPrefix(text, "suite: ")
			if isSuite {
				suite = append(suite, strings.Fields(tests)...)
			} else if !strings.HasPrefix(text, "reason: ") {
				t.Errorf("elsewhere.txt: neither a test nor a reason: %s", text)
			}
		default:
			last := &passages[len(passages)-1]
			last.sentences = append(last.sentences, text)
		}
	}
	return passages, suite
}

func moduleDirectory(t *testing.T, module string) string {
	output, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(output))
}

// TestEveryDemandIsAccountedFor covers with the quoted sentences each place of the specification
// that says MUST, SHALL or REQUIRED.
func TestEveryDemandIsAccountedFor(t *testing.T) {
	directory := moduleDirectory(t, "github.com/opencontainers/runtime-spec")
	text := map[string]map[string]string{}
	for _, document := range documents {
		text[document] = sections(t, filepath.Join(directory, document))
	}
	passages, _ := elsewhere(t)
	for _, test := range tests {
		passages = append(passages, test.passages...)
	}
	accounted := map[string][]bool{}
	for _, p := range passages {
		section := text[p.file][p.heading]
		key := p.file + ": " + p.heading
		if accounted[key] == nil {
			accounted[key] = make([]bool, len(section))
		}
		for _, sentence := range p.sentences {
			if !strings.Contains(section, sentence) {
				t.Errorf("%s does not say: %s", key, sentence)
			}
			for at := strings.Index(section, sentence); at >= 0; {
				for i := range sentence {
					accounted[key][at+i] = true
				}
				next := strings.Index(section[at+1:], sentence)
				if next < 0 {
					break
				}
				at += 1 + next
			}
		}
	}
	for document, headings := range text {
		for name, section := range headings {
			key := document + ": " + name
			for _, at := range demand.FindAllStringIndex(section, -1) {
				if accounted[key] == nil || !accounted[key][at[0]] {
					t.Errorf("%s: not accounted for: …%s…", key, section[max(0, at[0]-100):min(len(section), at[1]+100)])
				}
			}
		}
	}
}

func TestSuiteHasTheTests(t *testing.T) {
	directory := moduleDirectory(t, "github.com/opencontainers/runtime-tools")
	_, suite := elsewhere(t)
	for _, name := range suite {
		if _, err := os.Stat(filepath.Join(directory, "validation", name)); err != nil {
			t.Errorf("the suite has no test %s", name)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, test := range tests {
		if seen[test.name] {
			t.Errorf("two tests %s", test.name)
		}
		seen[test.name] = true
	}
}
