/* The time of day that a program finds, moved by so many seconds as a file says, while it runs. All else that measures
   time (waiting, deadlines, leases) is left alone, as when somebody sets a machine's clock.

   cc -O2 -shared -fPIC -o wall_clock.so wall_clock.c
   LD_PRELOAD=wall_clock.so WALL_CLOCK=file  (4096 bytes; a signed 64-bit number of seconds at the beginning) */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *shift;
static int is_ready;

static long long shifted(void) {
  if (!is_ready) {
    const char *path = getenv("WALL_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
      void *map = mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0);
      close(file);
      if (map != MAP_FAILED) shift = map;
    }
    is_ready = 1;
  }
  return shift ? *shift : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int result = syscall(SYS_clock_gettime, clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += shifted();
  return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
