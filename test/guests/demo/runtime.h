// The thread that runs the Lisp program.
#pragma once

/** Makes the runtime's heap, loads the program and starts its thread. */
void runtime_start(void);
