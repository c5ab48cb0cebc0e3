// Package coverage holds docs/spec-coverage.md against the specification's JSON schema and against the tests that it
// names.
package coverage

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	root = "../.."
	page = root + "/docs/spec-coverage.md"
	spec = "github.com/opencontainers/runtime-spec"
	// The programs of the suite are folders of this module.
	tools = "github.com/opencontainers/runtime-tools"
)

// Other platforms than Linux.
var elsewhere = regexp.MustCompile(`^/(freebsd|solaris|vm|windows|zos)(/|$)`)

func TestEveryPropertyHasARow(t *testing.T) {
	rows := map[string]bool{}
	for _, row := range table(t) {
		for _, property := range properties(row[0]) {
			rows[property] = true
		}
	}
	schema := schema{dir: module(t, spec) + "/schema", documents: map[string]any{}, properties: map[string]bool{}}
	schema.walk(t, "config-schema.json", schema.document(t, "config-schema.json"), "")
	for property := range schema.properties {
		if !elsewhere.MatchString(property) && !covered(property, rows) {
			t.Errorf("%s: no row in %s", property, page)
		}
	}
	for property := range rows {
		if !schema.properties[property] {
			t.Errorf("%s: a row for a property that the schema does not have", property)
		}
	}
}

// covered tells whether a property has a row, or everything in it has.
func covered(property string, rows map[string]bool) bool {
	for row := range rows {
		rest, below := strings.CutPrefix(row, property)
		if below && (rest == "" || strings.ContainsAny(rest[:1], "/[{")) {
			return true
		}
	}
	return false
}

func TestEveryTestExists(t *testing.T) {
	sources := sources(t)
	for _, row := range table(t) {
		tests := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[2], -1)
		if len(tests) == 0 {
			t.Errorf("%s: no test", row[0])
		}
		for _, test := range tests {
			if !exists(t, test[1], sources) {
				t.Errorf("%s: there is no test %s", row[0], test[1])
			}
		}
	}
}

func exists(t *testing.T, test string, sources map[string]string) bool {
	if name, ok := strings.CutPrefix(test, "suite "); ok {
		_, err := os.Stat(filepath.Join(module(t, tools), "validation", name))
		return err == nil
	}
	if name, ok := strings.CutPrefix(test, "own "); ok {
		return found(sources, []string{"runtime-spec-tests/own"}, regexp.MustCompile(`must\("`+name+`",`))
	}
	path := strings.Split(test, "::")
	function := regexp.MustCompile(`\bfn ` + path[len(path)-1] + `\(`)
	dir := "crates/" + path[0]
	if path[0] == "bundle" || path[0] == "docker" {
		dir = "integration/tests/" + path[0]
	}
	return found(sources, append([]string{dir}, path[1:len(path)-1]...), function)
}

// found looks in the files whose path has all the parts.
func found(sources map[string]string, parts []string, text *regexp.Regexp) bool {
	for path, source := range sources {
		inside := strings.HasPrefix(path, parts[0]+"/")
		for _, part := range parts[1:] {
			inside = inside && (strings.Contains(path, "/"+part+"/") || strings.Contains(path, "/"+part+"."))
		}
		if inside && text.MatchString(source) {
			return true
		}
	}
	return false
}

// table reads the cells of every row of the page.
func table(t *testing.T) [][]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for _, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		heading := strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| property |") || strings.HasPrefix(line, "| | ")
		if strings.HasPrefix(line, "|") && !heading {
			if len(cells) != 3 {
				t.Fatalf("%d cells: %s", len(cells), line)
			}
			rows = append(rows, cells)
		}
	}
	return rows
}

// properties expands `/a/{b,c}[]/d` to /a/b[]/d and /a/c[]/d.
func properties(cell string) []string {
	var all []string
	for _, span := range regexp.MustCompile("`(/[^`]+)`").FindAllStringSubmatch(cell, -1) {
		all = append(all, expand(span[1])...)
	}
	return all
}

func expand(property string) []string {
	braces := regexp.MustCompile(`\{([^{}]+)\}`).FindStringSubmatchIndex(property)
	if braces == nil {
		return []string{property}
	}
	var all []string
	for _, one := range strings.Split(property[braces[2]:braces[3]], ",") {
		all = append(all, expand(property[:braces[0]]+one+property[braces[1]:])...)
	}
	return all
}

// schema walks JSON schema documents that refer to each other.
type schema struct {
	dir        string
	documents  map[string]any
	properties map[string]bool
}

func (s *schema) document(t *testing.T, name string) any {
	t.Helper()
	if s.documents[name] == nil {
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		var document any
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatal(name, err)
		}
		s.documents[name] = document
	}
	return s.documents[name]
}

// walk notes every property below a node: `[]` stands for any item, `{}` for any key.
func (s *schema) walk(t *testing.T, file string, node any, place string) {
	object, ok := node.(map[string]any)
	if !ok {
		return
	}
	if reference, ok := object["$ref"].(string); ok {
		target, pointer, _ := strings.Cut(reference, "#")
		if target == "" {
			target = file
		}
		node := s.document(t, target)
		for _, key := range strings.FieldsFunc(pointer, func(r rune) bool { return r == '/' }) {
			node = node.(map[string]any)[key]
		}
		s.walk(t, target, node, place)
	}
	for _, key := range []string{"allOf", "anyOf", "oneOf"} {
		alternatives, _ := object[key].([]any)
		for _, alternative := range alternatives {
			s.walk(t, file, alternative, place)
		}
	}
	properties, _ := object["properties"].(map[string]any)
	for name, property := range properties {
		s.properties[place+"/"+name] = true
		s.walk(t, file, property, place+"/"+name)
	}
	s.walk(t, file, object["items"], place+"[]")
	s.walk(t, file, object["additionalProperties"], place+"{}")
	patterns, _ := object["patternProperties"].(map[string]any)
	for _, pattern := range patterns {
		s.walk(t, file, pattern, place+"{}")
	}
}

// sources reads what may hold a test, by the path from the root of the project.
func sources(t *testing.T) map[string]string {
	t.Helper()
	sources := map[string]string{}
	for _, dir := range []string{"crates", "integration/tests", "runtime-spec-tests/own"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !regexp.MustCompile(`\.(rs|go)$`).MatchString(path) {
				return err
			}
			text, err := os.ReadFile(path)
			relative, _ := filepath.Rel(root, path)
			sources[relative] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return sources
}

// module is the folder of a module that go.mod pins.
func module(t *testing.T, path string) string {
	t.Helper()
	output, err := exec.Command("go", "mod", "download", "-json", path).Output()
	if err != nil {
		t.Fatal(path, err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(output, &module); err != nil {
		t.Fatal(err)
	}
	return module.Dir
}
