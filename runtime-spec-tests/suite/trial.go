package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// timeout of one program: the slowest takes 14 s where it passes.
const timeout = 120 * time.Second

// readsCgroups matches the tests that look at the container's cgroups from outside. On cgroup v2 their answer is always
// "cgroupv2 is not supported yet".
var readsCgroups = regexp.MustCompile(`^linux_cgroups_|^delete_(only_create_)?resources$`)

func hasCgroupV1() bool {
	mounts, err := os.ReadFile("/proc/self/mounts")
	return err == nil && bytes.Contains(mounts, []byte(" cgroup "))
}

// Trials is the place where programs are run: work holds what build made, and what a program leaves.
type Trials struct {
	work    string
	repeat  int
	verbose bool
}

func (t *Trials) wrapper() string   { return filepath.Join(t.work, "runtime") }
func (t *Trials) stateRoot() string { return filepath.Join(t.work, "state") }
func (t *Trials) scratch() string   { return filepath.Join(t.work, "tmp") }

// runOne runs one test and removes everything it left.
func (t *Trials) runOne(runtime Runtime, test string) (Result, error) {
	if readsCgroups.MatchString(test) && !hasCgroupV1() {
		return Result{Verdict: Skipped, Reason: "runtime-tools cannot read cgroup v2"}, nil
	}
	for _, dir := range []string{t.stateRoot(), t.scratch()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return Result{}, err
		}
	}
	program := []string{filepath.Join(t.work, "bin", test)}
	if own, found := strings.CutPrefix(test, "own/"); found {
		program = []string{filepath.Join(t.work, "own"), own}
		// Our own tests ask for 1.0.0 where the version is not what they are about.
		runtime.OciVersion = ""
	}
	if err := runtime.writeWrapper(t.wrapper(), t.stateRoot()); err != nil {
		return Result{}, err
	}
	var stdout, stderr bytes.Buffer
	command := t.isolated(runtime, program...)
	command.Stdout, command.Stderr = &stdout, &stderr
	exit := runWithin(command, timeout)
	if t.verbose && exit != nil {
		fmt.Printf("%s%s", stdout.String(), stderr.String())
	}
	result := judge(stdout.String(), stderr.String(), exit)
	if t.verbose && result.Verdict == Failed && exit == nil {
		fmt.Printf("%s%s", stdout.String(), stderr.String())
	}
	return result, t.clean(runtime)
}

// isolated gives the command a mount namespace of its own: a container without a mount
// namespace mounts /proc, /sys and /dev into its bundle in that of its caller, and they would
// stay there for the host, and for whoever removes the bundle, to find.
func (t *Trials) isolated(runtime Runtime, program ...string) *exec.Cmd {
	prepare := ":"
	if runtime.V1Only {
		prepare = "if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi"
	}
	script := "set -e; " + prepare + `; exec "$@"`
	command := exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c", script, "sh"}, program...)...)
	command.Dir = t.work
	command.Env = append(os.Environ(), "RUNTIME="+t.wrapper(), "TMPDIR="+t.scratch())
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return command
}

// runWithin runs the command, and kills its process group when the time is over. A container
// that keeps the command's pipes open does not hold it up: WaitDelay closes them.
func runWithin(command *exec.Cmd, limit time.Duration) error {
	command.WaitDelay = time.Second
	if err := command.Start(); err != nil {
		return err
	}
	timedOut := false
	timer := time.AfterFunc(limit, func() {
		timedOut = true
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
	})
	err := command.Wait()
	timer.Stop()
	if timedOut {
		return fmt.Errorf("timeout after %s", limit)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	return err
}

// clean removes containers, cgroups and bundles. It touches only what lies in our own state
// root, in our own scratch folder, and the cgroup paths that are fixed in the suite.
func (t *Trials) clean(runtime Runtime) error {
	containers, err := os.ReadDir(t.stateRoot())
	if err != nil {
		return err
	}
	for _, container := range containers {
		// Not every entry is a container (locks, caches): a refusal is no error here.
		_ = runWithin(t.isolated(runtime, t.wrapper(), "delete", "--force", container.Name()), 20*time.Second)
	}
	if err := os.RemoveAll(t.stateRoot()); err != nil {
		return err
	}
	for _, root := range cgroupRoots() {
		for _, path := range []string{"cgrouptest", "testdir/cgrouptest/container", "testdir/cgrouptest", "testdir"} {
			_ = os.Remove(filepath.Join(root, path))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if strings.Contains(string(mounts), t.scratch()+"/") {
		return fmt.Errorf("mounts are left below %s: unmount them before anything is removed there", t.scratch())
	}
	return os.RemoveAll(t.scratch())
}

// cgroupRoots are the directories below which a container's cgroup can be: every hierarchy's
// root, and our own cgroup in it, which relative paths start from.
func cgroupRoots() []string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	own, _ := os.ReadFile("/proc/self/cgroup")
	var roots []string
	lines := bufio.NewScanner(bytes.NewReader(mounts))
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(before)
		if !strings.HasPrefix(after, "cgroup") || len(fields) < 5 {
			continue
		}
		roots = append(roots, fields[4])
		for _, line := range strings.Split(string(own), "\n") {
			if parts := strings.SplitN(line, ":", 3); len(parts) == 3 && parts[2] != "/" {
				roots = append(roots, filepath.Join(fields[4], parts[2]))
			}
		}
	}
	return roots
}
