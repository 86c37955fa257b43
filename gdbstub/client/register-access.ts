// Registers by gdb's names, whatever the stub tells about its layout.

import { isRspError, RspError } from '../error.ts';
import { quote } from '../framing/bytes.ts';
import type { Features } from '../packets/features.ts';
import type { RegisterBytes } from '../packets/registers.ts';
import { decodeRegisters, encodeReadRegister, encodeWriteRegister, READ_REGISTERS } from '../packets/registers.ts';
import { expectOk } from '../packets/reply.ts';
import { decodeTransfer, encodeReadTransfer } from '../packets/transfer.ts';
import type { RegisterInfo, TargetDescription } from '../target-description/description.ts';
import { readTargetDescription } from '../target-description/description.ts';
import { findFallback, guessArchitecture } from '../target-description/fallback.ts';
import { decodeRegisterFile, decodeValue, encodeValue } from '../target-description/register-file.ts';
import type { Connection } from './connection.ts';

const TRANSFER_BYTES = 0xffb;
const MAX_DOCUMENT = 1 << 20;
const PROGRAM_COUNTERS = ['rip', 'eip', 'pc'];
const BIG_ENDIAN = /^(?:powerpc|s390|sparc|m68k|armeb|aarch64_be|mips$)/;

/** The register half of a StubClient. The layout is read once, when first wanted. */
export class RegisterAccess {
  private readonly connection: Connection;
  private readonly features: Features;
  private readonly allowWrite: boolean;
  private readonly architecture: string | null;
  private layout: Promise<TargetDescription | null> | null = null;

  constructor(connection: Connection, features: Features, options: { allowWrite: boolean; architecture: string | null }) {
    this.connection = connection;
    this.features = features;
    this.allowWrite = options.allowWrite;
    this.architecture = options.architecture;
  }

  /** The stub's own description, else gdb's default layout of the architecture given; null while neither is known. */
  async description(): Promise<TargetDescription | null> {
    this.layout ??= this.readDescription();
    return this.layout;
  }

  async readAll(): Promise<Record<string, bigint>> {
    const file = await this.readFile();
    const description = await this.layoutFor(file);
    return decodeRegisterFile(description, file, isLittleEndian(description));
  }

  async read(name: string): Promise<bigint> {
    const known = await this.description();
    const register = known?.registers.find((candidate) => candidate.name === name);
    if (known !== null && register !== undefined) {
      try {
        const value = await this.readOne(register, isLittleEndian(known));
        if (value !== null) return value;
      } catch (error) {
        // gdbsx and Solo5 know no `p`.
        if (!isRspError(error, 'RSP_UNSUPPORTED')) throw error;
      }
    }
    const value = (await this.readAll())[name];
    if (value === undefined)
      throw new RspError('RSP_UNSUPPORTED', `the stub gives no register ${quote(name)}`, { facts: { register: name } });
    return value;
  }

  /** The program counter of the selected thread; null when no register is known to be one. */
  async readPc(): Promise<bigint | null> {
    const values = await this.readAll();
    return PROGRAM_COUNTERS.map((name) => values[name]).find((value) => value !== undefined) ?? null;
  }

  async write(name: string, value: bigint): Promise<void> {
    if (!this.allowWrite)
      throw new RspError('RSP_WRITE_REFUSED', `register ${quote(name)} is not written: this stub was opened for reading`);
    const description = (await this.description()) ?? (await this.layoutFor(await this.readFile()));
    const register = description.registers.find((candidate) => candidate.name === name);
    if (register === undefined)
      throw new RspError('RSP_UNSUPPORTED', `the stub has no register ${quote(name)}`, { facts: { register: name } });
    const request = encodeWriteRegister(register.number, encodeValue(value, register, isLittleEndian(description)));
    expectOk(await this.connection.request(request), request);
  }

  private async readFile(): Promise<RegisterBytes> {
    return decodeRegisters(await this.connection.request(READ_REGISTERS), READ_REGISTERS);
  }

  private async readOne(register: RegisterInfo, littleEndian: boolean): Promise<bigint | null> {
    const request = encodeReadRegister(register.number);
    const file = decodeRegisters(await this.connection.request(request), request);
    return file.known.includes(0) ? null : decodeValue(file.bytes, littleEndian);
  }

  private async layoutFor(file: RegisterBytes): Promise<TargetDescription> {
    const known = await this.description();
    if (known !== null) return known;
    const architecture = guessArchitecture(file.bytes.length);
    const guessed = architecture === null ? null : findFallback(architecture);
    if (guessed === null) {
      throw new RspError(
        'RSP_UNSUPPORTED',
        `the stub sends ${file.bytes.length} bytes of registers and does not say what they are`,
      );
    }
    this.layout = Promise.resolve(guessed);
    return guessed;
  }

  private async readDescription(): Promise<TargetDescription | null> {
    const fallback = this.architecture === null ? null : findFallback(this.architecture);
    if (this.features.get('qXfer:features:read') !== true) return fallback;
    try {
      const description = await readTargetDescription(async (annex) => this.readDocument(annex));
      return description.registers.length > 0 ? description : (fallback ?? findFallback(description.architecture ?? ''));
    } catch (error) {
      // A description that cannot be had or read is as good as none, while the connection lives.
      if (isRspError(error) && ['RSP_UNSUPPORTED', 'RSP_REFUSED', 'RSP_MALFORMED'].includes(error.code)) return fallback;
      throw error;
    }
  }

  private async readDocument(annex: string): Promise<string> {
    const parts: Uint8Array[] = [];
    for (let length = 0; length < MAX_DOCUMENT; ) {
      const request = encodeReadTransfer('features', annex, length, TRANSFER_BYTES);
      const { data, last } = decodeTransfer(await this.connection.request(request), request);
      parts.push(data);
      length += data.length;
      if (last || data.length === 0) return new TextDecoder().decode(Buffer.concat(parts));
    }
    throw new RspError('RSP_MALFORMED', `the stub's ${quote(annex)} is longer than ${MAX_DOCUMENT} bytes`);
  }
}

function isLittleEndian(description: TargetDescription): boolean {
  return !BIG_ENDIAN.test(description.architecture ?? '');
}
