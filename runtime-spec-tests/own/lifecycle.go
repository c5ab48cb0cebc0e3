package main

import (
	"fmt"
	"strings"
)

var lifecycleTests = []test{
	must("state_properties", stateProperties, in("runtime.md", "State",
		"`ociVersion` (string, REQUIRED)",
		"`id` (string, REQUIRED)",
		"`status` (string, REQUIRED)",
		"`pid` (int, REQUIRED when `status` is `created` or `running` on Linux",
		"`bundle` (string, REQUIRED)",
		"Additional values MAY be defined by the runtime, however, they MUST be used to represent new runtime states not defined above.",
		"When serialized in JSON, the format MUST adhere to the JSON Schema `schema/state-schema.json`.")),
	must("create_only", createOnly, in("runtime.md", "Lifecycle",
		"The container's runtime environment MUST be created according to the configuration in `config.json`.",
		"While the resources requested in the `config.json` MUST be created, the user-specified program (from `process`) MUST NOT be run at this time.")),
	must("create_impossible", createImpossible,
		in("runtime.md", "Create", "If the runtime cannot apply a property as specified in the configuration, it MUST generate an error and a new container MUST NOT be created."),
		in("runtime.md", "Lifecycle", "If the runtime is unable to create the environment specified in the `config.json`, it MUST generate an error.")),
	must("create_error_undone", createErrorUndone, in("runtime.md", "Errors",
		"Unless otherwise stated, generating an error MUST leave the state of the environment as if the operation were never attempted")),
	must("create_no_bundle", createNoBundle, in("runtime.md", "Create",
		"This operation MUST generate an error if it is not provided a path to the bundle and the container ID to associate with the container.")),
	must("create_id_invalid", createIDInvalid, in("runtime.md", "Create",
		"If the ID provided is not unique across all containers within the scope of the runtime, or is not valid in any other way, the implementation MUST generate an error and a new container MUST NOT be created.")),
	must("start_without_process", startWithoutProcess,
		in("runtime.md", "Start", "This operation MUST generate an error if `process` was not set."),
		in("config.md", "Process", "This property is REQUIRED when `start` is called.")),
	must("start_running", startRunning, in("runtime.md", "Start",
		"Attempting to `start` a container that is not `created` MUST have no effect on the container and MUST generate an error.")),
	must("kill_stopped", killStopped, in("runtime.md", "Kill",
		"Attempting to send a signal to a container that is neither `created` nor `running` MUST have no effect on the container and MUST generate an error.")),
	must("delete_created", deleteCreated, in("runtime.md", "Delete",
		"Attempting to `delete` a container that is not `stopped` MUST have no effect on the container and MUST generate an error.")),
	must("delete_resources", deleteResources,
		in("runtime.md", "Delete", "Deleting a container MUST delete the resources that were created during the `create` step."),
		in("runtime.md", "Lifecycle", "The container MUST be destroyed by undoing the steps performed during create phase (step 2).")),
}

func stateProperties(c *container) {
	c.set("/annotations", object{"a": "b"})
	c.args("sleep", "1000")
	adheres := func(status string, alive bool) {
		s := c.state()
		c.ok(s.OciVersion != "" && s.ID == c.id && s.Status == status && s.Bundle == c.bundle && s.Annotations["a"] == "b",
			status+": ociVersion, id, status, bundle, annotations", fmt.Sprintf("%+v", s))
		c.ok(!alive || exists(fmt.Sprintf("/proc/%d", s.Pid)) && s.Pid > 0, status+": pid", s.Pid)
		c.ok(s.Pid >= 0, status+": pid is no less than 0, as the schema says", s.Pid)
	}
	c.need(c.create())
	adheres("created", true)
	c.need(c.start())
	adheres("running", true)
	_, err := c.call("kill", c.id, "KILL")
	c.need(err)
	c.waitStopped()
	adheres("stopped", false)
}

func createOnly(c *container) {
	c.set("/linux/cgroupsPath", c.cgroupsPath())
	c.set("/hostname", "created")
	c.set("/mounts/-", mount("tmpfs", "/mnt"))
	c.args(process...)
	c.need(c.create())
	root := fmt.Sprintf("/proc/%d/", c.state().Pid)
	c.ok(len(cgroups(c.cgroupsPath())) > 0, "the cgroup is there", cgroups(c.cgroupsPath()))
	c.ok(exists(root+"root/dev/null"), "the device is there", "no /dev/null")
	c.ok(strings.Contains(read(root+"mountinfo"), " /mnt "), "the mount is there", read(root+"mountinfo"))
	c.ok(len(c.entries()) == 0, "the program has not run", names(c.entries()))
}

// impossible are properties that no runtime can apply.
func impossible() map[string]any {
	return map[string]any{
		"/mounts/-":                bind("/no/such/source", "/mnt"),
		"/linux/sysctl":            object{"net.no.such": "1"},
		"/linux/devices":           list{object{"type": "c", "path": "/proc/version/x", "major": 1, "minor": 3}},
		"/linux/namespaces/0/path": "/no/such/namespace",
		"/process/cwd":             "/bin/busybox",
	}
}

func createImpossible(c *container) {
	for place, value := range impossible() {
		c.set(place, value)
		c.refused(place)
		c.another()
	}
}

func createErrorUndone(c *container) {
	mounts := read("/proc/self/mounts")
	for place, value := range impossible() {
		if place == "/process/cwd" { // which start may be the first to see
			continue
		}
		c.set("/linux/cgroupsPath", c.cgroupsPath())
		c.set(place, value)
		err := c.create()
		left := cgroups(c.cgroupsPath())
		if read("/proc/self/mounts") != mounts {
			left = append(left, "a mount")
		}
		if c.status() != "" {
			left = append(left, "a container that is "+c.status())
		}
		c.ok(err != nil && len(left) == 0, place, fmt.Sprintf("create: %v; left: %v", err, left))
		// The same id, which a container would hold.
		c.config = defaultConfig()
		err = c.create()
		c.ok(err == nil, place+": the id is free", err)
		c.another()
	}
}

func createNoBundle(c *container) {
	_, err := c.call("create", "--bundle", c.bundle+"/missing", c.id)
	c.ok(err != nil && c.status() == "", "a bundle that does not exist", err)
	_, err = c.call("create", c.id)
	c.ok(err != nil && c.status() == "", "no bundle, and none in the working directory", err)
	_, err = c.call("create", "--bundle", c.bundle)
	c.ok(err != nil, "no id", err)
}

func createIDInvalid(c *container) {
	c.need(c.create())
	before := c.state().Pid
	err := c.create()
	c.ok(err != nil && c.state().Pid == before, "an id in use", err)
	_, _ = c.call("delete", "--force", c.id)
	good := c.id
	for _, id := range []string{"", ".", "..", "../escape", "a/b"} {
		c.id = id
		err := c.create()
		c.ok(err != nil, fmt.Sprintf("%q", id), "create succeeds")
		if err == nil {
			_, _ = c.call("delete", "--force", id)
		}
	}
	c.id = good
}

func startWithoutProcess(c *container) {
	c.set("/process", nil)
	c.refused("no process")
}

func startRunning(c *container) {
	c.args(wait...)
	c.need(c.create())
	c.need(c.start())
	before := c.state()
	c.ok(c.start() != nil, "an error", "the second start succeeds")
	c.ok(c.state().Pid == before.Pid && c.status() == "running", "the same process runs", c.state())
	waitFor(func() bool { return len(c.entries()) > 0 })
	c.ok(len(c.entries()) == 1, "it ran once", names(c.entries()))
}

func killStopped(c *container) {
	c.need(c.create())
	c.need(c.start())
	c.waitStopped()
	_, err := c.call("kill", c.id, "KILL")
	c.ok(err != nil, "an error", "kill succeeds")
	c.ok(c.status() == "stopped", "the container is still stopped", c.status())
}

func deleteCreated(c *container) {
	c.args(wait...)
	c.need(c.create())
	c.ok(c.delete() != nil, "created: an error", "delete succeeds")
	c.ok(c.status() == "created", "created: no effect", c.status())
	if c.status() == "created" {
		c.need(c.start())
		c.ok(c.delete() != nil, "running: an error", "delete succeeds")
		c.ok(c.status() == "running", "running: no effect", c.status())
	}
}

func deleteResources(c *container) {
	mounts := read("/proc/self/mounts")
	c.set("/linux/cgroupsPath", c.cgroupsPath())
	c.need(c.create())
	made := cgroups(c.cgroupsPath())
	c.need(c.start())
	c.waitStopped()
	c.need(c.delete())
	c.ok(len(made) > 0 && len(cgroups(c.cgroupsPath())) == 0, "the cgroup", fmt.Sprintf("made %v, left %v", made, cgroups(c.cgroupsPath())))
	c.ok(read("/proc/self/mounts") == mounts, "the mounts", read("/proc/self/mounts"))
	c.ok(c.status() == "", "the container", c.status())
}
