// PCI: finding devices and reading what they say of themselves. Knows nothing of any driver.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pci_device {
    uint8_t bus, slot, function;
    uint16_t vendor, device;
};

/** The nth (from 0) function with that vendor and device id, in bus order; false when there is none, or no PCI at all. */
bool pci_find(uint16_t vendor, uint16_t device, unsigned nth, struct pci_device *found);

uint8_t pci_read8(const struct pci_device *device, unsigned offset);
uint16_t pci_read16(const struct pci_device *device, unsigned offset);
uint32_t pci_read32(const struct pci_device *device, unsigned offset);
void pci_write16(const struct pci_device *device, unsigned offset, uint16_t value);

/** Physical address of a memory BAR, 32 or 64 bits wide; 0 when it is an I/O BAR, empty, or was given no address. */
uint64_t pci_memory_bar(const struct pci_device *device, unsigned index);
/** Offset of the next capability with that id behind `after` (0 = from the start); 0 when there is none. */
unsigned pci_find_capability(const struct pci_device *device, uint8_t id, unsigned after);
/** Lets the device decode its memory BARs and do DMA. */
void pci_enable(const struct pci_device *device);
/** The 8259 line that the firmware routed the device's INTx to; 0xff when there is none. */
uint8_t pci_interrupt_line(const struct pci_device *device);
