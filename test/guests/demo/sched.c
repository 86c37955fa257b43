// The scheduler: round robin over the list of threads, no preemption. Interrupts only count ticks and wake sleepers.
#include "sched.h"
#include "cpu.h"
#include "paging.h"
#include "string.h"
#include "timer.h"
#include "trap.h"

struct sched sched;

static struct thread threads[MAX_THREADS];
static uint8_t stack_arena[STACK_ARENA_SIZE] __attribute__((aligned(4096)));
static size_t stack_arena_used;
static uint64_t switched_at_ns;

extern char boot_stack[], boot_stack_top[];
extern void switch_context(struct context *from, struct context *to);
extern char switch_resume[], thread_start_return[];

static struct thread *new_thread(const char *name) {
    ASSERT(sched.thread_count < MAX_THREADS);
    struct thread *thread = &threads[sched.thread_count];
    *thread = (struct thread){.id = sched.thread_count, .state = THREAD_RUNNABLE};
    copy_text(thread->name, sizeof thread->name, name);
    if (sched.thread_count > 0) threads[sched.thread_count - 1].next = thread;
    else sched.threads = thread;
    sched.thread_count++;
    return thread;
}

void sched_init(void) {
    struct thread *idle = new_thread("idle");
    idle->state = THREAD_RUNNING;
    idle->stack_base = (uint64_t)boot_stack;
    idle->stack_size = (uint64_t)(boot_stack_top - boot_stack);
    sched.idle = sched.current = idle;
    switched_at_ns = clock_now_ns();
}

// The frame that switch_context expects on the stack of a thread it switches to; it returns into thread_start.
struct first_frame {
    uint64_t r15, r14, r13, r12, rbx;
    uint64_t rbp, return_address; // a frame record
};

struct thread *thread_create(const char *name, size_t stack_size, void (*entry)(void *argument), void *argument) {
    ASSERT(stack_size % PAGE_SIZE == 0 && stack_arena_used + GUARD_SIZE + stack_size <= STACK_ARENA_SIZE);
    uint8_t *guard = stack_arena + stack_arena_used;
    stack_arena_used += GUARD_SIZE + stack_size;
    paging_unmap((uint64_t)guard);

    struct thread *thread = new_thread(name);
    thread->stack_base = (uint64_t)guard + GUARD_SIZE;
    thread->stack_size = stack_size;
    thread->entry = entry;
    thread->argument = argument;
    struct first_frame *frame = (struct first_frame *)(thread->stack_base + stack_size) - 1;
    *frame = (struct first_frame){.return_address = (uint64_t)thread_start_return};
    thread->context = (struct context){(uint64_t)frame, (uint64_t)&frame->rbp, (uint64_t)switch_resume};
    return thread;
}

/** The first C function of every thread. */
void thread_main(void) {
    sched.current->entry(sched.current->argument);
    thread_exit();
}

static void switch_to(struct thread *to) {
    struct thread *from = sched.current;
    if (to == from) {
        from->state = THREAD_RUNNING;
        return;
    }
    const uint64_t now = clock_now_ns();
    from->cpu_time_ns += now - switched_at_ns;
    switched_at_ns = now;
    if (from->state == THREAD_RUNNING) from->state = THREAD_RUNNABLE;
    to->state = THREAD_RUNNING;
    to->switches++;
    sched.switches++;
    sched.current = to;
    switch_context(&from->context, &to->context);
}

static struct thread *next_of(const struct thread *thread) { return thread->next != NULL ? thread->next : sched.threads; }

/** The next runnable thread after the current one, sleepers whose time has come included; the idle thread when there is none. */
static struct thread *pick(void) {
    const uint64_t now = clock_now_ns();
    struct thread *current = sched.current;
    for (struct thread *at = next_of(current);; at = next_of(at)) {
        if (at->state == THREAD_SLEEPING && at->wake_at_ns <= now) at->state = THREAD_RUNNABLE;
        const bool ready = at->state == THREAD_RUNNABLE || at->state == THREAD_RUNNING;
        if (ready && at != sched.idle) return at;
        if (at == current) return sched.idle;
    }
}

// Interrupts are off around a switch: handlers may wake threads, and a half-switched stack is nobody's to interrupt.
static void reschedule(void) {
    interrupts_off();
    switch_to(pick());
    interrupts_on();
}

void thread_yield(void) { reschedule(); }

void thread_sleep_ns(uint64_t duration_ns) {
    sched.current->wake_at_ns = clock_now_ns() + duration_ns;
    sched.current->state = THREAD_SLEEPING;
    reschedule();
}

void thread_wake(struct thread *thread) {
    if (thread->state == THREAD_SLEEPING) thread->state = THREAD_RUNNABLE;
}

_Noreturn void thread_exit(void) {
    sched.current->state = THREAD_EXITED;
    reschedule();
    __builtin_unreachable();
}

void mutex_lock(struct mutex *mutex) {
    if (mutex->owner != NULL) {
        mutex->contended++;
        sched.current->waiting_for = mutex;
        sched.current->state = THREAD_BLOCKED;
        reschedule(); // mutex_unlock has made us the owner when this returns
        ASSERT(mutex->owner == sched.current);
        return;
    }
    mutex->owner = sched.current;
}

void mutex_unlock(struct mutex *mutex) {
    ASSERT(mutex->owner == sched.current);
    mutex->owner = NULL;
    for (struct thread *at = next_of(sched.current); at != sched.current; at = next_of(at)) {
        if (at->waiting_for != mutex) continue;
        mutex->owner = at;
        at->waiting_for = NULL;
        at->state = THREAD_RUNNABLE;
        return;
    }
}

_Noreturn void sched_run(void) {
    for (;;) {
        interrupts_off();
        struct thread *next = pick();
        if (next != sched.idle) switch_to(next);
        else interrupts_on_and_halt();
        interrupts_on();
    }
}

bool sched_stack_holds(uint64_t address, uint64_t size) {
    for (unsigned i = 0; i < sched.thread_count; i++) {
        const struct thread *thread = &threads[i];
        if (address >= thread->stack_base && address + size <= thread->stack_base + thread->stack_size) return true;
    }
    return false;
}

const struct thread *sched_find_by_guard_page(uint64_t address) {
    for (unsigned i = 0; i < sched.thread_count; i++)
        if (address < threads[i].stack_base && address >= threads[i].stack_base - GUARD_SIZE) return &threads[i];
    return NULL;
}
