// Segment, task and interrupt descriptors.
#pragma once

/** Loads GDT, TSS (two IST stacks) and IDT. Exceptions are handled from here on; interrupts stay off. */
void descriptors_init(void);
