/* SPDX-License-Identifier: GPL-3.0-or-later */
/* confine errno|kill COMMAND...: runs it under a filter on system calls as udevd and sandboxed
 * services have one: what mounts, ends the machine or moves between namespaces fails with EPERM, or
 * ends the process. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const unsigned forbidden[] = {
        SYS_mount,     SYS_umount2,    SYS_pivot_root, SYS_reboot,  SYS_setns,  SYS_swapoff,
        SYS_open_tree, SYS_move_mount, SYS_kexec_load, SYS_unshare, SYS_chroot, SYS_syslog};
    enum { N = sizeof forbidden / sizeof *forbidden };
    struct sock_filter steps[N + 3] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    const struct sock_fprog program = {N + 3, steps};
    if (argc < 3)
        return 2;
    for (unsigned i = 0; i < N; i++)
        steps[1 + i] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, forbidden[i], N - i, 0);
    steps[N + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    steps[N + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, strcmp(argv[1], "kill")
                                                                     ? SECCOMP_RET_ERRNO | EPERM
                                                                     : SECCOMP_RET_KILL_PROCESS);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("confine");
        return 1;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 1;
}
