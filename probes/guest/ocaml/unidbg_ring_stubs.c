/* unidbg_ring.ml's way to unidbg_probe.c. The clock is unidbg_ocaml_now(), which the kernel's glue gives: on Solo5
 * solo5_clock_monotonic(). On a hosted system this file has one itself. */
#include <caml/alloc.h>
#include <caml/memory.h>
#include <caml/mlvalues.h>
#include "unidbg_probe.h"

#if defined(__unix__) && !defined(UNIDBG_SOLO5)
#include <time.h>
uint64_t __attribute__((weak)) unidbg_ocaml_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
#else
extern uint64_t solo5_clock_monotonic(void);
uint64_t __attribute__((weak)) unidbg_ocaml_now(void) { return solo5_clock_monotonic(); }
#endif

/* The library keeps strings by reference, and OCaml's move. */
static const char *keep(value text) { return caml_stat_strdup(String_val(text)); }

value unidbg_ocaml_start(value program) {
    unidbg_init(keep(program), unidbg_ocaml_now);
    unidbg_use_ring();
    return Val_unit;
}

value unidbg_ocaml_declare(value kind, value name, value unit, value attributes) {
    return Val_long(unidbg_declare_series((enum unidbg_kind)Long_val(kind), keep(name), keep(unit), keep(attributes)));
}

int64_t unidbg_ocaml_clock(value unit) { (void)unit; return (int64_t)unidbg_ocaml_now(); }
value unidbg_ocaml_integer(intnat id, int64_t number) { unidbg_integer((uint16_t)id, number); return Val_unit; }
value unidbg_ocaml_float(intnat id, double number) { unidbg_float((uint16_t)id, number); return Val_unit; }
value unidbg_ocaml_span(intnat id, int64_t start, int64_t duration) {
    unidbg_span((uint16_t)id, (uint64_t)start, (uint64_t)duration);
    return Val_unit;
}
value unidbg_ocaml_poll(value unit) { unidbg_poll(); return unit; }

/* For bytecode. */
value unidbg_ocaml_clock_bytes(value unit) { return caml_copy_int64(unidbg_ocaml_clock(unit)); }
value unidbg_ocaml_integer_bytes(value id, value number) { return unidbg_ocaml_integer(Long_val(id), Int64_val(number)); }
value unidbg_ocaml_float_bytes(value id, value number) { return unidbg_ocaml_float(Long_val(id), Double_val(number)); }
value unidbg_ocaml_span_bytes(value id, value start, value duration) {
    return unidbg_ocaml_span(Long_val(id), Int64_val(start), Int64_val(duration));
}
