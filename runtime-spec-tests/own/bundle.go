package main

import (
	"fmt"
	"os"
)

var bundleTests = []test{
	must("config_file", configFile, in("bundle.md", "Container Format",
		"This REQUIRED file MUST reside in the root of the bundle directory and MUST be named `config.json`.")),
	must("oci_version", ociVersion, in("config.md", "Specification version",
		"`ociVersion` (string, REQUIRED) MUST be in SemVer v2.0.0 format")),
	must("root_directory", rootDirectory, in("config.md", "Root",
		"A directory MUST exist at the path declared by the field.",
		"On all other platforms, this field is REQUIRED.",
		"`path` (string, REQUIRED)")),
	must("annotations_map", annotationsMap, in("config.md", "Annotations",
		"Annotations MUST be a key-value map.",
		"Keys MUST be strings.",
		"Keys MUST NOT be an empty string.",
		"Values MUST be strings.")),
	must("annotation_unknown", annotationUnknown, in("config.md", "Annotations",
		"Runtimes MUST handle unknown annotation keys like any other unknown property.")),
	must("property_unknown", propertyUnknown, in("config.md", "Extensibility",
		"Runtimes MAY log unknown properties but MUST otherwise ignore them.")),
	must("invalid_values", invalidValues, in("config.md", "Valid values",
		"Runtimes MUST generate an error when invalid or unsupported values are encountered.")),
}

func configFile(c *container) {
	c.need(c.create())
	c.another()
	check(os.Rename(c.bundle+"/config.json", c.bundle+"/spec.json"))
	c.config = nil
	c.refused("only spec.json is there")
}

func ociVersion(c *container) {
	for _, version := range []any{"1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-", "", 1, nil} {
		c.set("/ociVersion", version)
		c.refused(fmt.Sprintf("%#v", version))
		c.another()
	}
}

func rootDirectory(c *container) {
	for _, root := range []any{object{"path": "missing"}, object{"path": "rootfs/bin/busybox"}, object{}, nil} {
		c.set("/root", root)
		c.refused(fmt.Sprintf("root %v", root))
		c.another()
	}
}

func annotationsMap(c *container) {
	for _, annotations := range []any{list{"a"}, object{"a": 1}, object{"a": object{"b": "c"}}, object{"": "a"}} {
		c.set("/annotations", annotations)
		c.refused(fmt.Sprintf("%v", annotations))
		c.another()
	}
}

func annotationUnknown(c *container) {
	c.set("/annotations", object{"com.example.unknown": "", "org.example": "a"})
	c.accepted("two unknown keys")
	got := c.state().Annotations
	c.ok(len(got) == 2 && got["org.example"] == "a", "state has both", got)
}

func propertyUnknown(c *container) {
	for _, place := range []string{"/unknown", "/process/unknown", "/process/user/unknown", "/root/unknown", "/mounts/0/unknown",
		"/linux/unknown", "/linux/resources/unknown", "/linux/namespaces/0/unknown"} {
		c.set(place, object{"a": list{1}})
	}
	c.accepted("in eight objects")
}

func invalidValues(c *container) {
	for place, value := range map[string]any{
		"/linux/namespaces/-":             object{"type": "disk"},
		"/linux/rootfsPropagation":        "sideways",
		"/linux/devices":                  list{object{"type": "x", "path": "/dev/x", "major": 1, "minor": 3}},
		"/linux/seccomp":                  object{"defaultAction": "SCMP_ACT_UNKNOWN"},
		"/linux/seccomp/architectures":    list{"SCMP_ARCH_UNKNOWN"},
		"/linux/seccomp/flags":            list{"SECCOMP_FILTER_FLAG_UNKNOWN"},
		"/linux/personality":              object{"domain": "LINUX128"},
		"/linux/memoryPolicy":             object{"mode": "MPOL_UNKNOWN", "nodes": ""},
		"/linux/intelRdt":                 object{"memBwSchema": "no schema"},
		"/linux/timeOffsets":              object{"sundial": object{"secs": 1}},
		"/process/rlimits":                list{object{"type": "RLIMIT_UNKNOWN", "soft": 1, "hard": 1}},
		"/process/scheduler":              object{"policy": "SCHED_UNKNOWN"},
		"/process/ioPriority":             object{"class": "IOPRIO_CLASS_UNKNOWN", "priority": 1},
		"/process/oomScoreAdj":            1001,
		"/process/user/uid":               -1,
		"/linux/resources/pids":           object{"limit": "many"},
		"/linux/resources/devices":        list{object{"allow": true, "type": "z", "access": "rwm"}},
		"/linux/resources/hugepageLimits": list{object{"pageSize": "3MB", "limit": 0}},
		"/linux/resources/cpu":            object{"cpus": "none"},
		"/linux/sysctl":                   object{"no.such.sysctl": "1"},
	} {
		if place == "/linux/seccomp/architectures" || place == "/linux/seccomp/flags" {
			c.set("/linux/seccomp", object{"defaultAction": "SCMP_ACT_ALLOW"})
		}
		c.set(place, value)
		c.refused(fmt.Sprintf("%s %v", place, value))
		c.another()
	}
}
