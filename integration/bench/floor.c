/*
 * The floor: makes the container of docker-config.json with the fewest system calls that do it, runs its program, and removes
 * what it made. It parses nothing, records nothing, trusts the root file system and undoes nothing on an error, so no runtime
 * can be faster; how much slower one is, is the price of what it does beyond that.
 *
 *   floor FOLDER host|new MEMORY FILTER CGROUP...
 *
 * FOLDER has rootfs, and the files of etc that Docker mounts; MEMORY is the limit in bytes; FILTER holds the compiled seccomp
 * filter; each CGROUP is a folder to be made, in one hierarchy of version 1, or the only one of version 2.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <net/if.h>
#include <unistd.h>

/* <sys/mount.h> and <linux/mount.h> cannot be included together. */
int mount(const char *, const char *, const char *, unsigned long, const void *);
#define MNT_DETACH 2

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define INERT (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static void fail(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void must(long answer, const char *what)
{
	if (answer < 0)
		fail(what);
}

/* Valid until the next call. */
static const char *in(const char *folder, const char *name)
{
	static char path[8192];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	must(fd, path);
	must(write(fd, text, strlen(text)), path);
	close(fd);
}

/* --- Cgroups ------------------------------------------------------------------------------------------------------------- */

/* NULL is the limit of memory that was asked for. */
static const char *const limits[][2] = {
	{ "memory.limit_in_bytes", NULL },        { "memory.memsw.limit_in_bytes", "536870912" },
	{ "cpu.cfs_period_us", "100000" },        { "cpu.cfs_quota_us", "100000" },
	{ "pids.max", "100" },                    { "memory.max", NULL },
	{ "memory.swap.max", "268435456" },       { "cpu.max", "100000 100000" },
};

static const char *const devices[] = {
	"c 1:5 rwm", "c 1:3 rwm", "c 1:9 rwm", "c 1:8 rwm", "c 5:0 rwm", "c 5:1 rwm", "c 1:7 rwm", "c 5:2 rwm", "c 10:200 rwm", "c 136:* rwm",
	"c *:* m", "b *:* m",
};

static const struct { int major, minor; } allowed[] = {
	{ 1, 5 }, { 1, 3 }, { 1, 9 }, { 1, 8 }, { 5, 0 }, { 5, 1 }, { 1, 7 }, { 5, 2 }, { 10, 200 }, { 136, -1 },
};

static struct bpf_insn instruction(int code, int to, int from, int offset, int value)
{
	return (struct bpf_insn){ .code = code, .dst_reg = to, .src_reg = from, .off = offset, .imm = value };
}

static void answer(struct bpf_insn *program, size_t *length, int value)
{
	program[(*length)++] = instruction(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, value);
	program[(*length)++] = instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* The rules for devices of version 2: any node may be made, these character devices be used. */
static void filter_devices(const char *cgroup)
{
	struct bpf_insn program[128];
	size_t length = 0;
	for (int field = 0; field < 3; field++)
		program[length++] = instruction(BPF_LDX | BPF_MEM | BPF_W, 2 + field, 1, 4 * field, 0);
	/* The kind of access is in the upper half of the first word. */
	program[length++] = instruction(BPF_ALU64 | BPF_MOV | BPF_X, 5, 2, 0, 0);
	program[length++] = instruction(BPF_ALU64 | BPF_RSH | BPF_K, 5, 0, 0, 16);
	program[length++] = instruction(BPF_JMP | BPF_JNE | BPF_K, 5, 0, 2, BPF_DEVCG_ACC_MKNOD);
	answer(program, &length, 1);
	program[length++] = instruction(BPF_ALU64 | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
	program[length++] = instruction(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 2, BPF_DEVCG_DEV_CHAR);
	answer(program, &length, 0);
	for (size_t i = 0; i < COUNT(allowed); i++) {
		int any = allowed[i].minor < 0;
		program[length++] = instruction(BPF_JMP | BPF_JNE | BPF_K, 3, 0, any ? 2 : 3, allowed[i].major);
		if (!any)
			program[length++] = instruction(BPF_JMP | BPF_JNE | BPF_K, 4, 0, 2, allowed[i].minor);
		answer(program, &length, 1);
	}
	answer(program, &length, 0);
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .insns = (uintptr_t)program, .insn_cnt = length, .license = (uintptr_t)"Apache-2.0",
	};
	int loaded = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
	must(loaded, "program for devices");
	int folder = open(cgroup, O_RDONLY | O_DIRECTORY);
	must(folder, cgroup);
	union bpf_attr attach = { .target_fd = folder, .attach_bpf_fd = loaded, .attach_type = BPF_CGROUP_DEVICE, .attach_flags = BPF_F_ALLOW_MULTI };
	must(syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach), "program for devices");
	close(folder);
	close(loaded);
}

/* The controller is told from the name of the hierarchy's folder. */
static int has(const char *cgroup, const char *controller)
{
	return strstr(cgroup, controller) != NULL;
}

static void copy_down(const char *cgroup, const char *file)
{
	char text[256], parent[4096];
	snprintf(parent, sizeof parent, "%s/../%s", cgroup, file);
	int fd = open(parent, O_RDONLY);
	must(fd, parent);
	ssize_t length = read(fd, text, sizeof text - 1);
	close(fd);
	must(length, parent);
	text[length] = 0;
	put(in(cgroup, file), text);
}

static void make_cgroup(const char *cgroup, int v2, const char *memory)
{
	must(mkdir(cgroup, 0755), cgroup);
	if (has(cgroup, "/cpuset/")) {
		copy_down(cgroup, "cpuset.cpus");
		copy_down(cgroup, "cpuset.mems");
	}
	for (size_t i = 0; i < COUNT(limits); i++) {
		const char *name = limits[i][0], *value = limits[i][1] ? limits[i][1] : memory;
		int mine = v2 ? i >= 4 : i < 5 && ((has(cgroup, "/memory/") && i < 2) || (has(cgroup, "/cpu/") && i >= 2 && i < 4) || (has(cgroup, "/pids/") && i == 4));
		int fd = mine ? open(in(cgroup, name), O_WRONLY) : -1;
		/* A controller may be missing, and swap may not be accounted for. */
		if (fd >= 0) {
			must(write(fd, value, strlen(value)), name);
			close(fd);
		}
	}
	if (has(cgroup, "/devices/")) {
		put(in(cgroup, "devices.deny"), "a");
		int fd = open(in(cgroup, "devices.allow"), O_WRONLY);
		for (size_t i = 0; i < COUNT(devices); i++)
			must(write(fd, devices[i], strlen(devices[i])), "devices.allow");
		close(fd);
	}
	if (v2)
		filter_devices(cgroup);
}

/* Before the cgroup is made: its parent tells. */
static int is_v2(const char *cgroup)
{
	char parent[4096];
	snprintf(parent, sizeof parent, "%s", cgroup);
	*strrchr(parent, '/') = 0;
	return access(in(parent, "cgroup.controllers"), F_OK) == 0;
}

/* --- The container's root ------------------------------------------------------------------------------------------------- */

static void attach(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	must(mount(source, target, type, flags, data), target);
}

static void mounts(const char *folder, int cgroups, char **cgroup, int v2)
{
	static const char *const files[] = { "etc/resolv.conf", "etc/hostname", "etc/hosts" };
	attach(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL);
	const char *root = strdup(in(folder, "rootfs"));
	attach(root, root, NULL, MS_BIND | MS_REC, NULL);
	must(chdir(root), root);
	attach("proc", "proc", "proc", INERT, NULL);
	attach("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
	mkdir("dev/pts", 0755);
	attach("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
	attach("sysfs", "sys", "sysfs", INERT | MS_RDONLY, NULL);
	if (v2) {
		attach(cgroup[0], "sys/fs/cgroup", NULL, MS_BIND, NULL);
	} else {
		attach("cgroup", "sys/fs/cgroup", "tmpfs", INERT, "mode=755");
		for (int i = 0; i < cgroups; i++) {
			/* /sys/fs/cgroup/NAME/... */
			char name[256], target[300];
			sscanf(cgroup[i], "/sys/fs/cgroup/%255[^/]", name);
			snprintf(target, sizeof target, "sys/fs/cgroup/%s", name);
			must(mkdir(target, 0755), target);
			attach(cgroup[i], target, NULL, MS_BIND, NULL);
		}
	}
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };
	must(syscall(SYS_mount_setattr, AT_FDCWD, "sys/fs/cgroup", AT_RECURSIVE, &attr, sizeof attr), "sys/fs/cgroup");
	mkdir("dev/mqueue", 0755);
	attach("mqueue", "dev/mqueue", "mqueue", INERT, NULL);
	mkdir("dev/shm", 0755);
	attach("shm", "dev/shm", "tmpfs", INERT, "mode=1777,size=67108864");
	for (size_t i = 0; i < COUNT(files); i++) {
		attach(in(folder, files[i]), files[i], NULL, MS_BIND | MS_REC, NULL);
		attach(NULL, files[i], NULL, MS_PRIVATE | MS_REC, NULL);
	}
}

static void nodes(void)
{
	static const struct { const char *name; int major, minor; } node[] = {
		{ "dev/null", 1, 3 }, { "dev/zero", 1, 5 }, { "dev/full", 1, 7 }, { "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 },
	};
	static const char *const link[][2] = {
		{ "/proc/self/fd", "dev/fd" }, { "/proc/self/fd/0", "dev/stdin" }, { "/proc/self/fd/1", "dev/stdout" },
		{ "/proc/self/fd/2", "dev/stderr" }, { "/proc/kcore", "dev/core" }, { "pts/ptmx", "dev/ptmx" },
	};
	for (size_t i = 0; i < COUNT(node); i++)
		must(mknod(node[i].name, S_IFCHR | 0666, makedev(node[i].major, node[i].minor)), node[i].name);
	for (size_t i = 0; i < COUNT(link); i++)
		must(symlink(link[i][0], link[i][1]), link[i][1]);
}

static void hide(void)
{
	static const char *const read_only[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger" };
	static const char *const folders[] = { "proc/asound", "proc/acpi", "proc/scsi", "sys/firmware" };
	static const char *const files[] = { "proc/kcore", "proc/keys", "proc/latency_stats", "proc/timer_list", "proc/timer_stats", "proc/sched_debug" };
	for (size_t i = 0; i < COUNT(read_only); i++)
		if (mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL) == 0)
			attach(NULL, read_only[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | INERT, NULL);
	/* What is not there is not hidden. */
	for (size_t i = 0; i < COUNT(folders); i++)
		mount("tmpfs", folders[i], "tmpfs", MS_RDONLY | INERT, "nr_blocks=1,nr_inodes=1");
	for (size_t i = 0; i < COUNT(files); i++)
		mount("/dev/null", files[i], NULL, MS_BIND, NULL);
}

/* --- The process ---------------------------------------------------------------------------------------------------------- */

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	must(ioctl(fd, SIOCSIFFLAGS, &request), "lo");
	close(fd);
}

static void restrict_process(int filter_fd)
{
	static struct sock_filter filter[4096];
	const uint64_t keep = 1 << CAP_CHOWN | 1 << CAP_DAC_OVERRIDE | 1 << CAP_FSETID | 1 << CAP_FOWNER | 1 << CAP_MKNOD | 1 << CAP_NET_RAW | 1 << CAP_SETGID |
		1 << CAP_SETUID | 1u << CAP_SETFCAP | 1 << CAP_SETPCAP | 1 << CAP_NET_BIND_SERVICE | 1 << CAP_SYS_CHROOT | 1 << CAP_KILL | 1 << CAP_AUDIT_WRITE;
	const gid_t groups[] = { 0 };
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!(keep >> cap & 1))
			prctl(PR_CAPBSET_DROP, cap);
	must(syscall(SYS_setgroups, 1, groups), "setgroups");
	ssize_t size = read(filter_fd, filter, sizeof filter);
	must(size, "filter");
	close(filter_fd);
	struct sock_fprog program = { .len = size / sizeof *filter, .filter = filter };
	must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program), "seccomp");
}

static void child(char **argument, int host_network, int cgroups, char **cgroup, int v2)
{
	static char *const program[] = { "/bin/true", NULL };
	static char *const environment[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=bench", "HOME=/", NULL };
	for (int i = 0; i < cgroups && !v2; i++)
		put(in(cgroup[i], "tasks"), "0");
	setsid();
	must(sethostname("bench", 5), "hostname");
	/* Before the root is entered, while the file can be reached. */
	int filter = open(argument[4], O_RDONLY);
	must(filter, argument[4]);
	mounts(argument[1], cgroups, cgroup, v2);
	nodes();
	put("proc/self/oom_score_adj", "0");
	if (!host_network) {
		loopback_up();
		put("proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
		put("proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	}
	hide();
	must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(syscall(SYS_umount2, ".", MNT_DETACH), "umount");
	must(chdir("/"), "/");
	restrict_process(filter);
	execve(program[0], program, environment);
	fail(program[0]);
}

int main(int count, char **argument)
{
	if (count < 6) {
		fprintf(stderr, "usage: floor FOLDER host|new MEMORY FILTER CGROUP...\n");
		return 2;
	}
	char **cgroup = argument + 5;
	int cgroups = count - 5, host_network = strcmp(argument[2], "host") == 0, status = 0;
	int v2 = is_v2(cgroup[0]);
	for (int i = 0; i < cgroups; i++)
		make_cgroup(cgroup[i], v2, argument[3]);
	struct clone_args arguments = {
		.flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWIPC | (host_network ? 0 : CLONE_NEWNET),
		.exit_signal = SIGCHLD,
	};
	if (v2) {
		arguments.flags |= CLONE_INTO_CGROUP;
		arguments.cgroup = open(cgroup[0], O_PATH | O_DIRECTORY);
	}
	pid_t pid = syscall(SYS_clone3, &arguments, sizeof arguments);
	must(pid, "clone3");
	if (pid == 0)
		child(argument, host_network, cgroups, cgroup, v2);
	must(waitpid(pid, &status, 0), "waitpid");
	for (int i = 0; i < cgroups; i++)
		must(rmdir(cgroup[i]), cgroup[i]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
