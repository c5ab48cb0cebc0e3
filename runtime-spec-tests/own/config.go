package main

import (
	"encoding/json"
	"strconv"
	"strings"
)

// object and list are JSON's.
type (
	object = map[string]any
	list   = []any
)

// words is the list of the words in the text.
func words(text string) list {
	all := list{}
	for _, word := range strings.Fields(text) {
		all = append(all, word)
	}
	return all
}

// defaultConfig is a configuration that every runtime accepts.
func defaultConfig() object {
	namespaces := list{}
	for _, kind := range words("pid mount ipc uts network") {
		namespaces = append(namespaces, object{"type": kind})
	}
	capabilities := "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_MKNOD CAP_SETGID CAP_SETUID CAP_NET_ADMIN"
	return object{
		"ociVersion": "1.0.0",
		"root":       object{"path": "rootfs"},
		"process": object{
			"args": list{"true"},
			"cwd":  "/",
			"env":  list{"PATH=/bin"},
			"user": object{"uid": 0, "gid": 0},
			"capabilities": object{
				"bounding": words(capabilities), "effective": words(capabilities), "permitted": words(capabilities),
			},
		},
		"mounts": list{
			mount("proc", "/proc"),
			mount("tmpfs", "/dev", "nosuid", "mode=755"),
			mount("devpts", "/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
		},
		"linux": object{"namespaces": namespaces},
	}
}

// mount is an entry of /mounts; the source of a mount that has none is a dummy.
func mount(kind, destination string, options ...any) object {
	return object{"type": kind, "source": kind, "destination": destination, "options": append(list{}, options...)}
}

// bind is an entry of /mounts for a bind mount.
func bind(source, destination string, options ...any) object {
	return object{"type": "none", "source": source, "destination": destination, "options": append(list{"bind"}, options...)}
}

// set puts a copy of the value where the JSON pointer points: nil removes what is there, and the
// last component `-` appends to a list.
func (c *container) set(pointer string, value any) {
	text, err := json.Marshal(value)
	check(err)
	var fresh any
	check(json.Unmarshal(text, &fresh))
	c.config = placed(c.config, strings.Split(pointer, "/")[1:], fresh).(object)
}

func placed(node any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	items, isList := node.(list)
	if isList || path[0] == "-" {
		index, err := strconv.Atoi(path[0])
		if err != nil || index >= len(items) {
			index, items = len(items), append(items, nil)
		}
		items[index] = placed(items[index], path[1:], value)
		return items
	}
	members, isObject := node.(object)
	if !isObject {
		members = object{}
	}
	if len(path) == 1 && value == nil {
		delete(members, path[0])
	} else {
		members[path[0]] = placed(members[path[0]], path[1:], value)
	}
	return members
}
