// Enters the parsers' sandbox for real and then tries what a parser that was taken over would try.
//
//     SandboxProbe PROFILE ACTION    PROFILE: closed, or a directory that may be read
//
// Ends with 0 when the action succeeded, 1 when it was refused, or by SIGSYS when the filter ended it; 99: it never got in.
#define _GNU_SOURCE
#include <CSandbox.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int opens(const char *path, int flags) {
    int descriptor = openat(AT_FDCWD, path, flags, 0600);
    return descriptor >= 0;
}

static int attempt(const char *action, const char *argument) {
    if (strcmp(action, "compute") == 0) return malloc(1 << 20) != NULL;
    if (strcmp(action, "read") == 0) return opens(argument, O_RDONLY);
    if (strcmp(action, "write") == 0) return opens(argument, O_WRONLY | O_CREAT);
    if (strcmp(action, "list") == 0) return opens(argument, O_RDONLY | O_DIRECTORY);
    if (strcmp(action, "stat") == 0) {
        struct stat status;
        return stat(argument, &status) == 0;
    }
    if (strcmp(action, "old-open") == 0) return syscall(SYS_openat2, AT_FDCWD, argument, NULL, 0) >= 0;
    if (strcmp(action, "unlink") == 0) return unlink(argument) == 0;
    if (strcmp(action, "socket") == 0) return socket(AF_INET, SOCK_STREAM, 0) >= 0;
    if (strcmp(action, "fork") == 0) return fork() >= 0;
    if (strcmp(action, "vfork") == 0) return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) >= 0;
    if (strcmp(action, "exec") == 0) return execl("/bin/true", "true", NULL) == 0;
    if (strcmp(action, "ptrace") == 0) return ptrace(PTRACE_TRACEME, 0, 0, 0) == 0;
    if (strcmp(action, "kill-parent") == 0) return kill(getppid(), SIGTERM) == 0;
    if (strcmp(action, "become-root") == 0) return setuid(0) == 0;
    if (strcmp(action, "executable-memory") == 0) {
        return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
    }
    if (strcmp(action, "raise-limit") == 0) {
        unsigned long limit[2] = {1UL << 40, 1UL << 40};
        return syscall(SYS_prlimit64, 0, 9, limit, NULL) == 0;
    }
    if (strcmp(action, "too-much-memory") == 0) return malloc(600UL << 20) != NULL;
    if (strcmp(action, "use-descriptor") == 0) {
        char byte;
        return read(9, &byte, 1) >= 0;
    }
    if (strcmp(action, "spin") == 0) {
        for (volatile unsigned long count = 0;; count++) {
        }
    }
    return -1;
}

int main(int count, char **arguments) {
    if (count < 3) return 98;
    const char *readable[] = {arguments[1]};
    size_t readable_count = strcmp(arguments[1], "closed") == 0 ? 0 : 1;
    acp_sandbox *sandbox;
    if (acp_sandbox_prepare(readable, readable_count, &sandbox) != 0) return 99;
    if (strcmp(arguments[2], "landlock") == 0) return acp_sandbox_landlock_version(sandbox) > 0 ? 0 : 1;
    int null = open("/dev/null", O_RDWR);
    int input = fcntl(null, F_DUPFD, 10), output = fcntl(null, F_DUPFD, 10), errors = fcntl(null, F_DUPFD, 10);
    // An open file of the server's that must be gone inside.
    dup2(open("/proc/self/environ", O_RDONLY), 9);
    acp_sandbox_limits limits = {.memory_bytes = 512UL << 20, .cpu_seconds = 1, .descriptors = 16};
    if (acp_sandbox_enter(sandbox, &limits, getppid(), input, output, errors) != 0) return 99;
    int result = attempt(arguments[2], count > 3 ? arguments[3] : "");
    _exit(result < 0 ? 98 : result == 0);
}
