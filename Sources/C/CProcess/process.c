#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/types.h>
#include <unistd.h>

_Static_assert(sizeof(pid_t) == sizeof(int32_t) && sizeof(uid_t) == sizeof(uint32_t) && sizeof(gid_t) == sizeof(uint32_t),
               "process.h writes them as these");

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

// Everything below up to execve runs in the child of a threaded process: async-signal-safe calls only. The identity is changed by
// raw system calls because glibc's wrappers talk to the threads of the parent, which do not exist here.
static int become_user(uid_t uid, gid_t gid, const gid_t *groups, size_t group_count) {
    if (syscall(SYS_setgroups, group_count, groups) != 0) return -1;
    if (syscall(SYS_setresgid, gid, gid, gid) != 0) return -1;
    if (syscall(SYS_setresuid, uid, uid, uid) != 0) return -1;
    return 0;
}

static void close_others_on_exec(void) {
    if (syscall(SYS_close_range, 3U, UINT_MAX, CLOSE_RANGE_CLOEXEC) == 0) return;
    // Kernels before 5.11, and sandboxes that lack the call.
    long limit = sysconf(_SC_OPEN_MAX);
    if (limit < 0 || limit > 65536) limit = 65536;
    for (int descriptor = 3; descriptor < limit; descriptor++) fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}

static void reset_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &action, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void adjust_oom_score(int adjust) {
    char text[8];
    size_t length = 0;
    unsigned magnitude = adjust < 0 ? (unsigned)-adjust : (unsigned)adjust;
    if (magnitude == 0 || magnitude > 1000) return;
    if (adjust < 0) text[length++] = '-';
    for (unsigned divisor = 1000; divisor > 0; divisor /= 10)
        if (magnitude >= divisor) text[length++] = (char)('0' + magnitude / divisor % 10);
    int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file < 0) return;
    ssize_t written = write(file, text, length);
    (void)written;
    close(file);
}

struct report {
    int stage;
    int error;
};

static void fail(int report_to, int stage) {
    struct report report = {stage, errno};
    ssize_t written = write(report_to, &report, sizeof report);
    (void)written;
    _exit(127);
}

// Puts the three standard descriptors in place. The sources may themselves be 0, 1 or 2, so they are first moved out of the way.
static int place_descriptors(int input, int output) {
    int source = input >= 0 ? fcntl(input, F_DUPFD, 3) : open("/dev/null", O_RDONLY);
    if (source < 0) return -1;
    if (source < 3 && (source = fcntl(source, F_DUPFD, 3)) < 0) return -1;
    int sink = fcntl(output, F_DUPFD, 3);
    if (sink < 0) return -1;
    if (dup2(source, 0) < 0 || dup2(sink, 1) < 0 || dup2(sink, 2) < 0) return -1;
    return 0;
}

static void run_child(const acp_spawn_options *options, pid_t parent, int report_to) {
    if ((report_to = fcntl(report_to, F_DUPFD_CLOEXEC, 3)) < 0) _exit(127);
    if (setsid() < 0) fail(report_to, ACP_SPAWN_SESSION);
    if (place_descriptors(options->input, options->output) != 0) fail(report_to, ACP_SPAWN_DESCRIPTORS);
    close_others_on_exec();
    umask(077);
    adjust_oom_score(options->oom_score_adjust);
    if (options->change_user &&
        become_user(options->uid, options->gid, options->groups, options->group_count) != 0)
        fail(report_to, ACP_SPAWN_IDENTITY);
    if (options->death_signal != 0) {
        // After the change of user, which clears it; a parent that died before this line is noticed by the second check.
        if (prctl(PR_SET_PDEATHSIG, options->death_signal) != 0) fail(report_to, ACP_SPAWN_SESSION);
        if (getppid() != parent) _exit(127);
    }
    if (chdir(options->directory != NULL ? options->directory : "/") != 0) fail(report_to, ACP_SPAWN_DIRECTORY);
    reset_signals();
    execve(options->program, options->argv, options->env);
    fail(report_to, ACP_SPAWN_EXEC);
}

acp_spawn_result acp_spawn(const acp_spawn_options *options) {
    acp_spawn_result result = {-1, ACP_SPAWN_FORK, 0};
    int channel[2];
    if (pipe2(channel, O_CLOEXEC) != 0) {
        result.error = errno;
        return result;
    }
    // Signals wait until the child has its own dispositions: a handler of the parent must not run in it.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        run_child(options, parent, channel[1]);
        _exit(127);
    }
    int fork_error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(channel[1]);
    if (pid < 0) {
        close(channel[0]);
        result.error = fork_error;
        return result;
    }
    struct report report;
    ssize_t got;
    do got = read(channel[0], &report, sizeof report);
    while (got < 0 && errno == EINTR);
    close(channel[0]);
    if (got == (ssize_t)sizeof report) {
        int status;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
        result.stage = (acp_spawn_stage)report.stage;
        result.error = report.error;
        return result;
    }
    result.pid = pid;
    result.stage = ACP_SPAWN_OK;
    return result;
}

int acp_pidfd_open(pid_t pid) {
    long descriptor = syscall(SYS_pidfd_open, pid, 0U);
    return descriptor < 0 ? -errno : (int)descriptor;
}

int acp_pidfd_signal(int pidfd, int signal) {
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0U) != 0 ? -errno : 0;
}

int acp_wait_readable(const int *descriptors, size_t count, int timeout_ms) {
    struct pollfd entries[31];
    if (count > 31) return -EINVAL;
    for (size_t index = 0; index < count; index++)
        entries[index] = (struct pollfd){.fd = descriptors[index], .events = POLLIN};
    int ready = poll(entries, count, timeout_ms);
    // An interrupted wait is an early timeout: every caller loops over its own deadline.
    if (ready < 0) return errno == EINTR ? 0 : -errno;
    int set = 0;
    for (size_t index = 0; index < count; index++)
        if (entries[index].revents != 0) set |= 1 << index;
    return set;
}

int acp_reap(pid_t pid, int *status) {
    pid_t got;
    do got = waitpid(pid, status, WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got < 0) return -errno;
    return got == pid ? 1 : 0;
}

int acp_lock_exclusive(int descriptor) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(descriptor, F_OFD_SETLK, &lock) == 0) return 0;
    return errno == EACCES || errno == EAGAIN ? -EWOULDBLOCK : -errno;
}

void acp_unlock(int descriptor) {
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    fcntl(descriptor, F_OFD_SETLK, &lock);
}

int acp_lock_is_held(int descriptor) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(descriptor, F_OFD_GETLK, &lock) != 0) return -errno;
    return lock.l_type == F_UNLCK ? 0 : 1;
}

int acp_access_as(const char *path, int mode, uid_t uid, gid_t gid, const gid_t *groups, size_t group_count) {
    pid_t pid = fork();
    if (pid < 0) return -errno;
    if (pid == 0) {
        if (become_user(uid, gid, groups, group_count) != 0) _exit(255);
        _exit(access(path, mode) == 0 ? 0 : errno & 0x7f);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -errno;
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 255) return -EPERM;
    return -WEXITSTATUS(status);
}
