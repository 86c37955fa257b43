// One function per crash mode, so that the name is on the stack. Each commits its crime for real.
#include "crash.h"
#include "alloc.h"
#include "console.h"
#include "cpu.h"
#include "options.h"
#include "power.h"
#include "sched.h"
#include "string.h"
#include "timer.h"
#include "trap.h"

enum { OOM_CHUNK = 256 * 1024, FIELD_OFFSET = 16 };

struct customer {
    uint64_t id;
    const char *name;
    volatile uint64_t visits;
};

static struct customer *volatile no_customer;
static volatile int64_t divisor;
static void (*volatile wild_function)(void) = (void (*)(void))0xbadc0de000;
static volatile uint64_t *volatile non_canonical = (volatile uint64_t *)0x8000000000000000;
static volatile uint64_t far_too_deep = 1 << 30;
static volatile uint64_t spins;

// gcc leaves a leaf function without a frame record even under -fno-omit-frame-pointer when it never touches the stack, and
// a frame-pointer trace then misses its caller. Asking for the frame's address makes the record.
#ifdef DEMO_FRAME_POINTERS
#define HAS_FRAME_RECORD() __asm__ volatile("" : : "r"(__builtin_frame_address(0)))
#else
#define HAS_FRAME_RECORD() ((void)0)
#endif

static inline __attribute__((always_inline)) uint64_t count_visit(struct customer *customer) {
    return ++customer->visits; // dies: null, flaky
}

static __attribute__((noinline)) void crash_null(void) {
    HAS_FRAME_RECORD();
    if (count_visit(no_customer) == 0) divisor++;
}

static __attribute__((noinline)) void crash_wild(void) {
    wild_function(); // dies: wild
    divisor++;
}

static __attribute__((noinline)) void crash_div(void) {
    HAS_FRAME_RECORD();
    spins = (uint64_t)(100 / divisor); // dies: div
}

static __attribute__((noinline)) void crash_ud2(void) {
    HAS_FRAME_RECORD();
    __asm__ volatile("ud2"); // dies: ud2
    divisor++;
}

static __attribute__((noinline)) void crash_gp(void) {
    HAS_FRAME_RECORD();
    spins = *non_canonical; // dies: gp
}

static __attribute__((noinline)) void crash_assert(void) {
    ASSERT(divisor != 0); // dies: assert
    divisor++;
}

static __attribute__((noinline)) void crash_abort(void) {
    panic("abort called"); // dies: abort
}

static __attribute__((noinline)) uint64_t crash_recurse(uint64_t depth) {
    volatile uint64_t frame[16];
    if (depth == far_too_deep) return depth;
    frame[depth % 16] = depth; // dies: stack
    return crash_recurse(depth + 1) + frame[depth % 16];
}

static __attribute__((noinline)) void crash_stack(void) { spins = crash_recurse(0); }

static __attribute__((noinline)) void crash_oom(void) {
    for (;;) memset(alloc_or_panic(OOM_CHUNK, "a cache that never forgets"), 0x55, OOM_CHUNK); // dies: oom
}

static __attribute__((noinline)) void crash_spin(void) {
    HAS_FRAME_RECORD();
    for (;;) spins++; // dies: hang, busy
}

static __attribute__((noinline)) void crash_hang(void) {
    interrupts_off();
    crash_spin();
}

static __attribute__((noinline)) void crash_busy(void) { crash_spin(); }

static volatile bool answer_came;

static __attribute__((noinline)) void crash_wait(void) {
    HAS_FRAME_RECORD();
    while (!answer_came) __builtin_ia32_pause(); // dies: wait
    divisor++;
}

static __attribute__((noinline)) void crash_starve(void) {
    for (;;) memset(alloc_or_wait(OOM_CHUNK), 0x55, OOM_CHUNK); // dies: starve
}

static __attribute__((noinline)) void crash_pvpanic(void) {
    console_printf("fatal: all is lost\n");
    power_report_panic();
    for (;;) __asm__ volatile("cli; hlt"); // dies: panic
}

// The lowest bits of a time stamp counter are even (TCG's are): all of it is stirred (splitmix64's last step).
static uint64_t stir(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

void crash_start(void) {
    if (options.flaky != 0 && stir(read_tsc()) % options.flaky == 0) options.crash = CRASH_NULL;
}

static bool is_due(void) {
    return options.crash != CRASH_NONE && clock_now_ns() >= options.after_ms * NS_PER_MS;
}

// Always the same thread, so that a test knows which.
static bool is_the_one_to_crash(void) { return strcmp(sched.current->name, "worker-1") == 0; }

__attribute__((noinline)) void crash_point(void) {
    if (!is_due() || !is_the_one_to_crash()) return;
    switch (options.crash) {
    case CRASH_NULL: crash_null(); break;
    case CRASH_WILD: crash_wild(); break;
    case CRASH_DIV: crash_div(); break;
    case CRASH_UD2: crash_ud2(); break;
    case CRASH_GP: crash_gp(); break;
    case CRASH_ASSERT: crash_assert(); break;
    case CRASH_ABORT: crash_abort(); break;
    case CRASH_STACK: crash_stack(); break;
    case CRASH_OOM: crash_oom(); break;
    case CRASH_HANG: crash_hang(); break;
    case CRASH_WAIT: crash_wait(); break;
    case CRASH_BUSY: crash_busy(); break;
    case CRASH_STARVE: crash_starve(); break;
    case CRASH_PVPANIC: crash_pvpanic(); break;
    case CRASH_TRIPLE: power_triple_fault(); break;
    case CRASH_EXIT: power_exit((uint8_t)options.exit_code); break;
    case CRASH_DEADLOCK:
    case CRASH_NONE: break;
    }
    compiler_barrier();
}

void crash_pause_for_deadlock(void) {
    if (options.crash == CRASH_DEADLOCK && is_due()) thread_sleep_ns(30 * NS_PER_MS);
}
