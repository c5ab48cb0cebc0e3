package main

import (
	"encoding/json"
	"fmt"
	"net"
	"syscall"
	"time"
)

var seccompTests = []test{
	must("seccomp_errno_unsupported", seccompErrnoUnsupported, in("config-linux.md", "Seccomp",
		"When the action doesn't support an errno, the runtime MUST print and error and fail.")),
	must("seccomp_names_empty", seccompNamesEmpty, in("config-linux.md", "Seccomp",
		"`names` MUST contain at least one entry.")),
	must("seccomp_metadata_alone", seccompMetadataAlone, in("config-linux.md", "Seccomp",
		"This field MUST NOT be set if `listenerPath` is not set.")),
	must("seccomp_notify", seccompNotify,
		in("config-linux.md", "Seccomp",
			"The runtime MUST send exactly one container process state per connection.",
			"This socket MUST use `AF_UNIX` domain and `SOCK_STREAM` type.",
			"The connection MUST NOT be reused and it MUST be closed after sending a seccomp state.",
			"`seccompFd` (string, REQUIRED)"),
		in("config-linux.md", "The Container Process State",
			"The container runtime MUST send the container process state over the UNIX socket as regular payload serialized in JSON and file descriptors MUST be sent using `SCM_RIGHTS`.",
			"If more than one `sendmsg(2)` is used, the file descriptors MUST be sent only in the first call.",
			"`ociVersion` (string, REQUIRED)", "`pid` (int, REQUIRED)", "`state` (state, REQUIRED)")),
	must("seccomp_notify_unreachable", seccompNotifyUnreachable, in("config-linux.md", "Seccomp",
		"If sending to this socket fails, the runtime MUST generate an error.")),
}

// seccomp allows everything but the system call, which the container does not use.
func seccomp(action string, rule object) object {
	rule["names"], rule["action"] = list{"acct"}, action
	return object{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list{rule}}
}

func seccompErrnoUnsupported(c *container) {
	for _, action := range []string{"SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"} {
		c.set("/linux/seccomp", seccomp(action, object{"errnoRet": 1}))
		c.refused(action + " with errnoRet")
		c.another()
	}
	c.set("/linux/seccomp", object{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1})
	c.refused("SCMP_ACT_ALLOW with defaultErrnoRet")
}

func seccompNamesEmpty(c *container) {
	c.set("/linux/seccomp", object{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list{object{"names": list{}, "action": "SCMP_ACT_ERRNO"}}})
	c.refused("no name")
}

func seccompMetadataAlone(c *container) {
	filter := seccomp("SCMP_ACT_ERRNO", object{})
	filter["listenerMetadata"] = "metadata"
	c.set("/linux/seccomp", filter)
	c.refused("only listenerMetadata")
}

func (c *container) notify(socket string) {
	filter := seccomp("SCMP_ACT_NOTIFY", object{})
	filter["listenerPath"], filter["listenerMetadata"] = socket, "metadata"
	c.set("/linux/seccomp", filter)
	c.args("sleep", "1000")
}

// notified is one connection to a seccomp agent, read to its end.
type notified struct {
	payload []byte
	files   []int
	late    bool
	err     error
}

func (n *notified) read(listener *net.UnixListener) {
	connection, err := listener.AcceptUnix()
	if err != nil {
		n.err = err
		return
	}
	defer connection.Close()
	_ = connection.SetReadDeadline(time.Now().Add(patience))
	for first := true; ; first = false {
		data, files, err := receive(connection)
		if err != nil || len(data) == 0 {
			n.err = err
			return
		}
		n.late = n.late || (!first && len(files) > 0)
		n.payload, n.files = append(n.payload, data...), append(n.files, files...)
	}
}

func seccompNotify(c *container) {
	socket := c.bundle + "/agent.sock"
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	check(err)
	defer listener.Close()
	check(listener.SetDeadline(time.Now().Add(patience)))
	var n notified
	done := make(chan struct{})
	go func() { n.read(listener); close(done) }()
	c.notify(socket)
	c.need(c.create())
	c.need(c.start())
	<-done
	defer func() {
		for _, file := range n.files {
			syscall.Close(file)
		}
	}()
	var sent struct {
		OciVersion, Metadata string
		Fds                  []string
		Pid                  int
		State                state
	}
	err = json.Unmarshal(n.payload, &sent)
	c.ok(err == nil, "one JSON document, and the end of the connection", fmt.Sprintf("%v %v %q", n.err, err, n.payload))
	c.ok(len(n.files) == 1 && len(sent.Fds) == 1 && sent.Fds[0] == "seccompFd", "seccompFd comes with it", fmt.Sprint(len(n.files), sent.Fds))
	c.ok(!n.late, "file descriptors only with the first message", n.files)
	c.ok(sent.OciVersion != "", "ociVersion", string(n.payload))
	c.ok(sent.Pid == c.state().Pid, "pid", fmt.Sprint(sent.Pid, " instead of ", c.state().Pid))
	c.ok(sent.State.ID == c.id && sent.State.Pid == sent.Pid && sent.State.Bundle == c.bundle && sent.State.Status != "", "state", string(n.payload))
	c.ok(sent.Metadata == "metadata", "metadata", sent.Metadata)
}

func seccompNotifyUnreachable(c *container) {
	c.notify(c.bundle + "/nobody.sock")
	c.refused("nobody listens")
}
