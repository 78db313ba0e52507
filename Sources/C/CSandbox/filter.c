#define _GNU_SOURCE
#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Computing, reading the input, writing the output, ending.
static const int allowed[] = {
    SCMP_SYS(read),          SCMP_SYS(pread64),       SCMP_SYS(write),        SCMP_SYS(writev),
    SCMP_SYS(lseek),         SCMP_SYS(close),         SCMP_SYS(fstat),        SCMP_SYS(munmap),
    SCMP_SYS(mremap),        SCMP_SYS(madvise),       SCMP_SYS(brk),          SCMP_SYS(futex),
    SCMP_SYS(sched_yield),   SCMP_SYS(exit),          SCMP_SYS(exit_group),   SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),  SCMP_SYS(gettimeofday),  SCMP_SYS(time),         SCMP_SYS(getrandom),
    SCMP_SYS(rt_sigaction),  SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall), SCMP_SYS(getpid),      SCMP_SYS(gettid),       SCMP_SYS(getuid),
    SCMP_SYS(geteuid),       SCMP_SYS(sysinfo),       SCMP_SYS(getrusage),
};

// No parser has a reason to try these: whoever does has been taken over and dies at once.
// Everything that is in neither list fails with EPERM, because libraries probe for things and cope with a refusal.
static const int fatal[] = {
    SCMP_SYS(execve),        SCMP_SYS(execveat),      SCMP_SYS(fork),          SCMP_SYS(vfork),
    SCMP_SYS(clone),         SCMP_SYS(clone3),        SCMP_SYS(ptrace),        SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev), SCMP_SYS(socket),    SCMP_SYS(socketpair),    SCMP_SYS(connect),
    SCMP_SYS(bind),          SCMP_SYS(listen),        SCMP_SYS(accept),        SCMP_SYS(accept4),
    SCMP_SYS(sendto),        SCMP_SYS(sendmsg),       SCMP_SYS(sendmmsg),      SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),       SCMP_SYS(mount),         SCMP_SYS(umount2),       SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),        SCMP_SYS(setns),         SCMP_SYS(unshare),       SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open), SCMP_SYS(init_module), SCMP_SYS(finit_module),  SCMP_SYS(keyctl),
    SCMP_SYS(add_key),       SCMP_SYS(request_key),   SCMP_SYS(userfaultfd),   SCMP_SYS(io_uring_setup),
    SCMP_SYS(open_by_handle_at), SCMP_SYS(kexec_load), SCMP_SYS(setuid),       SCMP_SYS(setresuid),
};

static int add_rules(scmp_filter_ctx context, bool may_open) {
    int result = 0;
    for (size_t index = 0; result == 0 && index < sizeof allowed / sizeof *allowed; index++) {
        result = seccomp_rule_add(context, SCMP_ACT_ALLOW, allowed[index], 0);
    }
    for (size_t index = 0; result == 0 && index < sizeof fatal / sizeof *fatal; index++) {
        result = seccomp_rule_add(context, SCMP_ACT_KILL_PROCESS, fatal[index], 0);
    }
    // Memory, but none that can be executed.
    const struct scmp_arg_cmp not_executable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    if (result == 0) result = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, not_executable);
    if (result == 0) result = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, not_executable);
    if (result < 0 || !may_open) return result;

    const struct scmp_arg_cmp read_only =
        SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY), O_RDONLY);
    return seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, read_only);
}

// libseccomp 2.5 exports a compiled filter only to a descriptor.
static int export_program(scmp_filter_ctx context, struct sock_fprog *program) {
    int memory = memfd_create("filter", MFD_CLOEXEC);
    if (memory < 0) return -errno;
    int result = seccomp_export_bpf(context, memory);
    struct stat status;
    if (result == 0 && fstat(memory, &status) < 0) result = -errno;
    if (result == 0) {
        program->len = (unsigned short)((size_t)status.st_size / sizeof(struct sock_filter));
        program->filter = malloc((size_t)status.st_size);
        if (program->filter == NULL) {
            result = -ENOMEM;
        } else if (pread(memory, program->filter, (size_t)status.st_size, 0) != status.st_size) {
            free(program->filter);
            program->filter = NULL;
            result = -EIO;
        }
    }
    close(memory);
    return result;
}

int filter_compile(bool may_open, struct sock_fprog *program) {
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (context == NULL) return -ENOMEM;
    int result = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    // A binary tree instead of a list: every system call of the parser pays for the filter.
    if (result == 0) result = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (result == 0) result = add_rules(context, may_open);
    if (result == 0) result = export_program(context, program);
    seccomp_release(context);
    return result;
}

int filter_enter(const struct sock_fprog *program) {
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) == 0 ? 0 : -errno;
}
