package main

import (
	"fmt"
	"os"
	"strings"
)

var processTests = []test{
	must("console_size", consoleSize, in("config.md", "Process",
		"Runtimes MUST ignore `consoleSize` if `terminal` is `false` or unset.")),
	must("cwd_relative", cwdRelative, in("config.md", "Process", "This value MUST be an absolute path.")),
	must("args_empty", argsEmpty, in("config.md", "Process",
		"This specification extends the IEEE standard in that at least one entry is REQUIRED (non-Windows), and that entry is used with the same semantics as `execvp`'s file.")),
	must("rlimits", rlimits, in("config.md", "POSIX process",
		"For each entry in `rlimits`, a `getrlimit(3)` on `type` MUST succeed.",
		"`rlim.rlim_cur` MUST match the configured value.",
		"`rlim.rlim_max` MUST match the configured value.")),
	must("rlimit_duplicate", rlimitDuplicate, in("config.md", "POSIX process",
		"If `rlimits` contains duplicated entries with same `type`, the runtime MUST generate an error.")),
	must("capability_unknown", capabilityUnknown,
		in("config.md", "Linux Process", "Any value which cannot be mapped to a relevant kernel interface, or cannot be granted otherwise MUST be logged as a warning by the runtime."),
		in("runtime.md", "Warnings", "Unless otherwise stated, logging a warning does not change the flow of the operation; it MUST continue as if the warning had not been logged.")),
	must("oom_score_adj_unset", oomScoreAdjUnset, in("config.md", "Linux Process",
		"If `oomScoreAdj` is not set, the runtime MUST NOT change the value of `oom_score_adj`.")),
}

func consoleSize(c *container) {
	for _, terminal := range []any{false, nil} {
		c.set("/process/terminal", terminal)
		c.set("/process/consoleSize", object{"height": 10, "width": 20})
		c.prints("runs", "echo runs")
		c.another()
	}
}

func cwdRelative(c *container) {
	for _, cwd := range []string{"bin", "./bin", ""} {
		c.set("/process/cwd", cwd)
		c.refused(fmt.Sprintf("%q", cwd))
		c.another()
	}
}

func argsEmpty(c *container) {
	for _, args := range []any{list{}, nil} {
		c.set("/process/args", args)
		c.refused(fmt.Sprintf("args %v", args))
		c.another()
	}
}

// limitTable is a resource, its name in /proc/self/limits, and the number asked for.
var limitTable = []struct {
	resource, name string
	soft, hard     int
}{
	{"AS", "Max address space", 1 << 30, 2 << 30}, {"CORE", "Max core file size", 4096, 8192},
	{"CPU", "Max cpu time", 60, 120}, {"DATA", "Max data size", 1 << 29, 1 << 30},
	{"FSIZE", "Max file size", 1 << 20, 1 << 21}, {"LOCKS", "Max file locks", 100, 200},
	{"MEMLOCK", "Max locked memory", 4096, 8192}, {"MSGQUEUE", "Max msgqueue size", 4096, 8192},
	{"NICE", "Max nice priority", 0, 0}, {"NOFILE", "Max open files", 300, 400},
	{"NPROC", "Max processes", 300, 400}, {"RSS", "Max resident set", 4096, 8192},
	{"RTPRIO", "Max realtime priority", 0, 0}, {"RTTIME", "Max realtime timeout", 1000, 2000},
	{"SIGPENDING", "Max pending signals", 100, 200}, {"STACK", "Max stack size", 1 << 20, 1 << 21},
}

func rlimits(c *container) {
	for _, l := range limitTable {
		c.set("/process/rlimits/-", object{"type": "RLIMIT_" + l.resource, "soft": l.soft, "hard": l.hard})
	}
	text, err := c.output("cat /proc/self/limits")
	for _, l := range limitTable {
		want := fmt.Sprintf("%d %d", l.soft, l.hard)
		_, rest, found := strings.Cut(text, l.name)
		fields := strings.Fields(rest)
		c.ok(err == nil && found && len(fields) > 1 && fields[0]+" "+fields[1] == want, "RLIMIT_"+l.resource+" "+want, seen(text, err))
	}
}

func rlimitDuplicate(c *container) {
	nofile := object{"type": "RLIMIT_NOFILE", "soft": 300, "hard": 400}
	c.set("/process/rlimits", list{nofile, nofile})
	c.refused("two entries RLIMIT_NOFILE")
}

func capabilityUnknown(c *container) {
	for _, set := range []string{"bounding", "effective", "permitted"} {
		c.set("/process/capabilities/"+set+"/-", "CAP_UNKNOWN")
	}
	// CAP_CHOWN, which is known and stands beside it, is 1<<0.
	c.prints("1", "echo $(( 0x$(sed -n 's/^CapEff:.//p' /proc/self/status) & 1 ))")
}

func oomScoreAdjUnset(c *container) {
	before := strings.TrimSpace(read("/proc/self/oom_score_adj"))
	defer os.WriteFile("/proc/self/oom_score_adj", []byte(before), 0o644)
	check(os.WriteFile("/proc/self/oom_score_adj", []byte("123"), 0o644))
	c.prints("123", "cat /proc/self/oom_score_adj")
}
