#pragma once
/* A first SIGINT, SIGTERM or SIGHUP asks long work to save and stop at the next good moment; a second one kills. */
void interrupt_catch(void);
int interrupt_requested(void);

/* What a program that was stopped so ends with: 128 + the signal's number. */
int interrupt_status(void);
