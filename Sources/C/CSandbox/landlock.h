// Landlock: the kernel's own fence around files, TCP and signals, for processes that give up their rights.
#pragma once

#include <stddef.h>

// The version the kernel offers, 0 for none.
int landlock_version(void);
// A ruleset that denies everything the version can deny, except reading below the paths. Returns a descriptor or -errno.
int landlock_open(int version, const char *const *readable, size_t readable_count);
// Applies a ruleset to this process for good; needs no_new_privs.
int landlock_enter(int ruleset);
