// PCI configuration by mechanism #1 (PCI Local Bus Specification 3.0, 3.2.2.3.2), bridges included. Where there is no host
// bridge (microvm) every read gives ones and no device is found.
#include "pci.h"
#include "cpu.h"

enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc, SLOTS = 32, FUNCTIONS = 8, MAX_BRIDGE_DEPTH = 4, MAX_CAPABILITIES = 48 };
enum {
    VENDOR_ID = 0x00,
    COMMAND = 0x04,
    STATUS = 0x06,
    HEADER_TYPE = 0x0e,
    FIRST_BAR = 0x10,
    SECONDARY_BUS = 0x19,
    CAPABILITIES = 0x34,
    INTERRUPT_LINE = 0x3c,
};
enum { NO_VENDOR = 0xffff, MULTI_FUNCTION = 0x80, BRIDGE = 0x01, HAS_CAPABILITIES = 0x10, COMMAND_MEMORY = 2, COMMAND_MASTER = 4 };

static void select_register(const struct pci_device *d, unsigned offset) {
    outl(CONFIG_ADDRESS, 0x80000000u | (uint32_t)d->bus << 16 | (uint32_t)d->slot << 11 | (uint32_t)d->function << 8 | (offset & 0xfc));
}

uint32_t pci_read32(const struct pci_device *d, unsigned offset) {
    select_register(d, offset);
    return inl(CONFIG_DATA);
}

uint16_t pci_read16(const struct pci_device *d, unsigned offset) { return (uint16_t)(pci_read32(d, offset) >> (offset & 2) * 8); }
uint8_t pci_read8(const struct pci_device *d, unsigned offset) { return (uint8_t)(pci_read32(d, offset) >> (offset & 3) * 8); }

void pci_write16(const struct pci_device *d, unsigned offset, uint16_t value) {
    select_register(d, offset);
    outw((uint16_t)(CONFIG_DATA + (offset & 2)), value);
}

struct search {
    uint16_t vendor, device;
    unsigned left; // matches still to be passed over
    struct pci_device *found;
};

static bool search_bus(uint8_t bus, unsigned depth, struct search *search);

static bool search_function(struct pci_device *d, unsigned depth, struct search *search) {
    d->vendor = pci_read16(d, VENDOR_ID);
    if (d->vendor == NO_VENDOR) return false;
    d->device = pci_read16(d, VENDOR_ID + 2);
    if (d->vendor == search->vendor && d->device == search->device && search->left-- == 0) {
        *search->found = *d;
        return true;
    }
    const bool is_bridge = (pci_read8(d, HEADER_TYPE) & ~MULTI_FUNCTION) == BRIDGE;
    const uint8_t behind = is_bridge ? pci_read8(d, SECONDARY_BUS) : 0;
    return behind > d->bus && depth < MAX_BRIDGE_DEPTH && search_bus(behind, depth + 1, search);
}

static bool search_bus(uint8_t bus, unsigned depth, struct search *search) {
    for (uint8_t slot = 0; slot < SLOTS; slot++) {
        struct pci_device d = {.bus = bus, .slot = slot};
        const bool many = pci_read16(&d, VENDOR_ID) != NO_VENDOR && (pci_read8(&d, HEADER_TYPE) & MULTI_FUNCTION) != 0;
        for (d.function = 0; d.function < (many ? FUNCTIONS : 1); d.function++)
            if (search_function(&d, depth, search)) return true;
    }
    return false;
}

bool pci_find(uint16_t vendor, uint16_t device, unsigned nth, struct pci_device *found) {
    struct search search = {vendor, device, nth, found};
    return search_bus(0, 0, &search);
}

uint64_t pci_memory_bar(const struct pci_device *d, unsigned index) {
    const uint32_t low = pci_read32(d, FIRST_BAR + 4 * index);
    if ((low & 1) != 0) return 0;
    const bool is_64_bit = (low & 6) == 4;
    const uint64_t high = is_64_bit && index < 5 ? pci_read32(d, FIRST_BAR + 4 * index + 4) : 0;
    return high << 32 | (low & ~0xfu);
}

unsigned pci_find_capability(const struct pci_device *d, uint8_t id, unsigned after) {
    if ((pci_read16(d, STATUS) & HAS_CAPABILITIES) == 0) return 0;
    unsigned at = pci_read8(d, after == 0 ? CAPABILITIES : after + 1) & 0xfc;
    for (unsigned seen = 0; at != 0 && seen < MAX_CAPABILITIES; seen++, at = pci_read8(d, at + 1) & 0xfc)
        if (pci_read8(d, at) == id) return at;
    return 0;
}

void pci_enable(const struct pci_device *d) {
    pci_write16(d, COMMAND, pci_read16(d, COMMAND) | COMMAND_MEMORY | COMMAND_MASTER);
}

uint8_t pci_interrupt_line(const struct pci_device *d) { return pci_read8(d, INTERRUPT_LINE); }
