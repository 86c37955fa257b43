// Reads the PVH start information. All of it lies below 1 GiB, which boot.S has mapped.
#include "pvh.h"

enum { RAM = 1 };
#define MAGIC 0x336ec578u
#define ONE_MIB 0x100000ul
#define ONE_GIB 0x40000000ul
#define FALLBACK_END (16 * ONE_MIB) // a loader without a memory map: no machine of ours has less

const char *pvh_command_line(const struct pvh_start_info *info) {
    if (info->magic != MAGIC || info->command_line == 0) return "";
    return (const char *)info->command_line;
}

uint64_t pvh_ram_end(const struct pvh_start_info *info) {
    if (info->magic != MAGIC || info->version < 1) return FALLBACK_END;
    const struct pvh_memory_range *map = (const struct pvh_memory_range *)info->memory_map;
    for (uint32_t i = 0; i < info->memory_map_entries; i++) {
        const uint64_t end = map[i].address + map[i].size;
        if (map[i].type != RAM || map[i].address > ONE_MIB || end <= ONE_MIB) continue;
        return end < ONE_GIB ? end : ONE_GIB;
    }
    return FALLBACK_END;
}
