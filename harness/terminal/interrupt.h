#pragma once
/* A first SIGINT or SIGTERM asks long work to save and stop at the next good moment; a second one kills. */
void interrupt_catch(void);
int interrupt_requested(void);
