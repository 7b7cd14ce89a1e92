/* Work in another network namespace: what is opened there belongs to it from then on, whoever reads it. */
#ifndef MEGAFLOW_NETNS_H
#define MEGAFLOW_NETNS_H

/* Calls `work` in the namespace at `path`, NULL for our own; what it returns, or -1 with errno. The thread is always back in its own. */
int netns_call(const char *path, int (*work)(void *argument), void *argument);

#endif
