// Passing open descriptors between processes over a Unix SOCK_SEQPACKET socket. Functions return a value on success and -errno on failure.
#pragma once

#include <stddef.h>

// Descriptors one packet can carry.
#define ACP_PACKET_DESCRIPTORS_MAX 4

// A connected pair, closed on exec. Returns 0 or -errno.
int acp_packet_pair(int ends[2]);

// Sends one packet with descriptors attached; the caller keeps its own. Never raises SIGPIPE.
// Returns the bytes sent (always all of them) or -errno.
ptrdiff_t acp_send_packet(int socket, const void *bytes, size_t byte_count, const int *descriptors, size_t descriptor_count);

// Receives one packet. Received descriptors are closed on exec and belong to the caller. Returns the packet's size, 0 when the
// other end is closed, or -errno: -EMSGSIZE when the packet does not fit or carries more descriptors than asked for, in which
// case none is left open.
ptrdiff_t acp_receive_packet(int socket, void *bytes, size_t capacity, int *descriptors, size_t descriptor_capacity, size_t *descriptor_count);

// A descriptor of an unnamed file in memory that holds the bytes and can never change again, closed on exec.
// Sealed, so that whoever maps it can rely on its size. Returns the descriptor or -errno.
int acp_sealed_memory(const void *bytes, size_t byte_count);

// A pipe, closed on exec: ends[0] to read, ends[1] to write. Returns 0 or -errno.
int acp_pipe(int ends[2], int non_blocking);

// Starts a program with `socket` as its descriptor 3, /dev/null as standard input and output, this process's standard error, nothing
// else open, default signals and a process group of its own. Returns its id or -errno.
int acp_spawn_with_socket(const char *program, char *const *arguments, char *const *environment, int socket);
