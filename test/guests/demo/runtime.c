// The language runtime at work: one job after another for ever, each result checked, with rests in between so that the
// guest stays mostly idle.
#include "runtime.h"
#include "app.h"
#include "gc.h"
#include "lisp.h"
#include "options.h"
#include "sched.h"
#include "timer.h"
#include "trap.h"

enum { RUNTIME_STACK = 256 * 1024, REST_FACTOR = 4 };
#define SHORTEST_REST_NS (20 * NS_PER_MS)
#define LONGEST_REST_NS (300 * NS_PER_MS)

extern const char program_text[];

static int64_t expected_result(int64_t job) {
    const int64_t queens = 10, primes = 25, sorted = 1;
    return queens + primes + sorted + (1 << (5 + job % 4 + 1)) - 1;
}

static uint64_t rest_after(uint64_t worked_ns) {
    const uint64_t rest = worked_ns * REST_FACTOR;
    if (rest < SHORTEST_REST_NS) return SHORTEST_REST_NS;
    return rest < LONGEST_REST_NS ? rest : LONGEST_REST_NS;
}

static void runtime_main(void *argument) {
    (void)argument;
    lisp_load(program_text);
    for (int64_t job = 0;; job++) {
        const uint64_t start = clock_now_ns();
        const int64_t result = lisp_call("job", job);
        if (result != expected_result(job)) panic("runtime: job %ld gave %ld", job, result);
        app_record_job(result);
        thread_sleep_ns(rest_after(clock_now_ns() - start));
    }
}

void runtime_start(void) {
    gc_init(!options.gc_off);
    lisp_init();
    thread_create("runtime", RUNTIME_STACK, runtime_main, NULL);
}
