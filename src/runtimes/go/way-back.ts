// What the code of runtime.systemstack on x86-64 says of runtime structures (runtime/asm_amd64.s). After the call it does
//   MOVQ g(TLS), AX;  MOVQ g_m(AX), BX;  MOVQ m_curg(BX), AX;  …  MOVQ (g_sched+gobuf_sp)(AX), SP;  [MOVQ (g_sched+gobuf_bp)(AX), BP]
// in every release from 1.5 on; the linker has put the offsets of that release into the instructions.

/** Offsets within `g` and `m`, in bytes. */
export interface WayBack {
  /** g.m */
  readonly m: number;
  /** m.curg */
  readonly current: number;
  /** g.sched.sp; pc and g follow it. */
  readonly sp: number;
  /** g.sched.bp; null in releases that leave it alone here. */
  readonly bp: number | null;
  /** Where the thread's `g` lies from fs_base; null where the code does not say. */
  readonly tls: number | null;
}

interface Load {
  readonly at: number;
  readonly to: number;
  readonly from: number;
  readonly offset: number;
}

const RSP = 4;
const RBP = 5;

/** The offsets in `code`, which is the whole function; null when it does not hold these loads. */
export function decodeWayBack(code: Uint8Array): WayBack | null {
  const loads = decodeLoads(code);
  for (const sp of loads.filter(({ to }) => to === RSP)) {
    const current = before(loads, sp);
    const m = current === null ? null : before(loads, current);
    if (current === null || m === null) continue;
    const bp = loads.find(({ at, to, from }) => at > sp.at && at <= sp.at + 8 && to === RBP && from === sp.from);
    return { m: m.offset, current: current.offset, sp: sp.offset, bp: bp?.offset ?? null, tls: decodeTls(code) };
  }
  return null;
}

/** The nearest load before `load` into the register that it goes from. */
function before(loads: readonly Load[], load: Load): Load | null {
  return loads.findLast(({ at, to }) => at < load.at && at >= load.at - 48 && to === load.from) ?? null;
}

/** `mov r64, [r64 + displacement]` wherever its bytes stand; chance hits among them form no chain. */
function decodeLoads(code: Uint8Array): readonly Load[] {
  const loads: Load[] = [];
  const view = new DataView(code.buffer, code.byteOffset, code.length);
  for (let at = 0; at + 4 <= code.length; at += 1) {
    const [rex, opcode, form] = [code[at]!, code[at + 1]!, code[at + 2]!];
    if ((rex & 0xf8) !== 0x48 || opcode !== 0x8b || (form & 7) === RSP || (at > 0 && code[at - 1] === 0x64)) continue;
    const wide = form >>> 6 === 2;
    if ((form >>> 6 !== 1 && !wide) || (wide && at + 7 > code.length)) continue;
    const offset = wide ? view.getInt32(at + 3, true) : view.getInt8(at + 3);
    if (offset < 0) continue;
    loads.push({ at, to: ((form >>> 3) & 7) | ((rex & 4) << 1), from: (form & 7) | ((rex & 1) << 3), offset });
  }
  return loads;
}

/** `mov r64, fs:[displacement]`. */
function decodeTls(code: Uint8Array): number | null {
  const view = new DataView(code.buffer, code.byteOffset, code.length);
  for (let at = 0; at + 9 <= code.length; at += 1) {
    const isLoad = code[at] === 0x64 && (code[at + 1]! & 0xfb) === 0x48 && code[at + 2] === 0x8b;
    if (isLoad && (code[at + 3]! & 0xc7) === 0x04 && code[at + 4] === 0x25) return view.getInt32(at + 5, true);
  }
  return null;
}
