#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

int netns_call(const char *path, int (*work)(void *argument), void *argument) {
  if (path == NULL) return work(argument);
  int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own < 0) return -1;
  int result = -1;
  int error = 0;
  int other = open(path, O_RDONLY | O_CLOEXEC);
  if (other < 0 || setns(other, CLONE_NEWNET) != 0) {
    error = errno;
  } else {
    result = work(argument);
    error = errno;
    /* A process that stays in the wrong namespace would attach everything to it from now on. */
    if (setns(own, CLONE_NEWNET) != 0) abort();
  }
  if (other >= 0) close(other);
  close(own);
  errno = error;
  return result;
}
