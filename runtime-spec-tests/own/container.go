package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// container is the container of one test, and the TAP document about it.
type container struct {
	runtime, id    string
	bundle, rootfs string
	program        string
	asserted       int
}

type hook struct {
	Path string   `json:"path"`
	Args []string `json:"args"`
}

type hooks map[string][]hook

func newContainer() *container {
	bundle, err := os.MkdirTemp("", "own")
	check(err)
	c := &container{
		runtime: os.Getenv("RUNTIME"),
		id:      filepath.Base(bundle),
		bundle:  bundle,
		rootfs:  filepath.Join(bundle, "rootfs"),
	}
	if c.runtime == "" {
		c.runtime = "runc"
	}
	for _, dir := range []string{"proc", "dev"} {
		check(os.MkdirAll(filepath.Join(c.rootfs, dir), 0o755))
	}
	c.program = filepath.Join(c.rootfs, "own")
	self, err := os.ReadFile("/proc/self/exe")
	check(err)
	check(os.WriteFile(c.program, self, 0o755))
	fmt.Println("TAP version 13")
	return c
}

// journal is seen as /journal from inside the container.
func (c *container) journal() string { return filepath.Join(c.rootfs, "journal") }

func (c *container) entries() []entry { return readJournal(c.journal()) }

// hook records under the given name; the path is the host's.
func (c *container) hook(name string) hook {
	return hook{c.program, []string{"own", "record", name, c.journal()}}
}

// hookAfter records only once `after` is in the journal.
func (c *container) hookAfter(name, after string) hook {
	h := c.hook(name)
	h.Args = append(h.Args, after)
	return h
}

// hookInside is a hook whose path resolves in the container.
func (c *container) hookInside(name string) hook {
	return hook{"/own", []string{"own", "record", name, "/journal"}}
}

func (c *container) failingHook() hook { return hook{c.program, []string{"own", "fail"}} }

// configure writes config.json: new namespaces, /proc, and nothing else.
func (c *container) configure(hooks hooks, args ...string) {
	namespaces := []map[string]string{}
	for _, kind := range []string{"pid", "mount", "ipc", "uts", "network"} {
		namespaces = append(namespaces, map[string]string{"type": kind})
	}
	config := map[string]any{
		"ociVersion": "1.0.0",
		"process":    map[string]any{"args": args, "cwd": "/", "user": map[string]int{"uid": 0, "gid": 0}},
		"root":       map[string]any{"path": "rootfs"},
		"mounts":     []any{map[string]any{"destination": "/proc", "type": "proc", "source": "proc"}},
		"hooks":      hooks,
		"linux":      map[string]any{"namespaces": namespaces},
	}
	content, err := json.Marshal(config)
	check(err)
	check(os.WriteFile(filepath.Join(c.bundle, "config.json"), content, 0o644))
}

// call runs the runtime with files as standard output and error: a container keeps them open.
func (c *container) call(args ...string) (string, error) {
	output, err := os.CreateTemp(c.bundle, "output")
	check(err)
	defer output.Close()
	command := exec.Command(c.runtime, args...)
	command.Stdout, command.Stderr = output, output
	err = command.Run()
	text, readErr := os.ReadFile(output.Name())
	check(readErr)
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", args[0], err, strings.TrimSpace(string(text)))
	}
	return string(text), err
}

func (c *container) create() error {
	_, err := c.call("create", "--bundle", c.bundle, c.id)
	return err
}

func (c *container) start() error {
	_, err := c.call("start", c.id)
	return err
}

func (c *container) delete() error {
	_, err := c.call("delete", c.id)
	return err
}

// status is the status that `state` reports, or "" when it knows no such container.
func (c *container) status() string {
	text, err := c.call("state", c.id)
	if err != nil {
		return ""
	}
	var s state
	_ = json.Unmarshal([]byte(text), &s)
	return s.Status
}

func (c *container) waitStopped() bool {
	return waitFor(func() bool { return c.status() == "stopped" })
}

func (c *container) remove() {
	_, _ = c.call("delete", "--force", c.id)
	_ = os.RemoveAll(c.bundle)
}

// ok prints one assertion with the specification's sentence and, when it does not hold, what was seen.
func (c *container) ok(holds bool, sentence string, seen any) {
	c.asserted++
	if holds {
		fmt.Printf("ok %d - %s\n", c.asserted, sentence)
		return
	}
	fmt.Printf("not ok %d - %s\n", c.asserted, sentence)
	text, _ := json.Marshal(map[string]string{"error": fmt.Sprint(seen)})
	fmt.Printf("  ---\n  %s\n  ...\n", text)
}

func (c *container) plan() { fmt.Printf("1..%d\n", c.asserted) }
