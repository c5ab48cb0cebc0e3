package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go/features"
)

var featuresTests = []test{
	must("features_version", featuresVersion, in("features.md", "Specification version",
		"The runtime MUST accept this value as the `ociVersion` property of `config.json`.",
		"`ociVersionMin` (string, REQUIRED)",
		"`ociVersionMax` (string, REQUIRED)",
		"The value MUST NOT be less than the value of the `ociVersionMin` property.")),
	must("features_properties", featuresProperties,
		in("features.md", "Specification version", "The Features structure MUST NOT contain properties that are not defined in this version of the Open Container Initiative Runtime Specification."),
		in("features.md", "Annotations", "Annotations MUST be a key-value map")),
	must("features_hooks", featuresHooks, in("features.md", "Hooks",
		"The runtime MUST support the elements in this array as the `hooks` property of `config.json`.")),
	must("features_mount_options", featuresMountOptions, in("features.md", "Mount Options",
		"The runtime MUST recognize the elements in this array as the `options` of `mounts` objects in `config.json`.")),
	must("features_namespaces", featuresNamespaces, in("features-linux.md", "Namespaces",
		"The runtime MUST recognize the elements in this array as the `type` of `linux.namespaces` objects in `config.json`.")),
	must("features_capabilities", featuresCapabilities, in("features-linux.md", "Capabilities",
		"The runtime MUST recognize the elements in this array in the `process.capabilities` object of `config.json`.")),
	must("features_seccomp", featuresSeccomp, in("features-linux.md", "Seccomp",
		"The runtime MUST recognize the elements in this array in the `syscalls[].action` property of the `linux.seccomp` object in `config.json`.",
		"The runtime MUST recognize the elements in this array in the `syscalls[].args[].op` property of the `linux.seccomp` object in `config.json`.",
		"The runtime MUST recognize the elements in this array in the `architectures` property of the `linux.seccomp` object in `config.json`.",
		"The runtime MUST recognize the elements in this array in the `flags` property of the `linux.seccomp` object in `config.json`.",
		"The runtime MUST recognize and support the elements in this array in the `flags` property of the `linux.seccomp` object in `config.json`.")),
	must("features_memory_policy", featuresMemoryPolicy, in("features-linux.md", "MemoryPolicy",
		"The runtime MUST recognize the elements in this array as the `mode` of `linux.memoryPolicy` objects in `config.json`.",
		"The runtime MUST recognize the elements in this in the `flags` property of the `linux.memoryPolicy` object in `config.json`")),
	must("features_idmap", featuresIdmap, in("features-linux.md", "MountExtensions",
		"In such cases, runtimes MUST still set this value to `true`, to indicate that the runtime recognises the `uidMappings` and `gidMappings` properties.")),
}

// features is the runtime's Features structure. It is nil, with an assertion skipped, where the
// runtime has none, for it is optional.
func (c *container) features() *features.Features {
	text, err := c.call("features")
	if err != nil {
		c.skip("the runtime provides no Features structure")
		return nil
	}
	var f features.Features
	c.need(json.Unmarshal([]byte(text), &f))
	if f.Linux == nil {
		f.Linux = &features.Linux{}
	}
	return &f
}

func featuresVersion(c *container) {
	f := c.features()
	if f == nil {
		return
	}
	for name, version := range map[string]string{"ociVersionMin": f.OCIVersionMin, "ociVersionMax": f.OCIVersionMax} {
		c.set("/ociVersion", version)
		c.accepted(name + " " + version)
		c.another()
	}
	c.ok(slices.Compare(numbers(f.OCIVersionMin), numbers(f.OCIVersionMax)) <= 0, "the minimum is no more than the maximum", f.OCIVersionMin+" "+f.OCIVersionMax)
}

// numbers are the three of a version, without a pre-release's name.
func numbers(version string) []int {
	var all []int
	release, _, _ := strings.Cut(version, "-")
	for _, number := range strings.Split(release, ".") {
		value, _ := strconv.Atoi(number)
		all = append(all, value)
	}
	return all
}

func featuresProperties(c *container) {
	if c.features() == nil {
		return
	}
	text, err := c.call("features")
	c.need(err)
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&features.Features{})
	c.ok(err == nil, "only the properties of features.md and features-linux.md, with their types", err)
}

func featuresHooks(c *container) {
	f := c.features()
	if f == nil {
		return
	}
	all := hooks{}
	for _, point := range f.Hooks {
		all[point] = []hook{c.hook(point)}
		if point == "startContainer" {
			all[point] = []hook{c.hookInside(point)}
		}
	}
	c.configure(all, process)
	c.need(c.create())
	c.need(c.start())
	c.waitStopped()
	c.need(c.delete())
	for _, point := range f.Hooks {
		c.ok(contains(c.entries(), point), point, names(c.entries()))
	}
}

func featuresMountOptions(c *container) {
	f := c.features()
	if f == nil {
		return
	}
	for _, option := range f.MountOptions {
		entry := mount("tmpfs", "/mnt", option)
		switch option {
		case "idmap", "ridmap":
			entry = c.mapped(option)
			entry["uidMappings"], entry["gidMappings"] = idMappings(2000), idMappings(3000)
		case "remount":
			entry = mount("tmpfs", "/dev", option)
		case "bind", "rbind", "copy-symlink", "src-nofollow", "dest-nofollow":
			entry = bind(c.file("bin"), "/mnt", option)
		case "mand", "acl", "noacl": // which today's kernels, or a tmpfs, do not know
			continue
		}
		c.set("/mounts/-", entry)
		err := c.create()
		c.ok(err == nil, option, err)
		c.another()
	}
}

func featuresNamespaces(c *container) {
	f := c.features()
	if f == nil {
		return
	}
	for _, kind := range f.Linux.Namespaces {
		switch kind {
		case "user":
			for place, value := range userNamespaceConfig() {
				c.set(place, value)
			}
		case "cgroup", "time":
			c.set("/linux/namespaces/-", object{"type": kind})
		}
		err := c.create()
		c.ok(err == nil, kind, err)
		c.another()
	}
}

// capabilities have their number as index.
var capabilities = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
	NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
	SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
	MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

func featuresCapabilities(c *container) {
	f := c.features()
	if f == nil {
		return
	}
	_, rest, _ := strings.Cut(read("/proc/self/status"), "CapBnd:")
	own, err := strconv.ParseUint(strings.Fields(rest)[0], 16, 64)
	check(err)
	recognized := list{}
	var want uint64
	for _, name := range f.Linux.Capabilities {
		// What the machine cannot grant, a runtime may refuse.
		if number := slices.Index(capabilities, strings.TrimPrefix(name, "CAP_")); number >= 0 && own>>number&1 == 1 {
			recognized, want = append(recognized, name), want|1<<number
		}
	}
	for _, set := range []string{"bounding", "effective", "permitted"} {
		c.set("/process/capabilities/"+set, recognized)
	}
	inside, err := c.output("sed -n 's/^CapBnd:.//p' /proc/self/status")
	c.ok(err == nil && inside == fmt.Sprintf("%016x", want), "all that can be granted are the bounding set", seen(inside, err))
}

func featuresSeccomp(c *container) {
	f := c.features()
	if f == nil || f.Linux.Seccomp == nil {
		return
	}
	recognized := func(what string, filter object) {
		c.set("/linux/seccomp", filter)
		err := c.create()
		c.ok(err == nil, what, err)
		c.another()
	}
	for _, action := range f.Linux.Seccomp.Actions {
		if action == "SCMP_ACT_NOTIFY" { // needs an agent: see seccomp_notify
			continue
		}
		recognized(action, seccomp(action, object{}))
	}
	for _, operator := range f.Linux.Seccomp.Operators {
		recognized(operator, seccomp("SCMP_ACT_ERRNO", object{"args": list{object{"index": 0, "value": 1, "valueTwo": 1, "op": operator}}}))
	}
	for _, architecture := range f.Linux.Seccomp.Archs {
		filter := seccomp("SCMP_ACT_ERRNO", object{})
		filter["architectures"] = list{architecture}
		recognized(architecture, filter)
	}
	for _, flag := range append(f.Linux.Seccomp.KnownFlags, f.Linux.Seccomp.SupportedFlags...) {
		filter := seccomp("SCMP_ACT_ERRNO", object{})
		filter["flags"] = list{flag}
		recognized(flag, filter)
	}
}

func featuresMemoryPolicy(c *container) {
	f := c.features()
	if f == nil {
		return
	}
	if f.Linux.MemoryPolicy == nil || !exists("/proc/self/numa_maps") {
		c.skip("the runtime names no memory policies, or the kernel has none")
		return
	}
	for _, mode := range f.Linux.MemoryPolicy.Modes {
		nodes := "0"
		if mode == "MPOL_DEFAULT" || mode == "MPOL_LOCAL" {
			nodes = ""
		}
		c.set("/linux/memoryPolicy", object{"mode": mode, "nodes": nodes})
		c.accepted(mode)
		c.another()
	}
	for _, flag := range f.Linux.MemoryPolicy.Flags {
		c.set("/linux/memoryPolicy", object{"mode": "MPOL_BIND", "nodes": "0", "flags": list{flag}})
		c.accepted(flag)
		c.another()
	}
}

func featuresIdmap(c *container) {
	f := c.features()
	if f == nil {
		return
	}
	entry := c.mapped("idmap")
	entry["uidMappings"], entry["gidMappings"] = idMappings(2000), idMappings(3000)
	c.set("/mounts/-", entry)
	got, err := c.output("stat -c %u:%g /mnt")
	says := f.Linux.MountExtensions != nil && f.Linux.MountExtensions.IDMap != nil && f.Linux.MountExtensions.IDMap.Enabled != nil && *f.Linux.MountExtensions.IDMap.Enabled
	works := err == nil && got == "2000:3000"
	c.ok(says || !works, "a mapped mount works", fmt.Sprintf("says %t, works %t", says, works))
}
