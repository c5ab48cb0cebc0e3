package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
)

const module = "github.com/opencontainers/runtime-tools"

// build puts the pinned module's programs into work/bin and its root file system and static
// `runtimetest` into work, where the programs look for them, and returns the tests' names.
func build(home, work string) ([]string, error) {
	bin := filepath.Join(work, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, err
	}
	if _, err := goTool(home, nil, "build", "-o", bin+"/", module+"/validation/..."); err != nil {
		return nil, err
	}
	// These run inside containers, which have no libraries.
	static := []string{"CGO_ENABLED=0"}
	if _, err := goTool(home, static, "build", "-o", filepath.Join(work, "runtimetest"), module+"/cmd/runtimetest"); err != nil {
		return nil, err
	}
	if _, err := goTool(home, static, "build", "-o", filepath.Join(work, "own"), "./own"); err != nil {
		return nil, err
	}
	source, err := goTool(home, nil, "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return nil, err
	}
	tarball := fmt.Sprintf("rootfs-%s.tar.gz", runtime.GOARCH)
	content, err := os.ReadFile(filepath.Join(source, tarball))
	if err != nil {
		return nil, fmt.Errorf("the suite has no root file system for %s: %w", runtime.GOARCH, err)
	}
	if err := os.WriteFile(filepath.Join(work, tarball), content, 0o644); err != nil {
		return nil, err
	}
	packages, err := goTool(home, nil, "list", "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`, module+"/validation/...")
	if err != nil {
		return nil, err
	}
	var tests []string
	for _, path := range strings.Fields(packages) {
		tests = append(tests, filepath.Base(path))
	}
	return withOwn(work, tests)
}

// findBuilt returns the names of the tests that build has left in work.
func findBuilt(_, work string) ([]string, error) {
	programs, err := os.ReadDir(filepath.Join(work, "bin"))
	if err != nil {
		return nil, err
	}
	var tests []string
	for _, program := range programs {
		tests = append(tests, program.Name())
	}
	return withOwn(work, tests)
}

// withOwn appends the names of our own tests.
func withOwn(work string, tests []string) ([]string, error) {
	sort.Strings(tests)
	own, err := exec.Command(filepath.Join(work, "own"), "list").Output()
	if err != nil {
		return nil, fmt.Errorf("own list: %w", err)
	}
	for _, name := range strings.Fields(string(own)) {
		tests = append(tests, "own/"+name)
	}
	return tests, nil
}

// goTool runs `go` in home and returns its standard output, trimmed.
func goTool(home string, env []string, args ...string) (string, error) {
	command := exec.Command("go", args...)
	command.Dir = home
	command.Env = append(os.Environ(), env...)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(output)), nil
}
