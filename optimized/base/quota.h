#pragma once
/* Processor time that the system grants this process: limits of its control groups (Linux, versions 1 and 2), as containers and
 * batch systems set them. Affinity is OpenMP's to know. */

/* Processors' worth of time, the smallest of all limits above the process; INFINITY where there is none. root: "" or a folder in
 * which a test has laid proc/self/cgroup and sys/fs/cgroup. */
double quota_processors(const char *root);

/* The same, rounded up, of this process when it first asked; INT_MAX where there is no limit. */
int quota_threads(void);
