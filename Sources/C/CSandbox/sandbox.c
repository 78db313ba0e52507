#define _GNU_SOURCE
#include "include/CSandbox.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "filter.h"
#include "landlock.h"

// The user and group "nobody" and "nogroup" of Debian and most others.
#define NOBODY 65534

struct acp_sandbox {
    int landlock_version;
    // -1 without Landlock.
    int ruleset;
    struct sock_fprog program;
};

int acp_sandbox_prepare(const char *const *readable, size_t readable_count, acp_sandbox **sandbox) {
    acp_sandbox *prepared = calloc(1, sizeof *prepared);
    if (prepared == NULL) return -ENOMEM;
    prepared->landlock_version = landlock_version();
    prepared->ruleset = -1;
    int result = 0;
    if (prepared->landlock_version > 0) {
        prepared->ruleset = landlock_open(prepared->landlock_version, readable, readable_count);
        if (prepared->ruleset < 0) result = prepared->ruleset;
    }
    if (result == 0) result = filter_compile(readable_count > 0 && prepared->ruleset >= 0, &prepared->program);
    if (result < 0) {
        if (prepared->ruleset >= 0) close(prepared->ruleset);
        free(prepared);
        return result;
    }
    *sandbox = prepared;
    return 0;
}

int acp_sandbox_landlock_version(const acp_sandbox *sandbox) { return sandbox->landlock_version; }

static int limit(__rlimit_resource_t resource, rlim_t soft, rlim_t hard) {
    struct rlimit now;
    if (getrlimit(resource, &now) < 0) return -errno;
    // A hard limit that is already lower stays: raising it needs privileges.
    if (hard > now.rlim_max) hard = now.rlim_max;
    if (soft > hard) soft = hard;
    struct rlimit wanted = {.rlim_cur = soft, .rlim_max = hard};
    return setrlimit(resource, &wanted) == 0 ? 0 : -errno;
}

static int set_limits(const acp_sandbox_limits *limits) {
    int result = limit(RLIMIT_AS, limits->memory_bytes, limits->memory_bytes);
    if (result == 0) result = limit(RLIMIT_CPU, limits->cpu_seconds, limits->cpu_seconds + 1);
    if (result == 0) result = limit(RLIMIT_NOFILE, limits->descriptors, limits->descriptors);
    if (result == 0) result = limit(RLIMIT_FSIZE, 0, 0);
    if (result == 0) result = limit(RLIMIT_NPROC, 0, 0);
    if (result == 0) result = limit(RLIMIT_CORE, 0, 0);
    return result;
}

static int become_nobody(void) {
    if (geteuid() != 0) return 0;
    if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0) {
        return -errno;
    }
    return 0;
}

static int keep_only(int input, int output, int errors) {
    // None of the three may be one of the places they go to, or a later one would overwrite an earlier one.
    if (input < 3 || output < 3 || errors < 3) return -EBADF;
    if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(errors, 2) < 0) return -errno;
    return close_range(3, ~0U, 0) == 0 ? 0 : -errno;
}

static void default_signals(void) {
    for (int number = 1; number < 32; number++) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int acp_sandbox_enter(
    const acp_sandbox *sandbox, const acp_sandbox_limits *limits, pid_t parent, int input, int output, int errors) {
    default_signals();
    int result = become_nobody();
    if (result < 0) return result;
    // After the change of user, which clears it.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return -errno;
    if (getppid() != parent) return -ESRCH;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return -errno;
    if (sandbox->ruleset >= 0 && (result = landlock_enter(sandbox->ruleset)) < 0) return result;
    if ((result = keep_only(input, output, errors)) < 0) return result;
    if ((result = set_limits(limits)) < 0) return result;
    return filter_enter(&sandbox->program);
}
