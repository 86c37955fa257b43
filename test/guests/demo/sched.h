// Cooperative threads on one CPU, and the mutexes they wait for.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_THREADS = 16, THREAD_NAME_SIZE = 16, GUARD_SIZE = 4096, STACK_ARENA_SIZE = 512 * 1024 };

enum thread_state {
    THREAD_UNUSED,
    THREAD_RUNNABLE,
    THREAD_RUNNING,
    THREAD_SLEEPING, // until wake_at_ns
    THREAD_BLOCKED,  // on waiting_for
    THREAD_EXITED,
};

/** Where a thread that does not run goes on: rip and rsp are in switch.S, rbp is a frame record. Stale while it runs. */
struct context {
    uint64_t rsp, rbp, rip;
};

struct mutex {
    const char *name;
    struct thread *owner; // null when free
    uint64_t contended;   // how often somebody had to wait
};

struct thread {
    uint32_t id;
    enum thread_state state;
    char name[THREAD_NAME_SIZE];
    struct context context;
    uint64_t stack_base; // lowest address; the guard page is below
    uint64_t stack_size;
    uint64_t wake_at_ns;
    struct mutex *waiting_for; // set while blocked; its owner is whom we wait for
    struct thread *next;       // all threads, in order of creation
    void (*entry)(void *argument);
    void *argument;
    uint64_t switches;    // how often it was given the CPU
    uint64_t cpu_time_ns; // up to its last switch away
};

struct sched {
    struct thread *current;
    struct thread *threads; // first of the list by `next`
    struct thread *idle;
    uint32_t thread_count;
    uint64_t switches;
};
extern struct sched sched;

/** Makes the caller the idle thread, on the boot stack. */
void sched_init(void);
/** A new runnable thread. The stack comes from a fixed arena and has a guard page below. */
struct thread *thread_create(const char *name, size_t stack_size, void (*entry)(void *argument), void *argument);
void thread_yield(void);
/** Sleeps at least so long (0 = like yield). thread_wake ends it early. */
void thread_sleep_ns(uint64_t duration_ns);
/** Makes a sleeping thread runnable now; callable from interrupt handlers. */
void thread_wake(struct thread *thread);
_Noreturn void thread_exit(void);

void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

/** Runs the other threads for ever, halting while none is runnable. Called by the idle thread. */
_Noreturn void sched_run(void);

/** Whether so many bytes at the address lie in a stack (a thread's, the boot stack). */
bool sched_stack_holds(uint64_t address, uint64_t size);
/** Whose guard page an address is in; null when in none. */
const struct thread *sched_find_by_guard_page(uint64_t address);
