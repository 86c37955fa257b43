// The application: accounts and a ledger under two mutexes, two workers that serve generated requests. A request goes down
// through app_handle_request → app_parse → app_execute → app_transfer → app_render, so that a crash below has a stack
// worth reading; skip_word and balance_of are inlined, for inline frames.
#include "app.h"
#include "alloc.h"
#include "console.h"
#include "crash.h"
#include "options.h"
#include "power.h"
#include "sched.h"
#include "string.h"
#include "timer.h"
#include "trap.h"

enum { ACCOUNTS = 64, LEDGER_ENTRIES = 256, WORKER_STACK = 16384, WORKERS = 2 };
#define REQUEST_PERIOD_NS (20 * NS_PER_MS)
#define SLOW_REQUEST_PERIOD_NS NS_PER_SECOND

struct account {
    uint32_t id;
    int64_t balance;
};

struct ledger_entry {
    uint32_t from, to;
    int64_t amount;
};

struct command {
    uint32_t from, to;
    int64_t amount;
};

struct response {
    char *text;
    uint32_t size, length;
};

struct app_stats app_stats;

static struct account accounts[ACCOUNTS];
static struct ledger_entry ledger[LEDGER_ENTRIES];
static uint32_t ledger_length;
static struct mutex accounts_lock = {.name = "accounts"};
static struct mutex ledger_lock = {.name = "ledger"};

static inline __attribute__((always_inline)) const char *skip_word(const char *at) {
    while (*at != '\0' && *at != ' ') at++;
    while (*at == ' ') at++;
    return at;
}

static inline __attribute__((always_inline)) int64_t balance_of(const struct account *account) {
    crash_point();
    return account->balance;
}

static __attribute__((noinline)) uint32_t app_render(const struct command *command, struct response *response) {
    const int64_t balance = balance_of(&accounts[command->to]);
    response->length = (uint32_t)format_text(response->text, response->size, "account %u has %ld", command->to, balance);
    return response->length;
}

static void append_to_ledger(const struct command *command) {
    ledger[ledger_length++ % LEDGER_ENTRIES] = (struct ledger_entry){command->from, command->to, command->amount};
}

static __attribute__((noinline)) uint32_t app_transfer(const struct command *command, struct response *response) {
    mutex_lock(&accounts_lock);
    crash_pause_for_deadlock();
    mutex_lock(&ledger_lock); // dies: deadlock
    accounts[command->from].balance -= command->amount;
    accounts[command->to].balance += command->amount;
    append_to_ledger(command);
    app_stats.transfers++;
    mutex_unlock(&ledger_lock);
    mutex_unlock(&accounts_lock);
    const uint32_t length = app_render(command, response);
    app_stats.response_bytes += length; // after the call: a tail call would leave no frame
    return length;
}

static __attribute__((noinline)) uint32_t app_execute(const struct command *command, struct response *response) {
    if (command->from >= ACCOUNTS || command->to >= ACCOUNTS) {
        app_stats.rejected++;
        return 0;
    }
    const uint32_t length = app_transfer(command, response);
    app_stats.requests++;
    return length;
}

static uint32_t parse_number(const char *at) {
    uint32_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) value = value * 10 + (uint32_t)(*at - '0');
    return value;
}

static __attribute__((noinline)) uint32_t app_parse(const char *request, struct response *response) {
    struct command command;
    const char *at = skip_word(request);
    command.from = parse_number(at);
    at = skip_word(at);
    command.to = parse_number(at);
    at = skip_word(at);
    command.amount = parse_number(at);
    const uint32_t length = app_execute(&command, response);
    return length > response->size ? response->size : length;
}

__attribute__((noinline)) uint32_t app_handle_request(const char *request, char *text, uint32_t size) {
    struct response response = {text, size, 0};
    text[0] = '\0';
    const uint32_t length = app_parse(request, &response);
    ASSERT(length < size);
    return length;
}

// Money must neither appear nor vanish. Takes the locks in the wrong order: harmless as long as nothing pauses in between.
static __attribute__((noinline)) int64_t app_audit(void) {
    int64_t sum = 0;
    mutex_lock(&ledger_lock);
    crash_pause_for_deadlock();
    mutex_lock(&accounts_lock);
    for (uint32_t i = 0; i < ACCOUNTS; i++) sum += accounts[i].balance;
    mutex_unlock(&accounts_lock);
    mutex_unlock(&ledger_lock);
    return sum;
}

__attribute__((noinline)) void app_record_job(int64_t result) {
    mutex_lock(&ledger_lock);
    app_stats.jobs++;
    app_stats.last_job_result = result;
    mutex_unlock(&ledger_lock);
}

struct app_stats app_take_stats(void) {
    mutex_lock(&ledger_lock);
    const struct app_stats stats = app_stats;
    mutex_unlock(&ledger_lock);
    return stats;
}

static void end_when_served(void) {
    if (options.requests == 0 || app_stats.requests < options.requests) return;
    console_printf("demo: all %lu requests served\n", app_stats.requests);
    power_exit((uint8_t)options.exit_code);
}

// Both workers serve requests; every second one of the second worker's rounds is an audit.
static void worker_main(void *argument) {
    const uint32_t number = (uint32_t)(uint64_t)argument;
    uint32_t round = number * 17;
    for (;; round++) {
        char request[64];
        enum { RESPONSE_SIZE = 128 };
        char *response = alloc_or_panic(RESPONSE_SIZE, "a response");
        format_text(request, sizeof request, "transfer %u %u %u", round % ACCOUNTS, round * 7 % ACCOUNTS, round % 100);
        app_handle_request(request, response, RESPONSE_SIZE);
        if (number == WORKERS && round % 2 == 0) ASSERT(app_audit() == 0);
        alloc_free(response);
        end_when_served();
        thread_sleep_ns(options.slow ? SLOW_REQUEST_PERIOD_NS : REQUEST_PERIOD_NS);
    }
}

void app_start(void) {
    crash_start();
    for (uint32_t i = 0; i < ACCOUNTS; i++) accounts[i].id = i;
    for (uint64_t number = 1; number <= WORKERS; number++) {
        char name[THREAD_NAME_SIZE];
        format_text(name, sizeof name, "worker-%lu", number);
        thread_create(name, WORKER_STACK, worker_main, (void *)number);
    }
}
