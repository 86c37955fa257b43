// The guest's address space.
//
//   0                    page 0 is unmapped; [4 KiB, 4 MiB) identity, 4 KiB pages: the image (text RX, rodata R, data RW)
//   4 MiB .. 4 GiB       identity, 2 MiB pages, no execute: RAM and device registers
//   0xffff880000000000   all RAM below 1 GiB once more, read-only: one 1 GiB page where the CPU has them, else 2 MiB pages
//   0xffff900000000000   the heap: RAM from 4 MiB to its end, 2 MiB pages
//   0xffffa00000000000   device registers above 4 GiB, mapped on demand, 2 MiB pages
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096ul
#define LARGE_PAGE_SIZE 0x200000ul
#define DIRECT_MAP_BASE 0xffff880000000000ul
#define HEAP_BASE 0xffff900000000000ul
#define DEVICE_MAP_BASE 0xffffa00000000000ul
#ifndef IMAGE_TABLES /* another build may have a larger image (probe-rate.c of the benchmarks, with its ring): 2 MiB each */
#define IMAGE_TABLES 2
#endif
#define HEAP_PHYSICAL_START (IMAGE_TABLES * 0x200000ul)

/** Builds and loads the final page tables. `ram_end`: end of RAM that starts at 0, at most 1 GiB. */
void paging_init(uint64_t ram_end);
/** Takes one 4 KiB page of the first 4 MiB away: a guard. */
void paging_unmap(uint64_t address);
/** Makes device registers readable and writable; returns where they are. */
volatile void *paging_map_device(uint64_t physical, size_t size);
/** The physical address behind one of ours: what a device needs for DMA. */
uint64_t paging_physical(const void *address);
