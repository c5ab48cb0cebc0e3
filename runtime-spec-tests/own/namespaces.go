package main

import (
	"fmt"
	"os"
	"strings"
)

var namespaceTests = []test{
	must("namespace_path_relative", namespacePathRelative, in("config-linux.md", "Namespaces",
		"This value MUST be an absolute path in the runtime mount namespace.")),
	must("namespace_new", namespaceNew, in("config-linux.md", "Namespaces",
		"If `path` is not specified, the runtime MUST create a new container namespace of type `type`.")),
	must("namespace_duplicate", namespaceDuplicate, in("config-linux.md", "Namespaces",
		"If a `namespaces` field contains duplicated namespaces with same `type`, the runtime MUST generate an error.")),
	must("masked_path_relative", func(c *container) { c.pathsAbsolute("/linux/maskedPaths") }, in("config-linux.md", "Masked Paths",
		"The values MUST be absolute paths in the container namespace.")),
	must("readonly_path_relative", func(c *container) { c.pathsAbsolute("/linux/readonlyPaths") }, in("config-linux.md", "Readonly Paths",
		"The values MUST be absolute paths in the container namespace.")),
}

func namespacePathRelative(c *container) {
	// From whatever folder, this is the path of a namespace.
	path := strings.Repeat("../", 50) + "proc/1/ns/uts"
	for index, entry := range c.config["linux"].(object)["namespaces"].(list) {
		if entry.(object)["type"] == "uts" {
			c.set(fmt.Sprintf("/linux/namespaces/%d/path", index), path)
		}
	}
	c.refused("../../… to /proc/1/ns/uts")
}

// namespaceNew checks the two types that the suite's `linux_ns_nopath` leaves out.
func namespaceNew(c *container) {
	for _, kind := range []string{"time", "cgroup"} {
		own, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			c.skip("the kernel has no " + kind + " namespaces")
			continue
		}
		c.set("/linux/namespaces/-", object{"type": kind})
		inside, err := c.output("readlink /proc/self/ns/" + kind)
		c.ok(err == nil && strings.HasPrefix(inside, kind) && inside != own, kind, seen(inside, err))
		c.another()
	}
}

func namespaceDuplicate(c *container) {
	for _, kind := range []string{"pid", "mount", "network"} {
		c.set("/linux/namespaces/-", object{"type": kind})
		c.refused("two of type " + kind)
		c.another()
	}
}

func (c *container) pathsAbsolute(place string) {
	for _, path := range []string{"proc/version", "./proc/version", ""} {
		c.set(place, list{path})
		c.refused(fmt.Sprintf("%q", path))
		c.another()
	}
}
