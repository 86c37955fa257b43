// A small Lisp on the collected heap: reader, evaluator.
#pragma once
#include "gc.h"

/** Prepares the evaluator; the heap must be there. */
void lisp_init(void);
/** Evaluates every form of a program; a mistake in it is a panic. */
void lisp_load(const char *text);
/** Calls the global function `name` with one integer; its result must be an integer. */
int64_t lisp_call(const char *name, int64_t argument);

// Between the reader and the evaluator:

enum { MAX_SYMBOLS = 256, SYMBOL_NAME_SIZE = 24 };

struct symbol {
    char name[SYMBOL_NAME_SIZE];
};

extern struct symbol lisp_symbols[MAX_SYMBOLS];

static inline bool is_integer(value v) { return (v & 1) != 0; }
static inline bool is_symbol(value v) { return (v & 7) == 2; }
static inline bool is_builtin(value v) { return (v & 7) == 6; }
static inline bool is_cons(value v) { return is_object(v) && kind_of(v) == OBJECT_CONS; }
static inline value integer(int64_t n) { return (value)n << 1 | 1; }
static inline int64_t integer_of(value v) { return (int64_t)v >> 1; }
static inline size_t index_of(value v) { return v >> 3; }

/** The symbol of that name, made when it is new. */
value lisp_intern(const char *name);
/** Reads one form and moves *text behind it; *text is null at the end of the program. */
value lisp_read(const char **text);
value lisp_cons(value car, value cdr);
/** Of NIL both are NIL; of anything else but a pair a panic. */
value lisp_car(value pair);
value lisp_cdr(value pair);
