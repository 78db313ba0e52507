#define _GNU_SOURCE
#include "include/CSandbox.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t acp_sandbox_fork(void) {
    pid_t pid = fork();
    return pid < 0 ? -errno : pid;
}

int acp_child_signal_descriptor(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -errno;
    int descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return descriptor < 0 ? -errno : descriptor;
}

void acp_child_signal_drain(int descriptor) {
    struct signalfd_siginfo info;
    while (read(descriptor, &info, sizeof info) > 0) {
    }
}

static uint64_t microseconds(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

int acp_child_reap(acp_child_end *end) {
    int status;
    struct rusage usage;
    pid_t pid;
    do {
        pid = wait4(-1, &status, WNOHANG, &usage);
    } while (pid < 0 && errno == EINTR);
    if (pid <= 0) return 0;
    end->pid = pid;
    end->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    end->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    end->cpu_microseconds = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
    end->memory_peak_bytes = (uint64_t)usage.ru_maxrss * 1024;
    return 1;
}
