package main

var hookFailureTests = []test{
	must("prestart_fail", func(c *container) { hookFailsAtCreate(c, "prestart") }, in("runtime.md", "Lifecycle",
		"If any `prestart` hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.")),
	must("create_runtime_fail", func(c *container) { hookFailsAtCreate(c, "createRuntime") }, in("runtime.md", "Lifecycle",
		"If any `createRuntime` hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.")),
	must("create_container_fail", func(c *container) { hookFailsAtCreate(c, "createContainer") }, in("runtime.md", "Lifecycle",
		"If any `createContainer` hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.")),
	must("start_container_fail", startContainerFails, in("runtime.md", "Lifecycle",
		"If any `startContainer` hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.")),
	must("poststart_fail", poststartFails, in("runtime.md", "Lifecycle",
		"If any `poststart` hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.")),
	must("poststop_fail", poststopFails, in("runtime.md", "Lifecycle",
		"If any `poststop` hook fails, the runtime MUST log a warning, but the remaining hooks and lifecycle continue as if the hook had succeeded.")),
}

func hookFailsAtCreate(c *container, point string) {
	c.configure(hooks{point: {c.failingHook()}, "poststop": {c.hook("poststop")}}, process)
	err := c.create()
	c.ok(err != nil, "an error", "create succeeded")
	c.ok(!contains(c.entries(), "process"), "the program never runs", names(c.entries()))
	c.destroyed()
}

func startContainerFails(c *container) {
	c.configure(hooks{"startContainer": {{"/own", []string{"own", "fail"}}}, "poststop": {c.hook("poststop")}}, process)
	c.need(c.create())
	err := c.start()
	c.ok(err != nil, "an error", "start succeeded")
	c.ok(!contains(c.entries(), "process"), "the program never runs", names(c.entries()))
	c.destroyed()
}

func poststartFails(c *container) {
	c.configure(hooks{"poststart": {c.failingHook()}, "poststop": {c.hook("poststop")}}, wait)
	c.need(c.create())
	err := c.start()
	c.ok(err != nil, "an error", "start succeeded")
	c.ok(waitFor(func() bool { s := c.status(); return s == "" || s == "stopped" }), "the container stops", c.status())
	c.destroyed()
}

// destroyed asserts steps 12 and 13 of the lifecycle.
func (c *container) destroyed() {
	c.ok(c.status() == "", "step 12: the container is destroyed", c.status())
	c.ok(contains(c.entries(), "poststop"), "step 13: the poststop hooks are invoked", names(c.entries()))
}

func poststopFails(c *container) {
	c.configure(hooks{"poststop": {c.failingHook(), c.hook("poststop")}}, process)
	c.need(c.create())
	c.need(c.start())
	c.waitStopped()
	err := c.delete()
	c.ok(err == nil, "delete succeeds", err)
	c.ok(contains(c.entries(), "poststop"), "the second hook runs", names(c.entries()))
	c.ok(c.status() == "", "the container is gone", c.status())
}
