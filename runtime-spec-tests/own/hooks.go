package main

import (
	"fmt"
	"os"
	"strings"
)

const posixHooks = "POSIX-platform Hooks"

var hookTests = []test{
	must("hooks", hooksInOrder,
		in("config.md", posixHooks,
			"Hooks MUST be called in the listed order.",
			"The state of the container MUST be passed to hooks over stdin"),
		in("config.md", "CreateContainer Hooks", "The `createContainer` hooks MUST be called after the `createRuntime` hooks."),
		in("config.md", "StartContainer Hooks", "The `startContainer` hooks MUST be called before the user-specified process is executed as part of the `start` operation."),
		in("runtime.md", "Lifecycle",
			"The `createRuntime` hooks MUST be invoked by the runtime.",
			"The `createContainer` hooks MUST be invoked by the runtime.",
			"The `startContainer` hooks MUST be invoked by the runtime.")),
	must("hook_namespaces", hookNamespaces,
		in("config.md", posixHooks,
			"The value of `path` MUST resolve in the runtime namespace.",
			"The value of `path` MUST resolve in the container namespace.",
			"The `createRuntime` hooks MUST be executed in the runtime namespace.",
			"The `createContainer` hooks MUST be executed in the container namespace.",
			"The `startContainer` hooks MUST be executed in the container namespace."),
		in("config.md", "CreateRuntime Hooks",
			"The `createRuntime` hooks' path MUST resolve in the runtime namespace.",
			"The `createRuntime` hooks MUST be executed in the runtime namespace."),
		in("config.md", "CreateContainer Hooks",
			"The `createContainer` hooks' path MUST resolve in the runtime namespace.",
			"The `createContainer` hooks MUST be executed in the container namespace."),
		in("config.md", "StartContainer Hooks",
			"The `startContainer` hooks' path MUST resolve in the container namespace.",
			"The `startContainer` hooks MUST be executed in the container namespace.")),
	must("hooks_at_create", hooksAtCreate,
		in("config.md", "CreateRuntime Hooks", "The `createRuntime` hooks MUST be called as part of the `create` operation after the runtime environment has been created (according to the configuration in config.json) but before the `pivot_root` or any equivalent operation has been executed."),
		in("config.md", "CreateContainer Hooks", "The `createContainer` hooks MUST be called as part of the `create` operation after the runtime environment has been created (according to the configuration in config.json) but before the `pivot_root` or any equivalent operation has been executed.")),
	must("prestart", prestart,
		in("config.md", "Prestart",
			"The `prestart` hooks MUST be called as part of the `create` operation after the runtime environment has been created (according to the configuration in config.json) but before the `pivot_root` or any equivalent operation has been executed.",
			"The `prestart` hooks MUST be called before the `createRuntime` hooks.",
			"The `prestart` hooks' path MUST resolve in the runtime namespace.",
			"The `prestart` hooks MUST be executed in the runtime namespace."),
		in("config.md", posixHooks, "The `prestart` hooks MUST be executed in the runtime namespace."),
		in("runtime.md", "Lifecycle", "The `prestart` hooks MUST be invoked by the runtime.")),
	must("poststart", poststart,
		in("config.md", "Poststart",
			"The `poststart` hooks MUST be called after the user-specified process is executed but before the `start` operation returns.",
			"The `poststart` hooks' path MUST resolve in the runtime namespace.",
			"The `poststart` hooks MUST be executed in the runtime namespace."),
		in("config.md", posixHooks, "The `poststart` hooks MUST be executed in the runtime namespace."),
		in("runtime.md", "Lifecycle", "The `poststart` hooks MUST be invoked by the runtime.")),
	must("poststop", poststop,
		in("config.md", "Poststop",
			"The `poststop` hooks MUST be called after the container is deleted but before the `delete` operation returns.",
			"The `poststop` hooks' path MUST resolve in the runtime namespace.",
			"The `poststop` hooks MUST be executed in the runtime namespace."),
		in("config.md", posixHooks, "The `poststop` hooks MUST be executed in the runtime namespace."),
		in("runtime.md", "Lifecycle", "The `poststop` hooks MUST be invoked by the runtime.")),
	must("hook_path_relative", hookPathRelative,
		in("config.md", posixHooks, "This specification extends the IEEE standard in that `path` MUST be absolute.")),
	must("hook_timeout", hookTimeout,
		in("config.md", posixHooks, "If set, `timeout` MUST be greater than zero.")),
}

type hook struct {
	Path string   `json:"path"`
	Args []string `json:"args"`
}

type hooks map[string][]hook

// process is the container's program in the tests where it only has to have run.
var process = list{"/own", "record", "process", "/journal"}

// wait is a program that says it runs, and goes on.
var wait = list{"/own", "wait", "/journal"}

// journal is seen as /journal from inside the container.
func (c *container) journal() string { return c.file("journal") }

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

// script is a hook that runs the host's shell.
func script(text string) hook { return hook{"/bin/sh", []string{"sh", "-c", text}} }

func (c *container) failingHook() hook { return hook{c.program, []string{"own", "fail"}} }

func (c *container) configure(hooks hooks, args list) {
	c.set("/hooks", hooks)
	c.args(args...)
}

// runtimeMount is the mount namespace of the caller: the runtime namespace.
func runtimeMount() string {
	name, err := os.Readlink("/proc/self/ns/mnt")
	check(err)
	return name
}

func hooksInOrder(c *container) {
	points := []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}
	all := hooks{}
	for _, point := range points {
		for _, number := range []string{"1", "2"} {
			h := c.hook(point + number)
			switch point {
			case "startContainer":
				h = c.hookInside(point + number)
			case "poststart":
				h = c.hookAfter(point+number, "process")
			}
			all[point] = append(all[point], h)
		}
	}
	c.configure(all, process)
	c.need(c.create())
	created := names(c.entries())
	c.need(c.start())
	started := names(c.entries())
	c.waitStopped()
	c.need(c.delete())
	deleted := names(c.entries())

	atCreate := "prestart1 prestart2 createRuntime1 createRuntime2 createContainer1 createContainer2"
	atStart := atCreate + " startContainer1 startContainer2 process poststart1 poststart2"
	c.ok(created == atCreate, "create", created)
	c.ok(started == atStart, "start", started)
	c.ok(deleted == atStart+" poststop1 poststop2", "delete", deleted)
	var strangers []string
	for _, e := range c.entries() {
		if e.Who != "process" && e.State.ID != c.id {
			strangers = append(strangers, e.Who)
		}
	}
	c.ok(len(strangers) == 0, "each with the state on stdin", "not to: "+strings.Join(strangers, " "))
}

func hookNamespaces(c *container) {
	all := hooks{"startContainer": {c.hookInside("startContainer")}}
	for _, point := range []string{"prestart", "createRuntime", "createContainer", "poststart", "poststop"} {
		all[point] = []hook{c.hook(point)}
	}
	c.configure(all, wait)
	c.need(c.create())
	c.need(c.start())
	inside, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", c.state().Pid))
	c.need(err)
	_, err = c.call("kill", c.id, "KILL")
	c.need(err)
	c.waitStopped()
	c.need(c.delete())
	for point := range all {
		want := runtimeMount()
		if point == "createContainer" || point == "startContainer" {
			want = inside
		}
		e, called := find(c.entries(), point)
		c.ok(called && e.Mount == want, point, fmt.Sprintf("ran: %t, in %s instead of %s", called, e.Mount, want))
	}
}

func hooksAtCreate(c *container) {
	look := func(point string) hook {
		// The runtime namespace's hook looks into that of the container, whose pid is in its state.
		return script(fmt.Sprintf(`sed 's/.*"pid": *\([0-9]*\).*/\1/' > %[2]s/%[1]s.pid; grep -o "%[2]s/rootfs/mnt " /proc/self/mountinfo > %[2]s/%[1]s.mounts; test -e %[2]s/config.json && echo yes > %[2]s/%[1]s.unpivoted; exit 0`, point, c.bundle))
	}
	c.set("/mounts/-", mount("tmpfs", "/mnt"))
	c.configure(hooks{"createRuntime": {look("createRuntime")}, "createContainer": {look("createContainer")}}, process)
	c.need(c.create())
	of := func(name string) string { return strings.TrimSpace(read(c.bundle + "/" + name)) }
	c.ok(of("createRuntime.pid") != "" && of("createRuntime.pid") != "0", "createRuntime: there is a container process", of("createRuntime.pid"))
	for _, point := range []string{"createRuntime", "createContainer"} {
		c.ok(of(point+".unpivoted") == "yes", point+": the bundle's path still resolves", of(point+".unpivoted"))
	}
	c.ok(of("createContainer.mounts") != "", "createContainer: the mount is there", of("createContainer.mounts"))
	c.ok(!contains(c.entries(), "process"), "as part of create", names(c.entries()))
}

func prestart(c *container) {
	c.configure(hooks{"createRuntime": {c.hook("createRuntime")}, "prestart": {c.hook("prestart")}}, process)
	c.need(c.create())
	entries := c.entries()
	e, called := find(entries, "prestart")
	c.ok(called, "called at create", names(entries))
	c.ok(names(entries) == "prestart createRuntime", "before the createRuntime hooks", names(entries))
	c.ok(!contains(entries, "process"), "before the program runs", names(entries))
	c.ok(e.Mount == runtimeMount(), "in the runtime namespace", e.Mount)
	namespace, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", e.State.Pid))
	c.ok(e.Alive && namespace != runtimeMount(), "the state's pid has the container's namespaces", e)
	c.need(c.start())
	c.ok(waitFor(func() bool { return contains(c.entries(), "process") }), "the program runs at start", names(c.entries()))
}

func poststart(c *container) {
	c.configure(hooks{"poststart": {c.hookAfter("poststart", "process")}}, wait)
	c.need(c.create())
	early := names(c.entries())
	err := c.start()
	e, called := find(c.entries(), "poststart")
	c.ok(early == "", "not at create", early)
	c.ok(err == nil, "start succeeds", err)
	c.ok(called, "called before start returns", names(c.entries()))
	c.ok(e.SawAfter, "after the program was executed", names(c.entries()))
	c.ok(e.Mount == runtimeMount(), "in the runtime namespace", e.Mount)
	c.ok(e.State.ID == c.id && e.Alive, "with the state on stdin", e.State)
}

func poststop(c *container) {
	c.configure(hooks{"poststop": {c.hook("poststop")}}, process)
	c.need(c.create())
	c.need(c.start())
	c.waitStopped()
	early := names(c.entries())
	err := c.delete()
	e, called := find(c.entries(), "poststop")
	c.ok(early == "process", "not when the container stops", early)
	c.ok(err == nil, "delete succeeds", err)
	c.ok(called, "called before delete returns", names(c.entries()))
	c.ok(e.Mount == runtimeMount(), "in the runtime namespace", e.Mount)
	c.ok(e.State.ID == c.id && e.State.Status == "stopped", "with the state on stdin", e.State)
}

func hookPathRelative(c *container) {
	c.set("/hooks", hooks{"createRuntime": {{"rootfs/own", []string{"own", "record", "hook", c.journal()}}}})
	c.refused("the path is rootfs/own")
}

func hookTimeout(c *container) {
	for _, timeout := range []int{0, -1} {
		c.set("/hooks/createRuntime", list{object{"path": "/bin/true", "timeout": timeout}})
		c.refused(fmt.Sprintf("timeout %d", timeout))
		c.another()
	}
}
