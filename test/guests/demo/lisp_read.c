// The reader: integers, symbols, lists, 'quote, ; comments.
#include "lisp.h"
#include "string.h"
#include "trap.h"

struct symbol lisp_symbols[MAX_SYMBOLS];
static size_t symbol_count;

value lisp_intern(const char *name) {
    size_t i = 0;
    while (i < symbol_count && strcmp(lisp_symbols[i].name, name) != 0) i++;
    if (i == symbol_count) {
        if (symbol_count == MAX_SYMBOLS) panic("runtime: too many symbols");
        copy_text(lisp_symbols[symbol_count++].name, SYMBOL_NAME_SIZE, name);
    }
    return (value)i << 3 | 2;
}

static const char *skip_blanks(const char *at) {
    for (;; at++) {
        while (*at == ';')
            while (*at != '\0' && *at != '\n') at++;
        if (*at != ' ' && *at != '\n' && *at != '\t') return at;
    }
}

static bool ends_word(char c) { return c == '\0' || c == ' ' || c == '\n' || c == '\t' || c == '(' || c == ')' || c == ';'; }

static value read_word(const char **text) {
    char word[SYMBOL_NAME_SIZE];
    size_t length = 0;
    for (; !ends_word(**text); (*text)++)
        if (length + 1 < sizeof word) word[length++] = **text;
    word[length] = '\0';
    if (word[0] < '0' || word[0] > '9') return lisp_intern(word);
    int64_t number = 0;
    for (size_t i = 0; i < length; i++) number = number * 10 + (word[i] - '0');
    return integer(number);
}

static value read_list(const char **text) {
    *text = skip_blanks(*text);
    if (**text == '\0') panic("runtime: a list is not closed");
    if (**text == ')') {
        (*text)++;
        return NIL;
    }
    const size_t mark = gc_roots_mark();
    value *first = gc_root(lisp_read(text));
    const value rest = read_list(text);
    const value list = lisp_cons(*first, rest);
    gc_roots_restore(mark);
    return list;
}

value lisp_read(const char **text) {
    *text = skip_blanks(*text);
    if (**text == '\0') {
        *text = NULL;
        return NIL;
    }
    if (**text == '(') return (*text)++, read_list(text);
    if (**text == '\'') {
        (*text)++;
        const value quoted = lisp_cons(lisp_read(text), NIL);
        return lisp_cons(lisp_intern("quote"), quoted);
    }
    return read_word(text);
}
