// The sandbox of the parser process. What is expensive (compiling the filter, opening the directories) happens once in the fork
// server; a child then enters in about ten system calls and can never leave. Functions return 0 or a value, or -errno.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// A prepared sandbox, to be entered by children.
typedef struct acp_sandbox acp_sandbox;

typedef struct {
    // Total of mapped memory (RLIMIT_AS), in bytes.
    uint64_t memory_bytes;
    // CPU time, in seconds; SIGXCPU ends the process at this, SIGKILL one second later.
    uint32_t cpu_seconds;
    // Open descriptors, the standard three included.
    uint32_t descriptors;
} acp_sandbox_limits;

// Prepares a sandbox in which nothing can be opened, or, with `readable` paths, only files below them and only for reading.
// Where the kernel has no Landlock, the readable paths are given up rather than letting the filter alone guard the file system.
int acp_sandbox_prepare(const char *const *readable, size_t readable_count, acp_sandbox **sandbox);

// The Landlock version in use, 0 when the kernel has none and seccomp is the only fence.
int acp_sandbox_landlock_version(const acp_sandbox *sandbox);

// Enters the sandbox: input, output and errors become descriptors 0, 1 and 2 and all others are closed; root becomes nobody;
// the process dies with its parent (given by its id, to close the race with a parent that is already gone).
// After a failure the process must exit: it may be half way in.
int acp_sandbox_enter(
    const acp_sandbox *sandbox, const acp_sandbox_limits *limits, pid_t parent, int input, int output, int errors);

// fork(2), which Swift hides because of threads. Call it only from a process that has one thread.
// Returns the child's id, 0 in the child, or -errno.
pid_t acp_sandbox_fork(void);

// Blocks SIGCHLD and returns a non-blocking descriptor that becomes readable when a child ends, closed on exec.
int acp_child_signal_descriptor(void);
// Makes the descriptor unreadable until the next child ends.
void acp_child_signal_drain(int descriptor);

typedef struct {
    pid_t pid;
    // The exit status, or -1 when a signal ended it.
    int exit_status;
    // The signal that ended it, or 0.
    int signal;
    uint64_t cpu_microseconds;
    uint64_t memory_peak_bytes;
} acp_child_end;

// Takes one child that has ended. Returns 1, or 0 when none has.
int acp_child_reap(acp_child_end *end);
