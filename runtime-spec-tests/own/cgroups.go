package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var cgroupTests = []test{
	must("cgroup_same_place", cgroupSamePlace, in("config-linux.md", "Cgroups Path",
		"If the value is specified, the runtime MUST consistently attach to the same place in the cgroups hierarchy given the same value of `cgroupsPath`.")),
	must("cgroup_frozen", cgroupFrozen, in("config-linux.md", "Control groups",
		"check if the container cgroup is fit for purpose, and MUST generate an error if such a check fails.")),
	must("cgroup_ownership", cgroupOwnership, in("config-linux.md", "Cgroup ownership",
		"Runtimes MUST NOT fail in this scenario, and SHOULD change the ownership of the listed files that do exist in the cgroup.")),
	must("unified", unified, in("config-linux.md", "Unified",
		"The OCI runtime MUST ensure that the needed cgroup controllers are enabled for the cgroup.",
		"Configuration unknown to the runtime MUST still be written to the relevant file.")),
	must("unified_missing_controller", unifiedMissingController, in("config-linux.md", "Unified",
		"The runtime MUST generate an error when the configuration refers to a cgroup controller that is not present or that cannot be enabled.")),
	must("unified_no_conversion", unifiedNoConversion, in("config-linux.md", "Example",
		"If the conversion is not possible the runtime MUST generate an error.")),
	must("intel_rdt_unmounted", intelRdtUnmounted, in("config-linux.md", "IntelRdt",
		"If no mounted `resctrl` pseudo-filesystem is available in the runtime mount namespace, the runtime MUST generate an error.")),
}

const cgroupRoot = "/sys/fs/cgroup"

// unifiedOnly is whether the host has cgroup v2 and nothing else.
func unifiedOnly() bool { return exists(cgroupRoot + "/cgroup.controllers") }

// hierarchies are the mounted ones: crun takes the folder of one that is not for a hierarchy, and
// makes folders and files there.
func hierarchies() []string {
	if unifiedOnly() {
		return []string{cgroupRoot}
	}
	procs, _ := filepath.Glob(cgroupRoot + "/*/cgroup.procs")
	var all []string
	for _, file := range procs {
		all = append(all, filepath.Dir(file))
	}
	return all
}

// cgroupsPath is an absolute cgroup path of this container's own. It is not below that of the id,
// where a runtime may put a container that has no path.
func (c *container) cgroupsPath() string { return "/spec-" + filepath.Base(c.bundle) + "/inner" }

// cgroups are the path's cgroups.
func cgroups(path string) []string {
	var found []string
	for _, hierarchy := range hierarchies() {
		if directory := filepath.Join(hierarchy, path); exists(directory) {
			found = append(found, directory)
		}
	}
	return found
}

// removeCgroups removes what a test or a runtime has made of cgroupsPath.
func (c *container) removeCgroups() {
	for _, path := range []string{c.cgroupsPath(), filepath.Dir(c.cgroupsPath())} {
		for _, directory := range cgroups(path) {
			_ = os.Remove(directory)
		}
	}
	// Where a runtime has put the containers without a path, and left something.
	for _, hierarchy := range hierarchies() {
		left, _ := filepath.Glob(filepath.Join(hierarchy, filepath.Base(c.bundle)+"*"))
		for _, directory := range left {
			_ = os.Remove(directory)
		}
	}
	if !unifiedOnly() && !exists(cgroupRoot+"/unified/cgroup.procs") {
		_ = os.RemoveAll(filepath.Join(cgroupRoot, "unified", filepath.Dir(c.cgroupsPath())))
	}
}

func cgroupSamePlace(c *container) {
	var places []string
	for range 2 {
		c.set("/linux/cgroupsPath", strings.TrimPrefix(c.cgroupsPath(), "/"))
		c.need(c.create())
		places = append(places, read(fmt.Sprintf("/proc/%d/cgroup", c.state().Pid)))
		c.another()
	}
	c.ok(places[0] != "" && places[0] == places[1], "a relative path", places)
}

// cgroupFrozen demands an error of a container that could not run: a runtime which does not
// check would wait for ever.
func cgroupFrozen(c *container) {
	hierarchy, file, frozen := cgroupRoot, "cgroup.freeze", "1"
	if !unifiedOnly() {
		hierarchy, file, frozen = cgroupRoot+"/freezer", "freezer.state", "FROZEN"
	}
	directory := filepath.Join(hierarchy, c.cgroupsPath())
	if err := os.MkdirAll(directory, 0o755); err != nil {
		c.skip(fmt.Sprintf("no freezer: %v", err))
		return
	}
	check(os.WriteFile(filepath.Join(directory, file), []byte(frozen), 0o644))
	thawed := map[string]string{"1": "0", "FROZEN": "THAWED"}[frozen]
	defer os.WriteFile(filepath.Join(directory, file), []byte(thawed), 0o644)
	c.set("/linux/cgroupsPath", c.cgroupsPath())
	began := time.Now()
	err := c.launch("true")
	ended := err == nil && c.waitStopped()
	c.ok(time.Since(began) < limit && (err != nil || ended), "a frozen cgroup", seen("neither an error nor a container that runs", err))
}

func cgroupOwnership(c *container) {
	if !unifiedOnly() {
		c.skip("cgroup v1: its cgroups are not delegated")
		return
	}
	c.userNamespace()
	// The rootfs is not the user's, who could make no folder in it.
	check(os.MkdirAll(filepath.Join(c.rootfs, cgroupRoot), 0o755))
	c.set("/linux/namespaces/-", object{"type": "cgroup"})
	group := mount("cgroup", "/sys/fs/cgroup", "rw")
	c.set("/mounts/-", group)
	c.set("/linux/cgroupsPath", c.cgroupsPath())
	// The list names files of controllers, such as memory.reclaim, that a cgroup need not have.
	c.prints("0", "stat -c %u /sys/fs/cgroup/cgroup.procs")
}

func unified(c *container) {
	if !unifiedOnly() {
		c.skip("needs cgroup v2 alone")
		return
	}
	for _, controller := range []string{"cpu", "memory", "pids"} {
		if !strings.Contains(read(cgroupRoot+"/cgroup.controllers"), controller) {
			c.skip("cgroup v2 has no controller " + controller)
			return
		}
	}
	c.set("/linux/cgroupsPath", c.cgroupsPath())
	c.set("/linux/resources/unified", object{"pids.max": "77", "memory.oom.group": "1", "cpu.weight": "55"})
	c.need(c.create())
	for file, want := range map[string]string{"pids.max": "77", "memory.oom.group": "1", "cpu.weight": "55"} {
		got := strings.TrimSpace(read(filepath.Join(cgroupRoot, c.cgroupsPath(), file)))
		c.ok(got == want, file, got)
	}
}

func unifiedMissingController(c *container) {
	c.set("/linux/resources/unified", object{"nosuch.max": "1"})
	c.refused("nosuch.max")
}

func unifiedNoConversion(c *container) {
	if !unifiedOnly() {
		c.skip("needs cgroup v2 alone")
		return
	}
	c.set("/linux/resources/network", object{"classID": 1048577})
	c.refused("network/classID, which cgroup v2 does not have")
}

func intelRdtUnmounted(c *container) {
	if strings.Contains(read("/proc/self/mounts"), " resctrl ") {
		c.skip("resctrl is mounted")
		return
	}
	c.set("/linux/intelRdt", object{"closID": "spec"})
	c.refused("no resctrl is mounted")
}
