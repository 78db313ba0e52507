// Starting, watching and locking processes. Functions return 0 or a value on success and -errno on failure.
// pid_t, uid_t and gid_t are written as the integers they are: <sys/types.h> here would make Swift see the thread types of Glibc twice.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Where the child failed between fork and exec.
typedef enum {
    ACP_SPAWN_OK = 0,
    ACP_SPAWN_FORK,
    ACP_SPAWN_DESCRIPTORS,
    ACP_SPAWN_SESSION,
    ACP_SPAWN_IDENTITY,
    ACP_SPAWN_DIRECTORY,
    ACP_SPAWN_EXEC,
} acp_spawn_stage;

typedef struct {
    // Absolute path of the program; the PATH is not searched.
    const char *program;
    // Null-terminated argument and environment vectors.
    char *const *argv;
    char *const *env;
    // Working directory of the child, entered after the change of user; NULL for "/".
    const char *directory;
    // The user to become. Ignored unless change_user is set (which needs root).
    bool change_user;
    uint32_t uid;
    uint32_t gid;
    const uint32_t *groups;
    size_t group_count;
    // Standard input, or -1 for /dev/null.
    int input;
    // Standard output and error; must be open.
    int output;
    // Signal sent to the child when the THREAD that spawned it ends; 0 for none.
    int death_signal;
    // Value for /proc/self/oom_score_adj, -1000...1000; 0 leaves it alone. Failure to set it is not an error.
    int oom_score_adjust;
} acp_spawn_options;

typedef struct {
    int32_t pid;
    acp_spawn_stage stage;
    int error;
} acp_spawn_result;

// Starts a program in a new session with default signal dispositions, an empty signal mask, umask 077, only descriptors 0, 1 and 2,
// and returns once it has been executed or has failed to be. After a failure the child is already reaped.
acp_spawn_result acp_spawn(const acp_spawn_options *options);

// A descriptor that becomes readable when the process ends, closed on exec.
int acp_pidfd_open(int32_t pid);
int acp_pidfd_signal(int pidfd, int signal);
// Waits until one of the descriptors is readable. Returns a bit set of those that are, 0 after timeout_ms (-1: no timeout). At most 31.
int acp_wait_readable(const int *descriptors, size_t count, int timeout_ms);

// Reaps the child if it has ended. Returns 1 with *status set, 0 while it runs, -ECHILD when it is not a child of this process.
int acp_reap(int32_t pid, int *status);

// The exclusive lock of a whole file, tied to the open file description: it ends with the last descriptor, a kill -9 included.
// Returns 0, or -EWOULDBLOCK when another description holds it.
int acp_lock_exclusive(int descriptor);
// Gives that lock back at once, whoever else has the description open: a child between fork and exec has all of its parent's.
void acp_unlock(int descriptor);
// Whether someone else holds that lock, without taking it even for a moment. Returns 1, 0 or -errno.
int acp_lock_is_held(int descriptor);

// Whether a user may pass through and use a directory: checked by a short-lived child that has become that user.
// mode is that of access(2). Returns 0, or -errno as the user sees it.
int acp_access_as(const char *path, int mode, uint32_t uid, uint32_t gid, const uint32_t *groups, size_t group_count);

// Runs body(context) on a new detached thread with a stack of stack_bytes, all signals blocked. Returns 0 or -errno.
int acp_thread_start(void (*body)(void *), void *context, size_t stack_bytes);

// An eventfd that is closed on exec and never blocks, and a pipe closed on exec whose reading end never blocks.
int acp_event_open(void);
int acp_pipe_open(int ends[2]);
