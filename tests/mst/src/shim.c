/*
 * Lets Debian's mstflint and mstconfig meet a simulated card without a kernel in between.
 *
 * Preloaded into them. Paths below /sys/bus/pci, /proc/bus/pci and the directory of their lock
 * files are looked up below CX3_MST_ROOT instead, so no device of this machine is ever seen. Reads
 * and writes of the made-up card's configuration space go as 8-byte frames to the socket
 * CX3_MST_SOCKET; there is no resource0, so the tools fall back to configuration cycles (seen with
 * strace of 4.21). Sleeps go there too: the card's time is not the machine's. With CX3_MST_SLEEPS
 * set it is, and they are slept here.
 *
 * Frame, little-endian: operation (1 read, 2 write, 3 sleep), 0, 16-bit offset, 32-bit value (data,
 * or microseconds). Only a read is answered, with 4 bytes. What is not answered waits here until
 * the next read: a register read costs one round trip.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#define REAL(name) (__typeof__(&name)) dlsym(RTLD_NEXT, #name)
#define MOST_FILES 1024

static const char *const MOVED[] = {"/sys/bus/pci", "/proc/bus/pci", "/tmp/mstflint_lockfiles"};
static unsigned char is_config[MOST_FILES];
static int wire = -1;
static unsigned char waiting[8 * 512];
static size_t waits;

/* The path to use, in `buffer` when it differs. */
static const char *moved(const char *path, char *buffer, size_t size)
{
    const char *root = getenv("CX3_MST_ROOT");
    size_t n;
    for (n = 0; root && path && n < sizeof MOVED / sizeof *MOVED; n++) {
        if (strncmp(path, MOVED[n], strlen(MOVED[n])) == 0) {
            snprintf(buffer, size, "%s%s", root, path);
            return buffer;
        }
    }
    return path;
}

static void die(const char *what)
{
    perror(what);
    _exit(99);
}

static void dial(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = getenv("CX3_MST_SOCKET");
    if (wire >= 0)
        return;
    if (!path || strlen(path) >= sizeof to.sun_path)
        die("shim: CX3_MST_SOCKET");
    strcpy(to.sun_path, path);
    wire = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (wire < 0 || connect(wire, (struct sockaddr *)&to, sizeof to) != 0)
        die("shim: connect");
}

static void push(void)
{
    size_t done = 0;
    dial();
    while (done < waits) {
        ssize_t n = send(wire, waiting + done, waits - done, MSG_NOSIGNAL);
        if (n <= 0)
            die("shim: send");
        done += (size_t)n;
    }
    waits = 0;
}

static void frame(int operation, unsigned at, uint32_t value)
{
    unsigned char *f;
    int n;
    if (waits + 8 > sizeof waiting)
        push();
    f = waiting + waits;
    f[0] = (unsigned char)operation;
    f[1] = 0;
    f[2] = at & 0xff;
    f[3] = at >> 8 & 0xff;
    for (n = 0; n < 4; n++)
        f[4 + n] = value >> 8 * n & 0xff;
    waits += 8;
}

static uint32_t config_read(unsigned at)
{
    unsigned char answer[4];
    size_t got = 0;
    frame(1, at, 0);
    push();
    while (got < sizeof answer) {
        ssize_t n = recv(wire, answer + got, sizeof answer - got, 0);
        if (n <= 0)
            die("shim: recv");
        got += (size_t)n;
    }
    return answer[0] | answer[1] << 8 | answer[2] << 16 | (uint32_t)answer[3] << 24;
}

__attribute__((destructor)) static void end(void)
{
    if (waits)
        push();
}

static int ours(int fd)
{
    return fd >= 0 && fd < MOST_FILES && is_config[fd];
}

static ssize_t read_config(void *to, size_t count, off_t at)
{
    size_t done;
    for (done = 0; done < count && at + (off_t)done < 4096;) {
        unsigned where = (unsigned)(at + (off_t)done);
        uint32_t word = config_read(where & ~3u);
        for (; done < count; done++) {
            ((unsigned char *)to)[done] = word >> 8 * (where & 3) & 0xff;
            where++;
            if ((where & 3) == 0) {
                done++;
                break;
            }
        }
    }
    return (ssize_t)done;
}

static ssize_t write_config(const void *from, size_t count, off_t at)
{
    size_t done;
    if (at % 4 != 0 || count % 4 != 0) {
        errno = EINVAL;
        return -1;
    }
    for (done = 0; done < count; done += 4) {
        const unsigned char *b = (const unsigned char *)from + done;
        uint32_t value = b[0] | b[1] << 8 | b[2] << 16 | (uint32_t)b[3] << 24;
        frame(2, (unsigned)(at + (off_t)done), value);
    }
    return (ssize_t)count;
}

static int note(int fd, const char *path)
{
    if (fd >= 0 && fd < MOST_FILES) {
        size_t n = strlen(path);
        is_config[fd] = strncmp(path, MOVED[0], strlen(MOVED[0])) == 0 && n > 7
                        && strcmp(path + n - 7, "/config") == 0;
    }
    return fd;
}

static int open_any(const char *path, int flags, int mode)
{
    char buffer[4096];
    return note((REAL(openat))(AT_FDCWD, moved(path, buffer, sizeof buffer), flags, mode), path);
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    int mode;
    va_start(rest, flags);
    mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0;
    va_end(rest);
    return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    int mode;
    va_start(rest, flags);
    mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0;
    va_end(rest);
    return open_any(path, flags | O_LARGEFILE, mode);
}

FILE *fopen(const char *path, const char *how)
{
    char buffer[4096];
    return (REAL(fopen))(moved(path, buffer, sizeof buffer), how);
}

FILE *fopen64(const char *path, const char *how)
{
    char buffer[4096];
    return (REAL(fopen64))(moved(path, buffer, sizeof buffer), how);
}

DIR *opendir(const char *path)
{
    char buffer[4096];
    return (REAL(opendir))(moved(path, buffer, sizeof buffer));
}

int access(const char *path, int how)
{
    char buffer[4096];
    return (REAL(access))(moved(path, buffer, sizeof buffer), how);
}

int mkdir(const char *path, mode_t mode)
{
    char buffer[4096];
    return (REAL(mkdir))(moved(path, buffer, sizeof buffer), mode);
}

ssize_t readlink(const char *path, char *to, size_t size)
{
    char buffer[4096];
    return (REAL(readlink))(moved(path, buffer, sizeof buffer), to, size);
}

ssize_t pread64(int fd, void *to, size_t count, off64_t at)
{
    return ours(fd) ? read_config(to, count, at) : (REAL(pread64))(fd, to, count, at);
}

ssize_t pread(int fd, void *to, size_t count, off_t at)
{
    return ours(fd) ? read_config(to, count, at) : (REAL(pread))(fd, to, count, at);
}

ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at)
{
    return ours(fd) ? write_config(from, count, at) : (REAL(pwrite64))(fd, from, count, at);
}

ssize_t pwrite(int fd, const void *from, size_t count, off_t at)
{
    return ours(fd) ? write_config(from, count, at) : (REAL(pwrite))(fd, from, count, at);
}

int close(int fd)
{
    if (ours(fd))
        is_config[fd] = 0;
    return (REAL(close))(fd);
}

int usleep(useconds_t time)
{
    if (getenv("CX3_MST_SLEEPS"))
        return (REAL(usleep))(time);
    if (wire >= 0)
        frame(3, 0, time);
    return 0;
}

/* So that what they print does not depend on who runs the tests. */
uid_t geteuid(void)
{
    return 0;
}
