package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

const networkDevices = "Network Devices"

var netDeviceTests = []test{
	must("net_device", netDevice, in("config-linux.md", networkDevices,
		"A set of network devices that MUST be made available in the container.",
		"The runtime MUST check if moving the network interface to the container namespace is possible.",
		"The runtime MUST set the network device state to \"up\" after moving it to the network namespace")),
	must("net_device_attributes", netDeviceAttributes, in("config-linux.md", networkDevices,
		"The runtime MUST preserve existing network interface attributes, including all permanent IP addresses")),
	must("net_device_name_taken", netDeviceNameTaken, in("config-linux.md", networkDevices,
		"If a network device with the specified name already exists in the container namespace, the runtime MUST generate an error")),
	must("net_device_name_template", netDeviceNameTemplate, in("config-linux.md", networkDevices,
		"In that case, the runtime MUST allow the move, and the kernel will generate a unique name")),
	must("net_device_stays", netDeviceStays, in("config-linux.md", "Namespace Lifecycle and Container Termination",
		"The runtime MUST NOT actively manage the interface's lifecycle and configuration within the container's network namespace.",
		"The runtime MUST NOT attempt to move the interface out of the namespace before deletion.")),
}

// newLink gives the test, and the runtime that it calls, a network namespace of its own with an
// end `spec0` of a virtual cable. It is false, with an assertion skipped, where that cannot be.
func (c *container) newLink() bool {
	runtime.LockOSThread()
	check(syscall.Unshare(syscall.CLONE_NEWNET))
	if err := ip("link add spec0 type veth peer name spec1"); err != nil {
		c.skip(fmt.Sprintf("needs ip and veth devices: %v", err))
		return false
	}
	return true
}

func ip(arguments string) error {
	output, err := exec.Command("ip", strings.Fields(arguments)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", arguments, err, output)
	}
	return nil
}

func netDevice(c *container) {
	if !c.newLink() {
		return
	}
	c.set("/linux/netDevices", object{"spec0": object{"name": "inside0"}})
	flags, err := c.output("cat /proc/net/dev | grep -o inside0; ip link show inside0")
	c.ok(err == nil && strings.Contains(flags, "inside0"), "moved and renamed", seen(flags, err))
	c.ok(strings.Contains(flags, "UP"), "up", seen(flags, err))
	c.another()
	c.set("/linux/netDevices", object{"missing0": object{}})
	c.refused("a device that does not exist")
}

func netDeviceAttributes(c *container) {
	if !c.newLink() {
		return
	}
	check(ip("link set spec0 mtu 1234 address 02:00:00:00:00:01"))
	check(ip("address add 192.0.2.1/24 dev spec0"))
	addresses := []string{"192.0.2.1/24", "2001:db8::1/64"}
	if err := ip("address add 2001:db8::1/64 dev spec0 nodad"); err != nil {
		c.skip(fmt.Sprintf("needs IPv6: %v", err))
		addresses = addresses[:1]
	}
	c.set("/linux/netDevices", object{"spec0": object{}})
	shown, err := c.output("ip addr show spec0")
	for _, attribute := range append(addresses, "mtu 1234", "02:00:00:00:00:01") {
		c.ok(err == nil && strings.Contains(shown, attribute), attribute, seen(shown, err))
	}
}

func netDeviceNameTaken(c *container) {
	if !c.newLink() {
		return
	}
	c.set("/linux/netDevices", object{"spec0": object{"name": "lo"}})
	c.refused("the name is lo")
	c.ok(ip("link show spec0") == nil, "the device is where it was", "spec0 is gone")
}

func netDeviceNameTemplate(c *container) {
	if !c.newLink() {
		return
	}
	c.set("/linux/netDevices", object{"spec0": object{"name": "eth%d"}})
	c.prints("eth0", "grep -o eth[0-9] /proc/net/dev")
}

func netDeviceStays(c *container) {
	if !c.newLink() {
		return
	}
	c.set("/linux/netDevices", object{"spec0": object{}})
	// A device that the runtime brings up again, or moves back, does not stay down inside, or is here again.
	c.need(c.launch("ip link set spec0 down; while test ! -e /seen; do ip link show spec0 > /seen; done; sleep 1000"))
	c.ok(waitFor(func() bool { return read(c.file("seen")) != "" }), "the container has it", "no spec0 inside")
	c.ok(!strings.Contains(read(c.file("seen")), "UP"), "the container sets it down", read(c.file("seen")))
	_, err := c.call("kill", c.id, "KILL")
	c.need(err)
	c.waitStopped()
	c.need(c.delete())
	c.ok(ip("link show spec0") != nil, "a virtual device ends with its namespace", "spec0 was moved back")
}
