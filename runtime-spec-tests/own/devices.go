package main

import (
	"fmt"
	"net"
	"strings"
	"syscall"
)

var deviceTests = []test{
	must("device_mismatch", deviceMismatch, in("config-linux.md", "Devices",
		"If a file already exists at `path` that does not match the requested device, the runtime MUST generate an error.")),
	must("device_rules_order", deviceRulesOrder, in("config-linux.md", "Allowed Device list",
		"The runtime MUST apply entries in the listed order.")),
	must("console_device", consoleDevice, in("config-linux.md", "Default Devices",
		"In addition to any devices configured with this setting, the runtime MUST also supply:")),
}

func deviceMismatch(c *container) {
	c.write("/opt/device", "a regular file")
	c.set("/linux/devices", list{object{"type": "c", "path": "/opt/device", "major": 1, "minor": 3}})
	c.refused("a regular file")
	c.another()
	check(syscall.Mknod(c.file("/opt/zero"), syscall.S_IFCHR|0o666, 1<<8|5))
	c.set("/linux/devices", list{object{"type": "c", "path": "/opt/zero", "major": 1, "minor": 3}})
	c.refused("another device")
	c.another()
	c.set("/linux/devices", list{object{"type": "c", "path": "/opt/zero", "major": 1, "minor": 5}})
	c.accepted("the same device")
}

func deviceRulesOrder(c *container) {
	all := object{"allow": false, "access": "rwm"}
	// A runtime may allow the default devices whatever the rules say: /dev/kmsg is none of them.
	allow := object{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rwm"}
	deny := object{"allow": false, "type": "c", "major": 1, "minor": 11, "access": "w"}
	for want, rules := range map[string]list{"denied": {all, allow, deny}, "opened": {all, deny, allow}} {
		c.set("/linux/devices", list{object{"type": "c", "path": "/dev/kmsg", "major": 1, "minor": 11}})
		c.set("/linux/resources/devices", rules)
		c.prints(want, "(: > /dev/kmsg) 2>/dev/null && echo opened || echo denied")
		c.another()
	}
}

// consoleDevice checks the entry of the list that needs a terminal; the suite's `default` has the others.
func consoleDevice(c *container) {
	socket := c.bundle + "/console.sock"
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	check(err)
	defer listener.Close()
	c.set("/process/terminal", true)
	c.args("sh", "-c", "test -c /dev/console && stat -L -c %t:%T /dev/console /proc/self/fd/0 > /seen")
	c.createFlags = []string{"--console-socket", socket}
	c.need(c.create())
	connection, err := listener.AcceptUnix()
	check(err)
	defer connection.Close()
	_, terminals, err := receive(connection)
	check(err)
	c.need(c.start())
	c.waitStopped()
	for _, terminal := range terminals {
		syscall.Close(terminal)
	}
	devices := strings.Fields(read(c.file("seen")))
	c.ok(len(devices) == 2 && devices[0] == devices[1], "/dev/console is the terminal of standard input", devices)
}

// receive reads one message and the file descriptors that come with it.
func receive(connection *net.UnixConn) ([]byte, []int, error) {
	data, rights := make([]byte, 1<<16), make([]byte, 1024)
	n, r, _, _, err := connection.ReadMsgUnix(data, rights)
	if err != nil {
		return nil, nil, fmt.Errorf("receive: %w", err)
	}
	messages, err := syscall.ParseSocketControlMessage(rights[:r])
	if err != nil {
		return nil, nil, err
	}
	var files []int
	for _, message := range messages {
		passed, err := syscall.ParseUnixRights(&message)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, passed...)
	}
	return data[:n], files, nil
}
