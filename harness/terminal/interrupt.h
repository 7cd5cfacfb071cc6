#pragma once
/* A first SIGINT, SIGTERM or SIGHUP asks long work to save and stop at the next good moment; a second one kills. */
void interrupt_catch(void);
int interrupt_requested(void);

/* The signal's number, 0 before it came; and that of a signal which came to another process of this work. */
int interrupt_number(void);
void interrupt_share(int number);

/* What a program ends with: 128 + the signal's number when one has stopped it, else 0 for status 0 and 1 for others. */
int interrupt_status(int status);
