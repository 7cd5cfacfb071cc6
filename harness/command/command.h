#pragma once
/* One subcommand of `titans` = one file in harness/command/ that defines `const Command command_NAME`. Exit
 * codes: 0 done, 1 the outside world failed (files, memory, data), 2 the command line was wrong. */
typedef struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv); /* argv[0] is "titans NAME" */
} Command;
