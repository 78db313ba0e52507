#define _GNU_SOURCE
#include "include/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

// Control data aligned as the kernel wants it.
typedef union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int) * ACP_PACKET_DESCRIPTORS_MAX)];
} control_buffer;

int acp_packet_pair(int ends[2]) {
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : -errno;
}

ptrdiff_t acp_send_packet(int socket, const void *bytes, size_t byte_count, const int *descriptors, size_t descriptor_count) {
    if (descriptor_count > ACP_PACKET_DESCRIPTORS_MAX || byte_count == 0) return -EINVAL;
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = byte_count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    control_buffer control;
    if (descriptor_count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptor_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * descriptor_count);
        memcpy(CMSG_DATA(header), descriptors, sizeof(int) * descriptor_count);
    }
    ssize_t sent;
    do {
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

ptrdiff_t acp_receive_packet(
    int socket, void *bytes, size_t capacity, int *descriptors, size_t descriptor_capacity, size_t *descriptor_count) {
    *descriptor_count = 0;
    struct iovec part = {.iov_base = bytes, .iov_len = capacity};
    control_buffer control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t received;
    do {
        received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (received < 0 && errno == EINTR);
    if (received < 0) return -errno;

    int taken[ACP_PACKET_DESCRIPTORS_MAX];
    size_t count = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t here = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t index = 0; index < here; index++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + index * sizeof(int), sizeof(int));
            if (count < ACP_PACKET_DESCRIPTORS_MAX) {
                taken[count++] = descriptor;
            } else {
                close(descriptor);
            }
        }
    }
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || count > descriptor_capacity) {
        for (size_t index = 0; index < count; index++) close(taken[index]);
        return -EMSGSIZE;
    }
    memcpy(descriptors, taken, count * sizeof(int));
    *descriptor_count = count;
    return received;
}

int acp_sealed_memory(const void *bytes, size_t byte_count) {
    int descriptor = memfd_create("original", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptor < 0) return -errno;
    size_t written = 0;
    while (written < byte_count) {
        ssize_t count = write(descriptor, (const char *)bytes + written, byte_count - written);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            int error = count < 0 ? errno : EIO;
            close(descriptor);
            return -error;
        }
        written += (size_t)count;
    }
    if (fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    return descriptor;
}

int acp_pipe(int ends[2], int non_blocking) {
    return pipe2(ends, O_CLOEXEC | (non_blocking ? O_NONBLOCK : 0)) == 0 ? 0 : -errno;
}

static int set_descriptors(posix_spawn_file_actions_t *actions, int socket) {
    int error = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (error == 0) error = posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_WRONLY, 0);
    // Also when it is 3 already: dup2 in a spawn then takes back close-on-exec.
    if (error == 0) error = posix_spawn_file_actions_adddup2(actions, socket, 3);
    if (error == 0) error = posix_spawn_file_actions_addclosefrom_np(actions, 4);
    return error;
}

static int set_attributes(posix_spawnattr_t *attributes) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawnattr_setpgroup(attributes, 0);
    if (error == 0) error = posix_spawnattr_setsigmask(attributes, &none);
    if (error == 0) error = posix_spawnattr_setsigdefault(attributes, &all);
    if (error == 0) {
        error = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    return error;
}

int acp_spawn_with_socket(const char *program, char *const *arguments, char *const *environment, int socket) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0) return -error;
    error = posix_spawnattr_init(&attributes);
    if (error != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -error;
    }
    error = set_descriptors(&actions, socket);
    if (error == 0) error = set_attributes(&attributes);
    pid_t pid = -1;
    if (error == 0) error = posix_spawn(&pid, program, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error == 0 ? pid : -error;
}
