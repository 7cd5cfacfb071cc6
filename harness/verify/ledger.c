#include "ledger.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* One write of a short line to a file opened for appending is atomic, and test processes run side by side. */
void ledger_record(const char *suite, const char *what, int64_t checks, double ratio) {
    const char *path = getenv("TITANS_LEDGER");
    if (!path || !*path) return;
    char line[256];
    const int length =
        snprintf(line, sizeof line, "%s\t%s\t%lld\t%.3g\n", suite, what, (long long)checks, ratio);
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (fd < 0) return;
    (void)!write(fd, line, (size_t)length);
    close(fd);
}
