package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// patience is how long a test waits for something that a correct runtime has done already.
const patience = 5 * time.Second

// state is what a hook reads on its standard input (runtime.md, State).
type state struct {
	OciVersion  string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Status      string            `json:"status"`
	Pid         int               `json:"pid"`
	Bundle      string            `json:"bundle"`
	Annotations map[string]string `json:"annotations"`
}

// entry is what a hook or the container's process saw when it ran.
type entry struct {
	Who string
	// State is what came on standard input.
	State state
	// Mount and Alive: the mount namespace it ran in, and whether the state's pid was alive.
	Mount string
	Alive bool
	// SawAfter: whether the entry it was told to wait for was there.
	SawAfter bool
}

// record appends an entry to the journal. With `after`, it first waits for that entry: a hook
// which must run after the program can see that the program has run, without racing it.
func record(who, journal, after string) error {
	e := entry{Who: who}
	if who != "process" {
		input, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		// An empty or broken state stays the zero value, which the test then refuses.
		_ = json.Unmarshal(input, &e.State)
	}
	// Without /proc (as a createContainer hook may find it) the name stays empty.
	e.Mount, _ = os.Readlink("/proc/self/ns/mnt")
	e.Alive = e.State.Pid > 0 && exists(fmt.Sprintf("/proc/%d", e.State.Pid))
	if after != "" {
		e.SawAfter = waitFor(func() bool { return contains(readJournal(journal), after) })
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.Write(append(line, '\n'))
	return err
}

// readJournal returns the entries so far; no file means none.
func readJournal(path string) []entry {
	content, _ := os.ReadFile(filepath.Clean(path))
	var entries []entry
	for _, line := range strings.Split(string(content), "\n") {
		var e entry
		if json.Unmarshal([]byte(line), &e) == nil {
			entries = append(entries, e)
		}
	}
	return entries
}

func contains(entries []entry, who string) bool {
	_, found := find(entries, who)
	return found
}

func find(entries []entry, who string) (entry, bool) {
	for _, e := range entries {
		if e.Who == who {
			return e, true
		}
	}
	return entry{}, false
}

func names(entries []entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Who)
	}
	return strings.Join(all, " ")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// waitFor polls until the condition holds, for as long as patience lasts.
func waitFor(condition func() bool) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return condition()
}
