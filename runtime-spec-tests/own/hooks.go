package main

import (
	"fmt"
	"os"
	"strings"
)

// process is the container's program in the tests where it only has to have run.
var process = []string{"/own", "record", "process", "/journal"}

// ownMount is the mount namespace of the caller: the runtime namespace.
func ownMount() string {
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
	c.configure(all, process...)
	check(c.create())
	created := names(c.entries())
	check(c.start())
	started := names(c.entries())
	c.waitStopped()
	check(c.delete())
	deleted := names(c.entries())

	atCreate := "prestart1 prestart2 createRuntime1 createRuntime2 createContainer1 createContainer2"
	atStart := atCreate + " startContainer1 startContainer2 process poststart1 poststart2"
	atDelete := atStart + " poststop1 poststop2"
	order := "Hooks MUST be called in the listed order"
	c.ok(created == atCreate, order+" (create)", created)
	c.ok(started == atStart, order+" (start)", started)
	c.ok(deleted == atDelete, order+" (delete)", deleted)
	var strangers []string
	for _, e := range c.entries() {
		if e.Who != "process" && e.State.ID != c.id {
			strangers = append(strangers, e.Who)
		}
	}
	c.ok(len(strangers) == 0, "The state of the container MUST be passed to hooks over stdin", "not to: "+strings.Join(strangers, " "))
}

func prestart(c *container) {
	c.configure(hooks{"createRuntime": {c.hook("createRuntime")}, "prestart": {c.hook("prestart")}}, process...)
	check(c.create())
	entries := c.entries()
	e, called := find(entries, "prestart")
	c.ok(called, "The prestart hooks MUST be called as part of the create operation", names(entries))
	c.ok(names(entries) == "prestart createRuntime", "The prestart hooks MUST be called before the createRuntime hooks", names(entries))
	c.ok(!contains(entries, "process"), "the user-specified program (from process) MUST NOT be run at this time", names(entries))
	c.ok(e.Mount == ownMount(), "The prestart hooks MUST be executed in the runtime namespace", e.Mount)
	namespace, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", e.State.Pid))
	c.ok(e.Alive && namespace != ownMount(), "after the runtime environment has been created (the state's pid has its namespaces)", e)
	check(c.start())
	c.ok(waitFor(func() bool { return contains(c.entries(), "process") }), "The runtime MUST run the user-specified program", names(c.entries()))
}

func poststart(c *container) {
	c.configure(hooks{"poststart": {c.hookAfter("poststart", "process")}}, "/own", "wait", "/journal")
	check(c.create())
	early := names(c.entries())
	err := c.start()
	e, called := find(c.entries(), "poststart")
	c.ok(early == "", "The poststart hooks MUST be called after the user-specified process is executed (not at create)", early)
	c.ok(err == nil, "start succeeds", err)
	c.ok(called, "The poststart hooks MUST be called before the start operation returns", names(c.entries()))
	c.ok(e.SawAfter, "The poststart hooks MUST be called after the user-specified process is executed", names(c.entries()))
	c.ok(e.Mount == ownMount(), "The poststart hooks MUST be executed in the runtime namespace", e.Mount)
	c.ok(e.State.ID == c.id && e.Alive, "The state of the container MUST be passed to hooks over stdin", e.State)
}

func poststop(c *container) {
	c.configure(hooks{"poststop": {c.hook("poststop")}}, process...)
	check(c.create())
	check(c.start())
	c.waitStopped()
	early := names(c.entries())
	err := c.delete()
	e, called := find(c.entries(), "poststop")
	c.ok(early == "process", "The poststop hooks MUST be called after the container is deleted (not when it stops)", early)
	c.ok(err == nil, "delete succeeds", err)
	c.ok(called, "The poststop hooks MUST be called before the delete operation returns", names(c.entries()))
	c.ok(e.Mount == ownMount(), "The poststop hooks MUST be executed in the runtime namespace", e.Mount)
	c.ok(e.State.ID == c.id && e.State.Status == "stopped", "The state of the container MUST be passed to hooks over stdin", e.State)
}

func prestartFails(c *container) {
	c.configure(hooks{"prestart": {c.failingHook()}, "poststop": {c.hook("poststop")}}, process...)
	err := c.create()
	sentence := "If any prestart hook fails, the runtime MUST "
	c.ok(err != nil, sentence+"generate an error", "create succeeded")
	c.ok(!contains(c.entries(), "process"), sentence+"stop the container (its program never runs)", names(c.entries()))
	c.ok(c.status() == "", sentence+"continue the lifecycle at step 12 (the container MUST be destroyed)", c.status())
	c.ok(contains(c.entries(), "poststop"), sentence+"continue the lifecycle (step 13: the poststop hooks MUST be invoked)", names(c.entries()))
}

func poststartFails(c *container) {
	c.configure(hooks{"poststart": {c.failingHook()}, "poststop": {c.hook("poststop")}}, "/own", "wait", "/journal")
	check(c.create())
	err := c.start()
	sentence := "If any poststart hook fails, the runtime MUST "
	c.ok(err != nil, sentence+"generate an error", "start succeeded")
	c.ok(waitFor(func() bool { s := c.status(); return s == "" || s == "stopped" }), sentence+"stop the container", c.status())
	c.ok(c.status() == "", sentence+"continue the lifecycle at step 12 (the container MUST be destroyed)", c.status())
	c.ok(contains(c.entries(), "poststop"), sentence+"continue the lifecycle (step 13: the poststop hooks MUST be invoked)", names(c.entries()))
}

func poststopFails(c *container) {
	c.configure(hooks{"poststop": {c.failingHook(), c.hook("poststop")}}, process...)
	check(c.create())
	check(c.start())
	c.waitStopped()
	err := c.delete()
	sentence := "If any poststop hook fails, the runtime MUST log a warning, but the remaining hooks and lifecycle continue as if the hook had succeeded"
	c.ok(err == nil, sentence+" (delete succeeds)", err)
	c.ok(contains(c.entries(), "poststop"), sentence+" (the second hook ran)", names(c.entries()))
	c.ok(c.status() == "", sentence+" (the container is gone)", c.status())
}
