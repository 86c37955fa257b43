// The evaluator: lexical scope (environments are association lists on the heap), closures, tail calls. It keeps every
// value that must outlive an allocation in a root (gc.h), because objects move.
//
// Forms: quote if cond begin let lambda define set!; define and set! change globals only.
#include "lisp.h"
#include "sched.h"
#include "string.h"
#include "trap.h"

enum { MAX_DEPTH = 600, EVALUATIONS_PER_TURN = 4096 };
enum { FORM_QUOTE, FORM_IF, FORM_COND, FORM_BEGIN, FORM_LET, FORM_LAMBDA, FORM_DEFINE, FORM_SET, FORM_COUNT };
enum { CLOSURE_PARAMETERS, CLOSURE_BODY, CLOSURE_ENVIRONMENT, CLOSURE_FIELDS };

// Interned first, so that a form's symbol has the form's number.
static const char *const form_names[FORM_COUNT] = {"quote", "if", "cond", "begin", "let", "lambda", "define", "set!"};

static value globals[MAX_SYMBOLS];
static value truth;
static unsigned depth;
static unsigned evaluations;

static value eval(value expression, value environment);

value lisp_cons(value car, value cdr) {
    const size_t mark = gc_roots_mark();
    const value *a = gc_root(car), *d = gc_root(cdr);
    struct object *pair = gc_allocate(OBJECT_CONS, 2);
    pair->fields[0] = *a;
    pair->fields[1] = *d;
    gc_roots_restore(mark);
    return (value)pair;
}

value lisp_car(value pair) {
    if (pair == NIL) return NIL;
    if (!is_cons(pair)) panic("runtime: car of 0x%lx, which is no pair", pair);
    return ((struct object *)pair)->fields[0];
}

value lisp_cdr(value pair) {
    if (pair == NIL) return NIL;
    if (!is_cons(pair)) panic("runtime: cdr of 0x%lx, which is no pair", pair);
    return ((struct object *)pair)->fields[1];
}

static value second(value list) { return lisp_car(lisp_cdr(list)); }
static value third(value list) { return second(lisp_cdr(list)); }
static value fourth(value list) { return third(lisp_cdr(list)); }
static value truth_of(bool condition) { return condition ? truth : NIL; }

static value make_closure(value parameters, value body, value environment) {
    const size_t mark = gc_roots_mark();
    const value *p = gc_root(parameters), *b = gc_root(body), *e = gc_root(environment);
    struct object *closure = gc_allocate(OBJECT_CLOSURE, CLOSURE_FIELDS);
    closure->fields[CLOSURE_PARAMETERS] = *p;
    closure->fields[CLOSURE_BODY] = *b;
    closure->fields[CLOSURE_ENVIRONMENT] = *e;
    gc_roots_restore(mark);
    return (value)closure;
}

static value look_up(value symbol, value environment) {
    for (value at = environment; at != NIL; at = lisp_cdr(at))
        if (lisp_car(lisp_car(at)) == symbol) return lisp_cdr(lisp_car(at));
    return globals[index_of(symbol)];
}

static value bind(value name, value bound, value environment) {
    const size_t mark = gc_roots_mark();
    const value *e = gc_root(environment);
    const value binding = lisp_cons(name, bound);
    const value extended = lisp_cons(binding, *e);
    gc_roots_restore(mark);
    return extended;
}

static value bind_all(value names, value values, value environment) {
    const size_t mark = gc_roots_mark();
    value *n = gc_root(names), *v = gc_root(values), *e = gc_root(environment);
    for (; *n != NIL; *n = lisp_cdr(*n), *v = lisp_cdr(*v)) *e = bind(lisp_car(*n), lisp_car(*v), *e);
    const value extended = *e;
    gc_roots_restore(mark);
    return extended;
}

static value eval_let_bindings(value bindings, value environment) {
    const size_t mark = gc_roots_mark();
    value *b = gc_root(bindings), *e = gc_root(environment), *inner = gc_root(environment);
    for (; *b != NIL; *b = lisp_cdr(*b)) {
        const value bound = eval(second(lisp_car(*b)), *e);
        *inner = bind(lisp_car(lisp_car(*b)), bound, *inner);
    }
    const value extended = *inner;
    gc_roots_restore(mark);
    return extended;
}

static value eval_arguments(value expressions, value environment) {
    if (expressions == NIL) return NIL;
    const size_t mark = gc_roots_mark();
    const value *rest = gc_root(lisp_cdr(expressions)), *e = gc_root(environment);
    const value *first = gc_root(eval(lisp_car(expressions), environment));
    const value others = eval_arguments(*rest, *e);
    const value arguments = lisp_cons(*first, others);
    gc_roots_restore(mark);
    return arguments;
}

/** Evaluates all expressions of a body but the last, which it returns unevaluated: the caller goes on there. */
static value eval_but_last(value body, value environment) {
    const size_t mark = gc_roots_mark();
    value *b = gc_root(body);
    const value *e = gc_root(environment);
    for (; lisp_cdr(*b) != NIL; *b = lisp_cdr(*b)) eval(lisp_car(*b), *e);
    const value last = lisp_car(*b);
    gc_roots_restore(mark);
    return last;
}

/** The body of the first clause whose test holds, as an expression list; NIL when none does. */
static value choose_clause(value clauses, value environment) {
    const size_t mark = gc_roots_mark();
    value *c = gc_root(clauses);
    const value *e = gc_root(environment);
    while (*c != NIL && eval(lisp_car(lisp_car(*c)), *e) == NIL) *c = lisp_cdr(*c);
    const value body = lisp_cdr(lisp_car(*c));
    gc_roots_restore(mark);
    return body;
}

static value define(value form, value environment) {
    const value target = second(form);
    if (is_cons(target)) { // (define (name parameter…) body…)
        const size_t symbol = index_of(lisp_car(target));
        globals[symbol] = make_closure(lisp_cdr(target), lisp_cdr(lisp_cdr(form)), environment);
        return NIL;
    }
    globals[index_of(target)] = eval(third(form), environment);
    return NIL;
}

enum builtin { CAR, CDR, CONS, LIST, ADD, SUBTRACT, MULTIPLY, QUOTIENT, REMAINDER, LESS, EQUAL, SAME, IS_NULL, IS_PAIR };

static const char *const builtin_names[] = {
    [CAR] = "car",           [CDR] = "cdr",           [CONS] = "cons",     [LIST] = "list", [ADD] = "+",
    [SUBTRACT] = "-",        [MULTIPLY] = "*",        [QUOTIENT] = "quotient", [REMAINDER] = "remainder",
    [LESS] = "<",            [EQUAL] = "=",           [SAME] = "eq?",      [IS_NULL] = "null?", [IS_PAIR] = "pair?",
};

static int64_t number(value v) {
    if (!is_integer(v)) panic("runtime: 0x%lx is no number", v);
    return integer_of(v);
}

static value sum(value arguments) {
    int64_t total = 0;
    for (value at = arguments; at != NIL; at = lisp_cdr(at)) total += number(lisp_car(at));
    return integer(total);
}

static int64_t divisor(value v) {
    const int64_t n = number(v);
    if (n == 0) panic("runtime: division by zero");
    return n;
}

static value call_builtin(enum builtin which, value arguments) {
    const value a = lisp_car(arguments), b = second(arguments);
    switch (which) {
    case CAR: return lisp_car(a);
    case CDR: return lisp_cdr(a);
    case CONS: return lisp_cons(a, b);
    case LIST: return arguments;
    case ADD: return sum(arguments);
    case SUBTRACT: return integer(number(a) - number(b));
    case MULTIPLY: return integer(number(a) * number(b));
    case QUOTIENT: return integer(number(a) / divisor(b));
    case REMAINDER: return integer(number(a) % divisor(b));
    case LESS: return truth_of(number(a) < number(b));
    case EQUAL: return truth_of(number(a) == number(b));
    case SAME: return truth_of(a == b);
    case IS_NULL: return truth_of(a == NIL);
    case IS_PAIR: return truth_of(is_cons(a));
    }
    panic("runtime: no builtin %u", (unsigned)which);
}

// Lets the other threads run now and then: a long computation must not hold the CPU.
static void take_a_turn(void) {
    if (++evaluations % EVALUATIONS_PER_TURN == 0) thread_yield();
}

/**
 * One step of a special form. Returns true when *expression and *environment hold what is to be evaluated next (a tail
 * position), false when *result is the value.
 */
static bool eval_form(size_t form, value *expression, value *environment, value *result) {
    switch (form) {
    case FORM_QUOTE: *result = second(*expression); return false;
    case FORM_IF: {
        const bool holds = eval(second(*expression), *environment) != NIL;
        *expression = holds ? third(*expression) : fourth(*expression);
        return true;
    }
    case FORM_COND:
        *expression = choose_clause(lisp_cdr(*expression), *environment);
        *expression = eval_but_last(*expression, *environment);
        return true;
    case FORM_BEGIN: *expression = eval_but_last(lisp_cdr(*expression), *environment); return true;
    case FORM_LET:
        *environment = eval_let_bindings(second(*expression), *environment);
        *expression = eval_but_last(lisp_cdr(lisp_cdr(*expression)), *environment);
        return true;
    case FORM_LAMBDA:
        *result = make_closure(second(*expression), lisp_cdr(lisp_cdr(*expression)), *environment);
        return false;
    case FORM_DEFINE:
    case FORM_SET: *result = define(*expression, *environment); return false;
    default: panic("runtime: no form %lu", form);
    }
}

/** One step of a call, in the same manner. */
static bool eval_call(value *expression, value *environment, value *result) {
    const size_t mark = gc_roots_mark();
    const value *function = gc_root(eval(lisp_car(*expression), *environment));
    value *arguments = gc_root(eval_arguments(lisp_cdr(*expression), *environment));
    bool goes_on = false;
    if (is_builtin(*function)) {
        *result = call_builtin((enum builtin)index_of(*function), *arguments);
    } else if (is_object(*function) && kind_of(*function) == OBJECT_CLOSURE) {
        const struct object *closure = (const struct object *)*function;
        *environment = bind_all(closure->fields[CLOSURE_PARAMETERS], *arguments, closure->fields[CLOSURE_ENVIRONMENT]);
        closure = (const struct object *)*function; // it may have moved
        *expression = eval_but_last(closure->fields[CLOSURE_BODY], *environment);
        goes_on = true;
    } else {
        panic("runtime: 0x%lx is called and is no function", *function);
    }
    gc_roots_restore(mark);
    return goes_on;
}

static value eval(value expression, value environment) {
    const size_t mark = gc_roots_mark();
    value *expr = gc_root(expression), *env = gc_root(environment);
    value result = NIL;
    if (++depth > MAX_DEPTH) panic("runtime: recursion deeper than %d", MAX_DEPTH);
    for (;;) {
        take_a_turn();
        if (is_symbol(*expr)) result = look_up(*expr, *env);
        else if (!is_cons(*expr)) result = *expr;
        else {
            const value head = lisp_car(*expr);
            const bool is_form = is_symbol(head) && index_of(head) < FORM_COUNT;
            if (is_form ? eval_form(index_of(head), expr, env, &result) : eval_call(expr, env, &result)) continue;
        }
        break;
    }
    depth--;
    gc_roots_restore(mark);
    return result;
}

void lisp_init(void) {
    gc_add_roots(globals, MAX_SYMBOLS);
    for (size_t i = 0; i < FORM_COUNT; i++) ASSERT(index_of(lisp_intern(form_names[i])) == i);
    for (size_t i = 0; i < sizeof builtin_names / sizeof builtin_names[0]; i++)
        globals[index_of(lisp_intern(builtin_names[i]))] = (value)i << 3 | 6;
    truth = lisp_intern("true");
    globals[index_of(truth)] = truth;
}

void lisp_load(const char *text) {
    while (true) {
        const value form = lisp_read(&text);
        if (text == NULL) return;
        eval(form, NIL);
    }
}

int64_t lisp_call(const char *name, int64_t argument) {
    const size_t mark = gc_roots_mark();
    const value *arguments = gc_root(lisp_cons(integer(argument), NIL));
    const value call = lisp_cons(lisp_intern(name), *arguments);
    const int64_t result = number(eval(call, NIL));
    gc_roots_restore(mark);
    return result;
}
