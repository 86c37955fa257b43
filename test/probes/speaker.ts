// A program that speaks through the in-guest probe, compiled by the host's gcc.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const PROBE = resolve(import.meta.dirname, '../../probes/guest');

// To three files: what a UART would carry, the ring with the same, and the ring having been sent more than its 64 slots hold.
const SPEAKER = `
#include <stdio.h>
#define UNIDBG_RING_SLOTS 64
#include "unidbg_probe.c"
static uint64_t now; static uint64_t clock_ns(void) { return now += 1000; }
static FILE *framed;
static void tee(const uint8_t *record, uint32_t length) {
    uint8_t frame[MAX_FRAME];
    fwrite(frame, 1, encode_frame(frame, record, length), framed);
}
int main(int argc, char **argv) {
    framed = fopen(argv[1], "wb");
    unidbg_init("speaker", clock_ns);
    unidbg_use_ring();
    uint16_t requests = unidbg_declare(UNIDBG_COUNTER, "app.requests", "{request}");
    uint16_t load = unidbg_declare(UNIDBG_GAUGE, "app.load", "1");
    uint16_t pause = unidbg_declare(UNIDBG_SPAN, "app.gc.pause", "ns");
    unidbg_integer(requests, -5); unidbg_float(load, 0.25); unidbg_span(pause, 7, 123456);
    for (uint64_t i = 0; i < unidbg_ring.written; i++) tee(unidbg_ring.slots[i].record.bytes, unidbg_ring.slots[i].length);
    fclose(framed);
    FILE *ring = fopen(argv[2], "wb"); fwrite(&unidbg_ring, sizeof unidbg_ring, 1, ring); fclose(ring);
    for (int i = 0; i < 200; i++) unidbg_integer(requests, i);
    ring = fopen(argv[3], "wb"); fwrite(&unidbg_ring, sizeof unidbg_ring, 1, ring); fclose(ring);
    return argc != 4;
}`;

/** Compiles the program into `directory` and runs it: three metrics and one value of each, as bytes on a wire and as a ring; and a ring that turned. */
export function speak(directory: string): { framed: Uint8Array; ring: Uint8Array; turned: Uint8Array } {
  const [source, program, ...outputs] = ['speaker.c', 'speaker', 'framed.bin', 'ring.bin', 'turned.bin'].map((name) =>
    join(directory, name),
  );
  writeFileSync(source!, SPEAKER);
  execFileSync('gcc', ['-O2', '-I', PROBE, '-o', program!, source!]);
  execFileSync(program!, outputs);
  const [framed, ring, turned] = outputs.map((path) => new Uint8Array(readFileSync(path)));
  return { framed: framed!, ring: ring!, turned: turned! };
}
