package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

var requiredTests = []test{
	must("required_config", func(c *container) { c.requires(requiredConfig) }, requiredPassages("config.md", requiredConfig)...),
	must("required_config_linux", func(c *container) { c.requires(requiredLinux) }, requiredPassages("config-linux.md", requiredLinux)...),
}

// required is a REQUIRED property: where it stands, and what has to be set for its object to
// be there. A configuration without it is invalid, and config.md says under Valid values that
// runtimes must then generate an error.
type required struct {
	heading, sentence string
	property          string
	with              object
}

var (
	rlimit = object{"/process/rlimits": list{object{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}}}
	device = object{"/linux/devices": list{object{"type": "c", "path": "/dev/extra", "major": 1, "minor": 3}}}
	rule   = object{"/linux/seccomp": object{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list{object{
		"names": list{"getcwd"}, "action": "SCMP_ACT_ERRNO", "args": list{object{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}}}}}}
)

var requiredConfig = []required{
	{"Mounts", "`destination` (string, REQUIRED)", "/mounts/0/destination", nil},
	{"Process", "`cwd` (string, REQUIRED)", "/process/cwd", nil},
	{"POSIX process", "`type` (string, REQUIRED)", "/process/rlimits/0/type", rlimit},
	{"POSIX process", "`soft` (uint64, REQUIRED)", "/process/rlimits/0/soft", rlimit},
	{"POSIX process", "`hard` (uint64, REQUIRED)", "/process/rlimits/0/hard", rlimit},
	{"Linux Process", "`policy` (string, REQUIRED)", "/process/scheduler/policy", object{"/process/scheduler": object{"policy": "SCHED_BATCH", "nice": 1}}},
	{"Linux Process", "`class` (string, REQUIRED)", "/process/ioPriority/class", object{"/process/ioPriority": object{"class": "IOPRIO_CLASS_BE", "priority": 4}}},
	{"Linux Process", "`priority` (int, REQUIRED)", "/process/ioPriority/priority", object{"/process/ioPriority": object{"class": "IOPRIO_CLASS_BE", "priority": 4}}},
	{"POSIX-platform User", "`uid` (int, REQUIRED)", "/process/user/uid", nil},
	{"POSIX-platform User", "`gid` (int, REQUIRED)", "/process/user/gid", nil},
	{posixHooks, "`path` (string, REQUIRED)", "/hooks/createRuntime/0/path", object{"/hooks/createRuntime": list{object{"path": "/bin/true"}}}},
}

var requiredLinux = []required{
	{"Namespaces", "`type` (string, REQUIRED)", "/linux/namespaces/4/type", nil},
	{"User namespace mappings", "`containerID` (uint32, REQUIRED)", "/linux/uidMappings/0/containerID", userNamespaceConfig()},
	{"User namespace mappings", "`hostID` (uint32, REQUIRED)", "/linux/uidMappings/0/hostID", userNamespaceConfig()},
	{"User namespace mappings", "`size` (uint32, REQUIRED)", "/linux/uidMappings/0/size", userNamespaceConfig()},
	{"Devices", "`type` (string, REQUIRED)", "/linux/devices/0/type", device},
	{"Devices", "`path` (string, REQUIRED)", "/linux/devices/0/path", device},
	{"Devices", "`major, minor` (int64, REQUIRED unless `type` is `p`)", "/linux/devices/0/major", device},
	{"Devices", "`major, minor` (int64, REQUIRED unless `type` is `p`)", "/linux/devices/0/minor", device},
	{"Allowed Device list", "`allow` (boolean, REQUIRED)", "/linux/resources/devices/0/allow", object{"/linux/resources/devices": list{object{"allow": true, "access": "rwm"}}}},
	{"Block IO", "`major, minor` (int64, REQUIRED)", "/linux/resources/blockIO/throttleReadBpsDevice/0/major", throttled("throttleReadBpsDevice")},
	{"Block IO", "`rate` (uint64, REQUIRED)", "/linux/resources/blockIO/throttleReadBpsDevice/0/rate", throttled("throttleReadBpsDevice")},
	{"Block IO", "`rate` (uint64, REQUIRED)", "/linux/resources/blockIO/throttleReadIOPSDevice/0/rate", throttled("throttleReadIOPSDevice")},
	{"Huge page limits", "`pageSize` (string, REQUIRED)", "/linux/resources/hugepageLimits/0/pageSize", object{"/linux/resources/hugepageLimits": list{object{"pageSize": "2MB", "limit": 0}}}},
	{"Huge page limits", "`limit` (uint64, REQUIRED)", "/linux/resources/hugepageLimits/0/limit", object{"/linux/resources/hugepageLimits": list{object{"pageSize": "2MB", "limit": 0}}}},
	{"Network", "`name` (string, REQUIRED)", "/linux/resources/network/priorities/0/name", object{"/linux/resources/network/priorities": list{object{"name": "lo", "priority": 1}}}},
	{"Network", "`priority` (uint32, REQUIRED)", "/linux/resources/network/priorities/0/priority", object{"/linux/resources/network/priorities": list{object{"name": "lo", "priority": 1}}}},
	{"Memory policy", "`mode` (string, REQUIRED)", "/linux/memoryPolicy/mode", object{"/linux/memoryPolicy": object{"mode": "MPOL_DEFAULT", "nodes": ""}}},
	{"Seccomp", "`defaultAction` (string, REQUIRED)", "/linux/seccomp/defaultAction", rule},
	{"Seccomp", "`names` (array of strings, REQUIRED)", "/linux/seccomp/syscalls/0/names", rule},
	{"Seccomp", "`action` (string, REQUIRED)", "/linux/seccomp/syscalls/0/action", rule},
	{"Seccomp", "`index` (uint, REQUIRED)", "/linux/seccomp/syscalls/0/args/0/index", rule},
	{"Seccomp", "`value` (uint64, REQUIRED)", "/linux/seccomp/syscalls/0/args/0/value", rule},
	{"Seccomp", "`op` (string, REQUIRED)", "/linux/seccomp/syscalls/0/args/0/op", rule},
	{"Personality", "`domain` (string, REQUIRED)", "/linux/personality/domain", object{"/linux/personality": object{"domain": "LINUX"}}},
}

func requiredPassages(file string, table []required) []passage {
	var all []passage
	for _, r := range table {
		all = append(all, in(file, r.heading, r.sentence))
	}
	return all
}

// requires asserts that a configuration with each property is accepted, and without it refused.
func (c *container) requires(table []required) {
	for _, r := range table {
		c.sentence = r.sentence
		for place, value := range r.with {
			c.set(place, value)
		}
		if err := c.create(); err != nil {
			c.skip(fmt.Sprintf("%s: the whole configuration is refused: %v", r.property, err))
		} else {
			_, _ = c.call("delete", "--force", c.id)
			c.set(r.property, nil)
			c.refused("without " + r.property)
		}
		c.another()
	}
}

func userNamespaceConfig() object {
	ids := list{object{"containerID": 0, "hostID": 0, "size": 65536}}
	return object{"/linux/uidMappings": ids, "/linux/gidMappings": ids, "/linux/namespaces/-": object{"type": "user"}}
}

// throttled limits the rate of the first disk.
func throttled(property string) object {
	disks, _ := filepath.Glob("/sys/block/*/dev")
	for _, disk := range disks {
		major, minor, _ := strings.Cut(strings.TrimSpace(read(disk)), ":")
		majorNumber, _ := strconv.Atoi(major)
		minorNumber, _ := strconv.Atoi(minor)
		return object{"/linux/resources/blockIO/" + property: list{object{"major": majorNumber, "minor": minorNumber, "rate": 1 << 30}}}
	}
	return object{"/linux/resources/blockIO/" + property: list{}}
}
