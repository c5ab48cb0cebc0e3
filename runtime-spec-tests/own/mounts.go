package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

var mountTests = []test{
	must("mount_order", mountOrder, in("config.md", "Mounts", "The runtime MUST mount entries in the listed order.")),
	must("mount_destination_relative", mountDestinationRelative, in("config.md", "Mounts",
		"For compatibility with old tools and configurations, it MAY be a relative path, in which case it MUST be interpreted as relative to \"/\".")),
	must("mount_options", mountOptions, optionPassages()...),
	must("mount_remount", mountRemount, in("config.md", "Linux mount options", "`remount` | MUST")),
	must("mount_propagation", mountPropagation, in("config.md", "Linux mount options",
		"`private` | MUST", "`rprivate` | MUST", "`shared` | MUST", "`rshared` | MUST", "`slave` | MUST", "`rslave` | MUST",
		"`unbindable` | MUST", "`runbindable` | MUST")),
	must("mount_bind", mountBind, in("config.md", "Linux mount options", "`bind` | MUST", "`rbind` | MUST")),
	must("mount_idmap", mountIdmap, in("config.md", "Linux mount options",
		"If `uidMappings` or `gidMappings` are specified for the mount, the runtime MUST use those values for the mount's mapping.",
		"Indicates that the mount MUST have an idmapping applied")),
	must("mount_idmap_unmapped", mountIdmapUnmapped, in("config.md", "Linux mount options",
		"If there are no `uidMappings` and `gidMappings` specified and the container isn't using user namespaces, an error MUST be returned.")),
	must("mount_idmap_user_namespace", mountIdmapUserNamespace, in("config.md", "Linux mount options",
		"If they are not specified, the runtime MAY use the container's user namespace mapping, otherwise an error MUST be returned.")),
	must("mount_idmap_half", mountIdmapHalf, in("config.md", "POSIX-platform Mounts",
		"If specified, it MUST be specified along with `gidMappings`.",
		"If specified, it MUST be specified along with `uidMappings`.")),
}

// mountOption is an option and what mountinfo shows of it: `shown` in the mount's own options
// or those of its file system, or its absence after a `!`.
type mountOption struct{ name, shown string }

// optionTable has the options of which the mount itself shows the effect. Where an option is
// a default, or only undoes another, that other one stands before it.
var optionTable = []mountOption{
	{"async", "!sync"}, {"atime", "!noatime"}, {"defaults", "rw"}, {"dev", "!nodev"}, {"diratime", "!nodiratime"},
	{"dirsync", "dirsync"}, {"exec", "!noexec"}, {"iversion", "rw"}, {"lazytime", "lazytime"}, {"loud", "rw"},
	{"noatime", "noatime"}, {"nodev", "nodev"}, {"nodiratime", "nodiratime"}, {"noexec", "noexec"}, {"noiversion", "rw"},
	{"nolazytime", "!lazytime"}, {"norelatime", "rw"}, {"nostrictatime", "rw"}, {"nosuid", "nosuid"}, {"relatime", "relatime"},
	{"ro", "ro"}, {"rw", "!ro"}, {"silent", "rw"}, {"strictatime", "!relatime"}, {"suid", "!nosuid"}, {"sync", "sync"},
}

// undone are the options that an option of the table takes back.
var undone = map[string]string{
	"async": "sync", "atime": "noatime", "dev": "nodev", "diratime": "nodiratime", "exec": "noexec",
	"nolazytime": "lazytime", "rw": "ro", "suid": "nosuid",
}

func optionPassages() []passage {
	sentences := []string{
		"Runtimes MUST/SHOULD/MAY implement the following option strings for Linux:",
		"The \"MUST\" options correspond to `mount(8)`.",
	}
	for _, option := range optionTable {
		sentences = append(sentences, fmt.Sprintf("`%s` | MUST", option.name))
	}
	return []passage{in("config.md", "Linux mount options", sentences...)}
}

// mountinfo is a shell command that prints the options of the mount at the path, those of the
// mount and then those of its file system, and its propagation between them.
func mountinfo(path string) string { return "grep ' " + path + " ' /proc/self/mountinfo" }

// options are those in a line of mountinfo.
func options(line string) []string {
	before, after, _ := strings.Cut(line, " - ")
	fields, super := strings.Fields(before), strings.Fields(after)
	if len(fields) < 6 || len(super) < 3 {
		return nil
	}
	return append(strings.Split(fields[5], ","), strings.Split(super[2], ",")...)
}

func mountOptions(c *container) {
	for _, option := range optionTable {
		given := append(words(undone[option.name]), option.name)
		c.set("/mounts/-", mount("tmpfs", "/mnt", given...))
		line, err := c.output(mountinfo("/mnt"))
		want, absent := strings.CutPrefix(option.shown, "!")
		has := false
		for _, shown := range options(line) {
			has = has || shown == want
		}
		c.ok(err == nil && line != "" && has != absent, fmt.Sprintf("%v", given), seen(line, err))
		c.another()
	}
}

func mountOrder(c *container) {
	c.set("/mounts/-", mount("tmpfs", "/mnt", "size=4k"))
	c.set("/mounts/-", mount("tmpfs", "/mnt/below", "size=8k"))
	c.set("/mounts/-", mount("tmpfs", "/mnt/below", "size=12k"))
	c.prints("4k 8k 12k", "grep /mnt /proc/self/mountinfo | sed 's/.*size=\\([0-9]*k\\).*/\\1/' | xargs")
}

func mountDestinationRelative(c *container) {
	c.set("/mounts/-", mount("tmpfs", "mnt/relative"))
	c.set("/process/cwd", "/bin")
	c.prints("/mnt/relative", "grep -o ' /mnt/relative ' /proc/self/mountinfo")
}

func mountRemount(c *container) {
	c.set("/mounts/-", mount("tmpfs", "/mnt", "size=4k"))
	c.set("/mounts/-", mount("tmpfs", "/mnt", "remount", "ro"))
	line, err := c.output(mountinfo("/mnt"))
	c.ok(err == nil && strings.Count(line, " /mnt ") == 1 && strings.Contains(line, "ro,"), "one mount, now read-only", seen(line, err))
}

func mountPropagation(c *container) {
	outside := c.bundle + "/outside"
	check(os.Mkdir(outside, 0o755))
	check(syscall.Mount("tmpfs", outside, "tmpfs", 0, ""))
	defer syscall.Unmount(outside, syscall.MNT_DETACH)
	check(syscall.Mount("", outside, "", syscall.MS_SHARED, ""))
	for mode, want := range map[string]string{"private": "-", "shared": "shared", "slave": "master", "unbindable": "unbindable"} {
		for _, option := range []string{mode, "r" + mode} {
			c.set("/mounts/-", bind(outside, "/mnt", option))
			line, err := c.output(mountinfo("/mnt"))
			fields := strings.Fields(line)
			c.ok(err == nil && len(fields) > 6 && strings.HasPrefix(fields[6], want), option, seen(line, err))
			c.another()
		}
	}
}

func mountBind(c *container) {
	below := c.bundle + "/source/below"
	check(os.MkdirAll(below, 0o755))
	check(syscall.Mount("tmpfs", below, "tmpfs", 0, ""))
	defer syscall.Unmount(below, syscall.MNT_DETACH)
	check(os.WriteFile(below+"/file", nil, 0o644))
	c.set("/mounts/-", bind("source", "/mnt"))
	c.prints("below 0", "echo $(ls /mnt) $(ls /mnt/below | wc -l)")
	c.another()
	tree := bind("source", "/mnt")
	tree["options"] = list{"rbind"}
	c.set("/mounts/-", tree)
	c.prints("below 1", "echo $(ls /mnt) $(ls /mnt/below | wc -l)")
}

// mapped is a bind mount of a folder whose owner is 1000, with the option.
func (c *container) mapped(option string) object {
	check(os.MkdirAll(c.bundle+"/source", 0o755))
	check(os.Chown(c.bundle+"/source", 1000, 1000))
	return bind(c.bundle+"/source", "/mnt", option)
}

func idMappings(hostID int) list {
	return list{object{"containerID": 1000, "hostID": hostID, "size": 10}}
}

func mountIdmap(c *container) {
	for _, option := range []string{"idmap", "ridmap"} {
		entry := c.mapped(option)
		entry["uidMappings"], entry["gidMappings"] = idMappings(2000), idMappings(3000)
		c.set("/mounts/-", entry)
		got, err := c.output("stat -c %u:%g /mnt")
		c.ok(err == nil && got == "2000:3000", option, seen(got, err))
		c.another()
	}
}

func mountIdmapUnmapped(c *container) {
	for _, option := range []string{"idmap", "ridmap"} {
		c.set("/mounts/-", c.mapped(option))
		c.refused(option)
		c.another()
	}
}

// userNamespace makes the container's root the host's 100000, and gives it the root file system.
func (c *container) userNamespace() {
	for _, ids := range []string{"uid", "gid"} {
		c.set("/linux/"+ids+"Mappings", list{object{"containerID": 0, "hostID": 100000, "size": 65536}})
	}
	c.set("/linux/namespaces/-", object{"type": "user"})
	check(os.Chmod(c.bundle, 0o755))
}

func mountIdmapUserNamespace(c *container) {
	c.userNamespace()
	c.set("/mounts/-", c.mapped("idmap"))
	got, err := c.output("stat -c %u:%g /mnt")
	// The source's owner 1000 is the container's 1000: the mount has the container's mapping.
	c.ok(err != nil || got == "1000:1000", "the container's mapping, or an error", seen(got, err))
}

func mountIdmapHalf(c *container) {
	for _, ids := range []string{"uidMappings", "gidMappings"} {
		entry := c.mapped("idmap")
		entry[ids] = idMappings(2000)
		c.set("/mounts/-", entry)
		c.refused("only " + ids)
		c.another()
	}
}
