// The guest's command line: words `key=value` or `flag`, separated by spaces.
#include "options.h"
#include "console.h"
#include "string.h"

struct options options;

static const struct {
    const char *name;
    enum crash_mode mode;
} crash_modes[] = {
    {"none", CRASH_NONE},     {"null", CRASH_NULL},     {"wild", CRASH_WILD},   {"div", CRASH_DIV},
    {"ud2", CRASH_UD2},       {"gp", CRASH_GP},         {"assert", CRASH_ASSERT}, {"abort", CRASH_ABORT},
    {"stack", CRASH_STACK},   {"oom", CRASH_OOM},       {"deadlock", CRASH_DEADLOCK}, {"hang", CRASH_HANG},
    {"triple", CRASH_TRIPLE}, {"exit", CRASH_EXIT},   {"wait", CRASH_WAIT},   {"busy", CRASH_BUSY},
    {"starve", CRASH_STARVE}, {"pvpanic", CRASH_PVPANIC},
};

static uint64_t parse_number(const char *text) {
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++) value = value * 10 + (uint64_t)(*text - '0');
    return value;
}

static bool parse_crash_mode(const char *name) {
    for (unsigned i = 0; i < sizeof crash_modes / sizeof crash_modes[0]; i++) {
        if (strcmp(name, crash_modes[i].name) != 0) continue;
        options.crash = crash_modes[i].mode;
        return true;
    }
    return false;
}

static bool parse_probe_transports(const char *list) {
    static const char *const names[] = {"ring", "uart", "virtio"};
    options.probe_transports = 0;
    if (strcmp(list, "none") == 0) return true;
    while (*list != '\0') {
        unsigned i = 0;
        while (i < 3 && memcmp(list, names[i], strlen(names[i])) != 0) i++;
        if (i == 3) return false;
        options.probe_transports |= 1u << i;
        list += strlen(names[i]);
        if (*list == ',') list++;
    }
    return true;
}

/** What follows `key=` in a word, or null when it is another key. */
static const char *find_value(const char *word, const char *key) {
    const size_t length = strlen(key);
    return memcmp(word, key, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

static bool parse_word(const char *word) {
    const char *value;
    if (strcmp(word, "quiet") == 0) return options.quiet = true;
    if (strcmp(word, "stuck") == 0) return options.stuck = true;
    if (strcmp(word, "slow") == 0) return options.slow = true;
    if (strcmp(word, "gc=off") == 0) return options.gc_off = true;
    if (strcmp(word, "gc=on") == 0) return true;
    if ((value = find_value(word, "crash")) != NULL) return parse_crash_mode(value);
    if ((value = find_value(word, "after")) != NULL) return options.after_ms = parse_number(value), true;
    if ((value = find_value(word, "code")) != NULL) return options.exit_code = parse_number(value), true;
    if ((value = find_value(word, "flaky")) != NULL) return options.flaky = parse_number(value), true;
    if ((value = find_value(word, "requests")) != NULL) return options.requests = parse_number(value), true;
    if ((value = find_value(word, "rate")) != NULL) return options.flood_lines = parse_number(value), true;
    if ((value = find_value(word, "leak")) != NULL) return options.leak_bytes = parse_number(value), true;
    if ((value = find_value(word, "probe")) != NULL) return parse_probe_transports(value);
    return false;
}

void options_parse(const char *command_line) {
    options.after_ms = 300;
    options.probe_transports = PROBE_RING;
    copy_text(options.command_line, sizeof options.command_line, command_line);
    char word[64];
    const char *at = options.command_line;
    while (*at != '\0') {
        size_t length = 0;
        while (*at == ' ') at++;
        for (; *at != '\0' && *at != ' '; at++)
            if (length + 1 < sizeof word) word[length++] = *at;
        word[length] = '\0';
        if (length > 0 && !parse_word(word)) console_printf("options: unknown word '%s'\n", word);
    }
}
