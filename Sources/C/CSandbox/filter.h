// The seccomp filter: which system calls a parser may make.
#pragma once

#include <linux/filter.h>
#include <stdbool.h>

// Compiles the filter; with `may_open`, files can be opened for reading (Landlock then decides which). The program is malloc'ed.
int filter_compile(bool may_open, struct sock_fprog *program);
// Applies it to this process for good; needs no_new_privs.
int filter_enter(const struct sock_fprog *program);
