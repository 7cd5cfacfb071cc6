#include "base/quota.h"

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { PATH = 1024, LINE = 512 };

/* The file's text after its folder; "" where there is none. */
static void read_text(const char *folder, const char *name, char text[LINE]) {
    char path[PATH + LINE];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(text, LINE, file)) text[0] = 0;
    if (file) fclose(file);
}

/* Limit of one group: "QUOTA PERIOD" or "max PERIOD" (version 2); two files, quota -1 for none (version 1). */
static double group_limit(const char *folder) {
    char text[LINE], period_text[LINE];
    double quota, period;
    read_text(folder, "cpu.max", text);
    if (sscanf(text, "%lf %lf", &quota, &period) != 2) {
        read_text(folder, "cpu.cfs_quota_us", text);
        read_text(folder, "cpu.cfs_period_us", period_text);
        if (sscanf(text, "%lf", &quota) != 1 || sscanf(period_text, "%lf", &period) != 1) return INFINITY;
    }
    return quota > 0.0 && period > 0.0 ? quota / period : INFINITY;
}

/* Smallest limit from the group at mount/path up to the mount itself: a container sees its own group there. */
static double groups_limit(const char *mount, const char *path) {
    char folder[PATH];
    double least = INFINITY;
    const int length = snprintf(folder, sizeof folder, "%s%s", mount, path);
    if (length < 0 || length >= (int)sizeof folder) return INFINITY;
    for (char *end = folder + length;; end = strrchr(folder, '/')) {
        *end = 0;
        least = fmin(least, group_limit(folder));
        if (strlen(folder) <= strlen(mount)) return least;
    }
}

/* A line of /proc/self/cgroup, "ID:CONTROLLERS:PATH"; version 2 has no controllers. */
static double line_limit(const char *root, char *line) {
    char mount[PATH];
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : 0;
    if (!path) return INFINITY;
    *controllers++ = *path++ = 0;
    path[strcspn(path, "\n")] = 0;
    if (!*controllers)
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
    else if (!strcmp(controllers, "cpu") || !strncmp(controllers, "cpu,", 4) || strstr(controllers, ",cpu"))
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/%s", root, controllers);
    else
        return INFINITY;
    return groups_limit(mount, path);
}

double quota_processors(const char *root) {
    char path[PATH], line[PATH];
    double least = INFINITY;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    if (!file) return INFINITY;
    while (fgets(line, sizeof line, file)) least = fmin(least, line_limit(root, line));
    fclose(file);
    return least;
}

static pthread_once_t asked = PTHREAD_ONCE_INIT;
static int threads;

static void ask(void) {
    const double processors = ceil(quota_processors(""));
    threads = processors < INT_MAX ? (int)processors : INT_MAX;
}

int quota_threads(void) {
    pthread_once(&asked, ask);
    return threads;
}
