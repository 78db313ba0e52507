#define _GNU_SOURCE
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Values of the kernel's interface (linux/landlock.h), written out because Debian 12's header is older than the kernels it runs on.
#define SYS_CREATE_RULESET 444
#define SYS_ADD_RULE 445
#define SYS_RESTRICT_SELF 446
#define CREATE_RULESET_VERSION 1
#define RULE_PATH_BENEATH 1
#define READ_FILE (1ULL << 2)
#define READ_DIRECTORY (1ULL << 3)

// Every file system right of a version: 13 in version 1, then refer, truncate, and (5) ioctl on devices.
static uint64_t file_rights(int version) {
    int count = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
    return (1ULL << count) - 1;
}

// TCP bind and connect, from version 4.
static uint64_t network_rights(int version) { return version >= 4 ? 3 : 0; }

// Abstract Unix sockets and signals to processes outside, from version 6.
static uint64_t scopes(int version) { return version >= 6 ? 3 : 0; }

struct ruleset {
    uint64_t files;
    uint64_t network;
    uint64_t scopes;
};

struct path_rule {
    uint64_t rights;
    int32_t parent;
} __attribute__((packed));

int landlock_version(void) {
    long version = syscall(SYS_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);
    return version > 0 ? (int)version : 0;
}

static int allow_reading(int ruleset, const char *path) {
    int parent = open(path, O_PATH | O_CLOEXEC);
    // A path that does not exist needs no permission.
    if (parent < 0) return errno == ENOENT ? 0 : -errno;
    struct stat status;
    int result = fstat(parent, &status) < 0 ? -errno : 0;
    if (result == 0) {
        struct path_rule rule = {
            .rights = S_ISDIR(status.st_mode) ? READ_FILE | READ_DIRECTORY : READ_FILE, .parent = parent};
        if (syscall(SYS_ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0) result = -errno;
    }
    close(parent);
    return result;
}

int landlock_open(int version, const char *const *readable, size_t readable_count) {
    struct ruleset rules = {
        .files = file_rights(version), .network = network_rights(version), .scopes = scopes(version)};
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    int ruleset = (int)syscall(SYS_CREATE_RULESET, &rules, size, 0);
    if (ruleset < 0) return -errno;
    for (size_t index = 0; index < readable_count; index++) {
        int result = allow_reading(ruleset, readable[index]);
        if (result < 0) {
            close(ruleset);
            return result;
        }
    }
    return ruleset;
}

int landlock_enter(int ruleset) { return syscall(SYS_RESTRICT_SELF, ruleset, 0) == 0 ? 0 : -errno; }
