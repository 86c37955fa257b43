// What the PVH loader hands over: struct hvm_start_info (Xen, public/arch-x86/hvm/start_info.h), version 1.
#pragma once
#include <stdint.h>

struct pvh_start_info {
    uint32_t magic; // 0x336ec578
    uint32_t version;
    uint32_t flags;
    uint32_t module_count;
    uint64_t modules;
    uint64_t command_line; // physical address of a NUL-ended string
    uint64_t rsdp;
    uint64_t memory_map; // physical address of struct pvh_memory_range[]
    uint32_t memory_map_entries;
    uint32_t reserved;
};

struct pvh_memory_range {
    uint64_t address;
    uint64_t size;
    uint32_t type; // 1 = RAM
    uint32_t reserved;
};

/** The command line, "" when there is none. */
const char *pvh_command_line(const struct pvh_start_info *info);
/** End of the RAM that begins at or below 1 MiB, that is RAM without holes; at most 1 GiB is used. */
uint64_t pvh_ram_end(const struct pvh_start_info *info);
