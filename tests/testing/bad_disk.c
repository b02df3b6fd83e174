// A disk that is slow, that fails, or that can lose its power. LD_PRELOAD it into a process (bad-disk.ts).
//
// PALYRA_DISK_SYNC_MS   what each sync takes
// PALYRA_DISK_HELD      while this file exists, syncs wait
// PALYRA_DISK_BROKEN    while this file exists, syncs fail
// PALYRA_DISK_ON_MAIN   a file that grows by a byte with each sync on the main thread
// PALYRA_DISK_SYNCED    a folder for what the disk has: a copy of each file of a registry, as of its last sync
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t copying = PTHREAD_MUTEX_INITIALIZER;

static void pause_ms(long ms) {
  struct timespec left = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&left, &left) && errno == EINTR) {}
}

static void wait_for_disk(void) {
  const char *text = getenv("PALYRA_DISK_SYNC_MS"), *held = getenv("PALYRA_DISK_HELD");
  if (text) pause_ms(atol(text));
  while (held && !access(held, F_OK)) pause_ms(2);
}

/* @returns 0 for other files. */
static int path_of_copy(char *copy, size_t size, const char *path) {
  const char *folder = getenv("PALYRA_DISK_SYNCED"), *name = strrchr(path, '/');
  if (!folder || !name || strncmp(name, "/registry.sqlite", 16)) return 0;
  return snprintf(copy, size, "%s%s", folder, name) < (int)size;
}

/* Reads through the same descriptor, because closing another one would release SQLite's locks on the file. */
static void copy_synced(int fd) {
  char link[64], path[4096], whole[4200], part[4210];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return;
  path[length] = 0;
  if (!path_of_copy(whole, sizeof whole, path)) return;
  snprintf(part, sizeof part, "%s.part", whole);
  int out = open(part, O_CREAT | O_TRUNC | O_WRONLY, 0600);
  if (out < 0) abort();
  static char buffer[1 << 20];
  ssize_t count;
  for (off_t at = 0; (count = pread(fd, buffer, sizeof buffer, at)) > 0; at += count)
    if (write(out, buffer, count) != count) abort();
  if (count < 0 || close(out) || rename(part, whole)) abort();
}

static void note_main_thread(void) {
  const char *path = getenv("PALYRA_DISK_ON_MAIN");
  if (!path || gettid() != getpid()) return;
  int out = open(path, O_CREAT | O_APPEND | O_WRONLY, 0600);
  if (out < 0 || write(out, "x", 1) != 1 || close(out)) abort();
}

static int disk_sync(int fd, const char *name) {
  note_main_thread();
  wait_for_disk();
  const char *broken = getenv("PALYRA_DISK_BROKEN");
  if (broken && !access(broken, F_OK)) {
    errno = EIO;
    return -1;
  }
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  pthread_mutex_lock(&copying);
  int result = real(fd);
  if (!result) copy_synced(fd);
  pthread_mutex_unlock(&copying);
  return result;
}

int fsync(int fd) { return disk_sync(fd, "fsync"); }
int fdatasync(int fd) { return disk_sync(fd, "fdatasync"); }

int unlink(const char *path) {
  char copy[4200];
  if (path_of_copy(copy, sizeof copy, path)) remove(copy);
  int (*real)(const char *) = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
  return real(path);
}
