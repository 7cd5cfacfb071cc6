#pragma once
/* Denormal numbers cost a hundred cycles an operation on some CPUs. Between flush_begin and flush_end those that an operation
 * would read or give are 0, on this thread and the threads that share its work, whose number must be the same at both ends;
 * afterwards every thread has the mode it had before. Floating-point flags are left alone: the caller finds those that the work
 * raised. base/work.h calls them. */
void flush_begin(void);
void flush_end(void);
