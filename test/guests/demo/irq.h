// Device interrupts by the two 8259 controllers.
#pragma once

/** Moves IRQs 0–15 to vectors 32–47, all masked. */
void irq_init(void);
/** Calls `handler` on every interrupt of the line, and unmasks it. Handlers run with interrupts off. */
void irq_listen(unsigned line, void (*handler)(void));
/** From trap_handler. */
void irq_handle(unsigned line);
