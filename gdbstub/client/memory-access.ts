// Memory in pieces that fit the stub's packets. Reads by `x` where it is offered, else `m`; writes by `X`, else `M`.

import { isRspError, RspError } from '../error.ts';
import {
  decodeBinary,
  decodeMemory,
  encodeReadBinary,
  encodeReadMemory,
  encodeWriteBinary,
  encodeWriteMemory,
} from '../packets/memory.ts';
import { expectOk } from '../packets/reply.ts';
import type { Connection, RequestOptions } from './connection.ts';

/** Framing (`$ # cc`), command letter and two hex numbers with their punctuation. */
const OVERHEAD = 48;
const MASK_64 = (1n << 64n) - 1n;
const INT3 = 0xcc;

/** The memory half of a StubClient. */
export class MemoryAccess {
  readonly allowWrite: boolean;
  private readonly connection: Connection;
  private readonly packetBytes: number;
  private binaryRead: boolean;
  private binaryWrite: boolean | null = null;
  /** Instruction bytes under the int3 that were written for a stub without Z0, by address. */
  private readonly planted = new Map<bigint, Uint8Array>();

  constructor(connection: Connection, packetBytes: number, binaryRead: boolean, allowWrite: boolean) {
    this.connection = connection;
    this.packetBytes = packetBytes;
    this.binaryRead = binaryRead;
    this.allowWrite = allowWrite;
  }

  /** Exactly `length` bytes, or RSP_REFUSED. */
  async read(address: bigint, length: number, options: RequestOptions = {}): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const part = await this.readPart((address + BigInt(done)) & MASK_64, length - done, options);
      if (part.length === 0) {
        throw new RspError('RSP_REFUSED', `the stub has no memory at 0x${(address + BigInt(done)).toString(16)}`, {
          facts: { address },
        });
      }
      bytes.set(part, done);
      done += part.length;
    }
    return bytes;
  }

  async write(address: bigint, bytes: Uint8Array, options: RequestOptions = {}): Promise<void> {
    this.refuseWithoutLeave(address);
    this.binaryWrite ??= await this.probeBinaryWrite(address);
    const most = Math.max(8, Math.floor((this.packetBytes - OVERHEAD) / 2));
    for (let done = 0; done < bytes.length; done += most) {
      const part = bytes.subarray(done, done + most);
      const at = (address + BigInt(done)) & MASK_64;
      const request = this.binaryWrite ? encodeWriteBinary(at, part) : encodeWriteMemory(at, part);
      expectOk(await this.connection.request(request, options), `write of ${part.length} bytes at 0x${at.toString(16)}`);
    }
  }

  /**
   * Folklore: gdbsx answers `Z0` with nothing and expects the debugger to write the breakpoint instruction itself, as gdb
   * does. Test: test/gdbstub/client.test.ts "a stub without Z0".
   */
  async plantInt3(address: bigint, architecture: string | null): Promise<void> {
    if (architecture === null || !architecture.startsWith('i386')) {
      throw new RspError(
        'RSP_UNSUPPORTED',
        `the stub has no breakpoints, and on ${architecture ?? 'an unknown machine'} none is written by hand`,
      );
    }
    const under = await this.read(address, 1);
    await this.write(address, Uint8Array.of(INT3));
    this.planted.set(address, under);
  }

  /** Puts the instruction back; false when none was written there. */
  async removeInt3(address: bigint): Promise<boolean> {
    const under = this.planted.get(address);
    if (under === undefined) return false;
    await this.write(address, under);
    this.planted.delete(address);
    return true;
  }

  private async readPart(address: bigint, length: number, options: RequestOptions): Promise<Uint8Array> {
    const most = Math.max(8, Math.floor((this.packetBytes - OVERHEAD) / 2));
    const count = Math.min(length, most);
    if (this.binaryRead) {
      const request = encodeReadBinary(address, count);
      try {
        return decodeBinary(await this.connection.request(request, options), request, count);
      } catch (error) {
        if (!isRspError(error, 'RSP_UNSUPPORTED')) throw error;
        this.binaryRead = false;
      }
    }
    const request = encodeReadMemory(address, count);
    return decodeMemory(await this.connection.request(request, options), request, count);
  }

  /** As gdb does: an `X` of no bytes is answered OK where `X` is known, and with nothing where it is not. */
  private async probeBinaryWrite(address: bigint): Promise<boolean> {
    const reply = await this.connection.request(encodeWriteBinary(address, new Uint8Array()));
    return reply.length > 0;
  }

  private refuseWithoutLeave(address: bigint): void {
    if (this.allowWrite) return;
    throw new RspError(
      'RSP_WRITE_REFUSED',
      `memory at 0x${address.toString(16)} is not written: this stub was opened for reading`,
      {
        facts: { address },
      },
    );
  }
}
