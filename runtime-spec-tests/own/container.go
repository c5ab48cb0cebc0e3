package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// container is the container of one test, and the TAP document about it.
type container struct {
	runtime, id    string
	bundle, rootfs string
	// config becomes config.json at create.
	config object
	// createFlags are further arguments of create.
	createFlags []string
	// program is this program in the rootfs, as the host sees it.
	program  string
	sentence string
	asserted int
}

// limit of one call of the runtime: what takes longer hangs.
const limit = 20 * time.Second

// newContainer makes a bundle of the suite's root file system, which has a busybox. The sentence is
// the one that the test's assertions are about.
func newContainer(sentence string) *container {
	bundle, err := os.MkdirTemp("", "own")
	check(err)
	c := &container{
		runtime:  os.Getenv("RUNTIME"),
		id:       filepath.Base(bundle),
		bundle:   bundle,
		rootfs:   filepath.Join(bundle, "rootfs"),
		config:   defaultConfig(),
		sentence: sentence,
	}
	if c.runtime == "" {
		c.runtime = "runc"
	}
	check(os.Mkdir(c.rootfs, 0o755))
	check(exec.Command("tar", "-xf", fmt.Sprintf("rootfs-%s.tar.gz", runtime.GOARCH), "-C", c.rootfs).Run())
	c.program = filepath.Join(c.rootfs, "own")
	self, err := os.ReadFile("/proc/self/exe")
	check(err)
	check(os.WriteFile(c.program, self, 0o755))
	fmt.Println("TAP version 13")
	return c
}

// another is the same test's next container: a new id, the same bundle and a fresh config.
func (c *container) another() {
	_, _ = c.call("delete", "--force", c.id)
	c.id = fmt.Sprintf("%s.%d", filepath.Base(c.bundle), c.asserted)
	c.config = defaultConfig()
}

// call runs the runtime with files as standard output and error: a container keeps them open.
// The text is standard output's; an error has that of standard error.
func (c *container) call(args ...string) (string, error) {
	stdout, err := os.Create(filepath.Join(c.bundle, "stdout."+args[0]))
	check(err)
	defer stdout.Close()
	stderr, err := os.Create(filepath.Join(c.bundle, "stderr."+args[0]))
	check(err)
	defer stderr.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, c.runtime, args...)
	command.Stdout, command.Stderr = stdout, stderr
	failure := command.Run()
	if ctx.Err() != nil {
		failure = fmt.Errorf("no end after %s", limit)
	}
	if failure != nil {
		return "", fmt.Errorf("%s: %w: %s", args[0], failure, strings.TrimSpace(read(stderr.Name())))
	}
	return read(stdout.Name()), nil
}

// create writes config.json, if there is a config, and creates the container.
func (c *container) create() error {
	if c.config != nil {
		content, err := json.Marshal(c.config)
		check(err)
		check(os.WriteFile(filepath.Join(c.bundle, "config.json"), content, 0o644))
	}
	args := append([]string{"create", "--bundle", c.bundle}, c.createFlags...)
	_, err := c.call(append(args, c.id)...)
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

// args sets the command line of the container's process.
func (c *container) args(args ...any) { c.set("/process/args", append(list{}, args...)) }

// launch creates and starts a container that runs the shell script.
func (c *container) launch(script string) error {
	c.args("sh", "-c", script)
	if err := c.create(); err != nil {
		return err
	}
	return c.start()
}

// output is what the shell script prints in the container, until it ends.
func (c *container) output(script string) (string, error) {
	if err := c.launch(script); err != nil {
		return "", err
	}
	if !c.waitStopped() {
		return "", fmt.Errorf("the script does not end: %s", script)
	}
	return strings.TrimSpace(read(filepath.Join(c.bundle, "stdout.create"))), nil
}

// state is what `state` reports; the zero value when it knows no such container.
func (c *container) state() state {
	var s state
	if text, err := c.call("state", c.id); err == nil {
		_ = json.Unmarshal([]byte(text), &s)
	}
	return s
}

func (c *container) status() string { return c.state().Status }

func (c *container) waitStopped() bool {
	return waitFor(func() bool { return c.status() == "stopped" })
}

func (c *container) remove() {
	_, _ = c.call("delete", "--force", c.id)
	c.removeCgroups()
	_ = os.RemoveAll(c.bundle)
}

// file is a path of the container as the host sees it.
func (c *container) file(path string) string { return filepath.Join(c.rootfs, path) }

// write puts a file into the container's root file system.
func (c *container) write(path, content string) {
	check(os.MkdirAll(filepath.Dir(c.file(path)), 0o755))
	check(os.WriteFile(c.file(path), []byte(content), 0o644))
}

// read is the file's content, or "" where there is none.
func read(path string) string {
	content, _ := os.ReadFile(path)
	return string(content)
}

// prints asserts that the script, run in the container, prints what is wanted.
func (c *container) prints(want, script string) {
	got, err := c.output(script)
	c.ok(err == nil && got == want, fmt.Sprintf("`%s` prints %q", script, want), seen(got, err))
}

// accepted asserts that the container is created and its process runs.
func (c *container) accepted(what string) {
	err := c.create()
	if err == nil {
		err = c.start()
	}
	c.ok(err == nil, what, err)
}

// refused asserts that create generates an error and no new container, or, since a runtime may
// apply the process's properties as late as that, that start generates one.
func (c *container) refused(what string) {
	err := c.create()
	if err != nil {
		c.ok(c.status() == "", what+", no new container", c.status())
		return
	}
	c.ok(c.start() != nil, what, "create and start succeed")
}

// ok prints one assertion: the specification's sentence, the case, and, when it does not hold,
// what was seen.
func (c *container) ok(holds bool, what string, seen any) {
	c.asserted++
	text := c.sentence
	if what != "" {
		text += " (" + what + ")"
	}
	text = strings.ReplaceAll(text, "#", "\\#")
	if holds {
		fmt.Printf("ok %d - %s\n", c.asserted, text)
		return
	}
	fmt.Printf("not ok %d - %s\n", c.asserted, text)
	diagnostic, _ := json.Marshal(map[string]string{"error": fmt.Sprint(seen)})
	fmt.Printf("  ---\n  %s\n  ...\n", diagnostic)
}

// skip prints that an assertion could not be made on this machine.
func (c *container) skip(reason string) {
	c.asserted++
	fmt.Printf("ok %d - # SKIP %s\n", c.asserted, reason)
}

// need fails the test when something that is not its subject does not work.
func (c *container) need(err error) {
	if err == nil {
		return
	}
	c.ok(false, "", err)
	c.plan()
	c.remove()
	os.Exit(0)
}

func (c *container) plan() { fmt.Printf("1..%d\n", c.asserted) }

// seen joins what a script printed and how it failed.
func seen(output string, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%q", output)
}
