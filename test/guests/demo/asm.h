// What every assembly file here shares: where CFI goes, and how a function opens and closes.
// DEMO_DEBUG_FRAME (variant `cfi`) puts the CFI into .debug_frame, otherwise it is in the loaded .eh_frame.

#ifdef DEMO_DEBUG_FRAME
    .cfi_sections .debug_frame
#else
    .cfi_sections .eh_frame
#endif

.macro FUNCTION_BEGIN name
    .globl  \name
    .type   \name, @function
\name:
    .cfi_startproc
.endm

.macro FUNCTION_FINISH name
    .cfi_endproc
    .size   \name, . - \name
.endm

#define FUNCTION(name) FUNCTION_BEGIN name
#define END_FUNCTION(name) FUNCTION_FINISH name
