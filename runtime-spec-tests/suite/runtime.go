package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Runtime is a runtime under test and the circumstances it needs.
type Runtime struct {
	Name, Path string
	// V1Only hides the cgroup2 mount of the hybrid layout.
	V1Only bool
	// OciVersion replaces the version in each config.json, when not empty.
	OciVersion string
}

// lightship is the runtime at path or, without one, the newest release build of the workspace.
func lightship(home, path string) (Runtime, error) {
	if path != "" {
		resolved, err := exec.LookPath(path)
		if err != nil {
			return Runtime{}, err
		}
		resolved, err = filepath.Abs(resolved)
		return Runtime{Name: filepath.Base(resolved), Path: resolved}, err
	}
	target := os.Getenv("CARGO_TARGET_DIR")
	if target == "" {
		target = filepath.Join(filepath.Dir(home), "target")
	}
	triple, _ := filepath.Glob(filepath.Join(target, "*", "release", "lightship"))
	plain, _ := filepath.Glob(filepath.Join(target, "release", "lightship"))
	newest := ""
	for _, candidate := range append(triple, plain...) {
		if newest == "" || modified(candidate) > modified(newest) {
			newest = candidate
		}
	}
	if newest == "" {
		return Runtime{}, errors.New("no lightship found: run `cargo build --release` first, or name a runtime with --runtime")
	}
	return Runtime{Name: "lightship", Path: newest}, nil
}

func modified(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// Version is the first line of `--version`.
func (r Runtime) Version() string {
	output, err := exec.Command(r.Path, "--version").Output()
	if err != nil {
		return r.Name
	}
	return strings.TrimSpace(strings.SplitN(string(output), "\n", 2)[0])
}

// Describe names the runtime and what had to be changed for it.
func (r Runtime) Describe() string {
	var notes []string
	if r.V1Only {
		notes = append(notes, "only cgroup v1 mounted")
	}
	if r.OciVersion != "" {
		notes = append(notes, "ociVersion lowered to "+r.OciVersion)
	}
	if len(notes) == 0 {
		return r.Version()
	}
	return fmt.Sprintf("%s (%s)", r.Version(), strings.Join(notes, ", "))
}

// writeWrapper writes the script that the programs call as the runtime: it adds a state root
// of our own, so that what a program leaves behind can be found and removed.
func (r Runtime) writeWrapper(script, stateRoot string) error {
	lower := ""
	if r.OciVersion != "" {
		lower = fmt.Sprintf(`if [ "$1" = create ]; then
    bundle=
    previous=
    for argument; do
        [ "$previous" = --bundle ] && bundle=$argument
        previous=$argument
    done
    [ -n "$bundle" ] && sed -i 's/"ociVersion": *"1\.[0-9.]*"/"ociVersion": "%s"/' "$bundle/config.json"
fi
`, r.OciVersion)
	}
	text := fmt.Sprintf("#!/bin/sh\n%sexec '%s' --root '%s' \"$@\"\n", lower, r.Path, stateRoot)
	return os.WriteFile(script, []byte(text), 0o755)
}
