#pragma once

/* Whether this CPU has a matrix unit for bf16 and the system lets this process use it: asked for at the first call, since
 * Linux gives room for tiles only to processes that want it. */
int amx_ready(void);
