// Migration streams as QEMU writes them (migration/savevm.c, ram.c, vmstate.c), of any pages and registers, for tests.

const PAGE = 4096;

/** A page of a block: its bytes, or the byte that fills it. */
export interface StreamPage {
  readonly block: string;
  readonly page: number;
  readonly content: Uint8Array | number;
}

/** What is to be in it. */
export interface Stream {
  readonly machine?: string;
  readonly capabilities?: readonly string[];
  readonly blocks: readonly (readonly [name: string, bytes: number])[];
  /** In the order in which they are sent. */
  readonly pages: readonly StreamPage[];
  readonly vcpus?: readonly Readonly<Record<string, bigint>>[];
  readonly withDescription?: boolean;
}

const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const NOTHING = Buffer.alloc(0);
const GENERAL = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];

/** The stream's bytes. */
export function writeStream(stream: Stream): Buffer {
  const { machine = 'pc-q35-7.2', capabilities = [], blocks, pages, vcpus = [], withDescription = true } = stream;
  const total = blocks.reduce((sum, [, bytes]) => sum + bytes, 0);
  const list = blocks.map(([name, bytes]) => Buffer.concat([text(name), u64(bytes)]));
  const devices = vcpus.flatMap((values, instance) => [cpuCommon(instance, values), cpu(instance, values)]);
  return Buffer.concat([
    Buffer.from('QEVM'),
    u32(3),
    u8(7),
    u32(machine.length),
    Buffer.from(machine),
    ...(capabilities.length === 0
      ? []
      : [u8(5), text('configuration/capabilities'), u32(1), u32(capabilities.length), ...capabilities.map(text)]),
    section(1, 2, 'ram', 4, [u64(total + 4), ...list, u64(0x10)]),
    ...partsOf(pages),
    u8(3),
    u32(2),
    u64(0x10),
    footer(2),
    ...devices.map(({ name, instance, version, bytes }, index) => section(4, 10 + index, name, version, [bytes], instance)),
    u8(0),
    ...(withDescription ? [describe(devices)] : []),
  ]);
}

/** Pages in sections of three, as an iteration sends them: the block's name only where it is another one. */
function partsOf(pages: readonly StreamPage[]): Buffer[] {
  const parts: Buffer[] = [];
  let block = '';
  for (let first = 0; first < pages.length; first += 3) {
    const sent = pages.slice(first, first + 3).map(({ block: name, page, content }) => {
      const same = name === block ? 0x20 : 0;
      block = name;
      const kind = typeof content === 'number' ? 2 : 8;
      return Buffer.concat([
        u64(page * PAGE + kind + same),
        same === 0 ? text(name) : NOTHING,
        typeof content === 'number' ? u8(content) : content,
      ]);
    });
    parts.push(u8(2), u32(2), ...sent, u64(0x10), footer(2));
  }
  return parts;
}

interface Device {
  readonly name: string;
  readonly instance: number;
  readonly version: number;
  readonly bytes: Buffer;
  readonly fields: readonly unknown[];
  readonly subsections?: readonly unknown[];
}

function cpuCommon(instance: number, values: Readonly<Record<string, bigint>>): Device {
  const bytes = Buffer.concat([u32(Number(values['halted'] ?? 0n)), u32(0)]);
  const fields = [field('halted', 4), field('interrupt_request', 4)];
  return { name: 'cpu_common', instance, version: 1, bytes, fields };
}

function cpu(instance: number, values: Readonly<Record<string, bigint>>): Device {
  const wide = values['rip'] !== undefined;
  const at = (name: string): bigint => values[name] ?? 0n;
  const general = GENERAL.map((name) => at(`${wide ? 'r' : 'e'}${name}`));
  const others = Array.from({ length: 8 }, (_, index) => at(`r${index + 8}`));
  const segment = (name: string): Buffer => Buffer.concat([u32(Number(at(name))), u64(at(`${name}_base`)), u32(0), u32(0)]);
  const parts: readonly (readonly [unknown, Buffer])[] = [
    [field('env.regs', 8, 16), Buffer.concat([...general, ...others].map(u64))],
    [field('env.eip', 8), u64(at(wide ? 'rip' : 'eip'))],
    [field('env.eflags', 8), u64(at('eflags'))],
    [field('env.hflags', 4), u32(wide ? 1 << 15 : 0)],
    [{ ...field('env.segs', 20, 6), type: 'struct' }, Buffer.concat(SEGMENTS.map(segment))],
    [field('env.gdt', 20), segment('gdt')],
    [field('env.idt', 20), segment('idt')],
    ...[0, 2, 3, 4].map((index) => [field(`env.cr[${index}]`, 8), u64(at(`cr${index}`))] as const),
    [field('env.efer', 8), u64(at('efer'))],
    [field('env.kernelgsbase', 8), u64(at('k_gs_base'))],
  ];
  const part = Buffer.concat([u8(5), text('cpu/msr_smi_count'), u32(1), u64(0)]);
  return {
    ...{ name: 'cpu', instance, version: 12, bytes: Buffer.concat([...parts.map(([, bytes]) => bytes), part]) },
    fields: parts.map(([described]) => described),
    subsections: [{ vmsd_name: 'cpu/msr_smi_count', version: 1, fields: [field('env.msr_smi_count', 8)] }],
  };
}

function field(name: string, size: number, count?: number): Readonly<Record<string, unknown>> {
  return { name, type: 'any', size, ...(count === undefined ? {} : { array_len: count }) };
}

function describe(devices: readonly Device[]): Buffer {
  const described = devices.map(({ name, instance, version, fields, subsections }) => ({
    ...{ name, instance_id: instance, vmsd_name: name, version, fields },
    ...(subsections === undefined ? {} : { subsections }),
  }));
  const json = Buffer.from(JSON.stringify({ page_size: PAGE, devices: described }));
  return Buffer.concat([u8(6), u32(json.length), json]);
}

function section(type: number, id: number, name: string, version: number, body: readonly Buffer[], instance = 0): Buffer {
  return Buffer.concat([u8(type), u32(id), text(name), u32(instance), u32(version), ...body, footer(id)]);
}

function footer(id: number): Buffer {
  return Buffer.concat([u8(0x7e), u32(id)]);
}

function text(value: string): Buffer {
  return Buffer.concat([u8(value.length), Buffer.from(value)]);
}

function u8(value: number): Buffer {
  return Buffer.of(value);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
