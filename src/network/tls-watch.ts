// A TLS handshake as a bystander sees it: who offers what, and who ends it and why. What TLS 1.3 encrypts is told as such.

import type { FlowRemark } from '../model/flow.ts';
import { ByteStream } from './byte-stream.ts';
import type { TcpSegment } from './decode-tcp.ts';
import { FIN, RST } from './decode-tcp.ts';
import { ALERT, APPLICATION_DATA, alertText, HANDSHAKE, mayBeTls, TlsReader, type TlsWord, versionText } from './decode-tls.ts';

/** What is new: remarks without their time. */
export type Words = readonly Omit<FlowRemark, 'at'>[];

/** An alert of two bytes with TLS 1.3's inner type and 16 bytes of tag (RFC 8446 §5.2); Java pads it to 35. */
const SEALED_ALERT_BYTES = 19;
/** What a client can seal first when nothing is wrong: a Finished, or a Certificate that is empty. */
const SEALED_FINISHED_BYTES = 53;
const SEALED_NO_CERTIFICATE_BYTES = 25;
const TLS_1_3 = 0x0304;
const REASONS = 'unknown CA (no CA bundle?), expired (its clock?), or another name';
const LATE_REFUSAL = `clients that verify late (Node.js) refuse a certificate like this: ${REASONS}`;

type Side = 'guest' | 'remote';

interface Half {
  readonly stream: ByteStream;
  readonly reader: TlsReader;
  sealed: number;
}

/** Follows one TCP connection's handshake; inert from its end on, and where it is not TLS. */
export class TlsWatch {
  private readonly halves: Record<Side, Half> = { guest: openHalf(), remote: openHalf() };
  private client: Side | null = null;
  private serverName: string | null = null;
  private offered: Extract<TlsWord, { kind: 'client-hello' }> | null = null;
  private version: number | null = null;
  /** The handshake succeeded, and the client has not used the connection yet. */
  private unused = false;
  private over = false;

  /** Takes a segment of the connection. */
  push(segment: TcpSegment, from: Side): Words {
    if (this.over) return [];
    if (this.client === null && segment.length > 0) {
      if (mayBeTls(segment.payload)) this.client = from;
      else this.over = true;
    }
    const words: Omit<FlowRemark, 'at'>[] = [];
    const half = this.halves[from];
    for (const bytes of half.stream.push(segment)) {
      for (const word of half.reader.push(bytes)) words.push(...this.hear(word, from, half));
    }
    if (half.stream.lost) this.over = true;
    // RST ends a handshake, and so does FIN; a client that fails closes without a word.
    if ((segment.flags & (FIN | RST)) !== 0) words.push(...this.hangUp(from));
    return words;
  }

  private hear(word: TlsWord, from: Side, half: Half): Words {
    if (this.over) return [];
    if (word.kind === 'not-tls') return this.end([]);
    if (word.kind === 'client-hello') {
      this.client = from;
      this.offered = word;
      this.serverName = word.serverName;
    }
    if (word.kind === 'server-hello') this.version = word.version;
    if (word.kind === 'alert') return this.hearAlert(word, from);
    if (word.kind !== 'protected') return [];
    return this.unused ? this.hearUse(word, from) : this.hearProtected(word, from, half);
  }

  private hearAlert({ fatal, description }: Extract<TlsWord, { kind: 'alert' }>, from: Side): Words {
    if (!fatal && description !== 0) return [];
    return this.end(this.failed(`ended by ${by(from)}: ${alertText(description)}`));
  }

  // The client's last word of a handshake is its Finished, also in TLS 1.2's abbreviated form, where the server's comes first.
  private hearProtected({ type, length }: Extract<TlsWord, { kind: 'protected' }>, from: Side, half: Half): Words {
    half.sealed += 1;
    if (this.version !== TLS_1_3) {
      if (type === ALERT) return this.end(this.failed(`ended by ${by(from)} with an alert that is encrypted`));
      const both = this.halves.guest.sealed > 0 && this.halves.remote.sealed > 0;
      return both && (type === HANDSHAKE || type === APPLICATION_DATA) ? this.succeed(type) : [];
    }
    if (from !== this.client) return [];
    const isTooShort = length < SEALED_FINISHED_BYTES && length !== SEALED_NO_CERTIFICATE_BYTES;
    if (half.sealed === 1 && type === APPLICATION_DATA && isTooShort) {
      return this.end(
        this.failed(`ended by ${by(from)} with what looks like an encrypted alert; most often its reason is: ${REASONS}`),
      );
    }
    return this.succeed(HANDSHAKE);
  }

  // Folklore: Node.js looks at the server's certificate only when the handshake is done (its OpenSSL is told to accept any), and
  // closes without an alert when it does not like it: in TLS 1.3 before its Finished is even sent. Seen with Node 24; test: test/network/tls-watch.test.ts.
  private hearUse({ type, length }: Extract<TlsWord, { kind: 'protected' }>, from: Side): Words {
    if (from !== this.client) return [];
    const isAlert = type === ALERT || (this.version === TLS_1_3 && length === SEALED_ALERT_BYTES);
    return this.end(isAlert ? this.leftUnused() : []);
  }

  private leftUnused(): Words {
    // Health checks come and go like this: only what the guest wanted is a failure of its own.
    if (this.client !== 'guest') return [];
    const text = `connection${this.withWhom()} closed by the guest right after the handshake, before it asked anything: ${LATE_REFUSAL}`;
    return [{ protocol: 'tls', failure: true, text }];
  }

  private hangUp(from: Side): Words {
    if (this.client === null || this.over) return [];
    if (this.unused) return from === this.client ? this.end(this.leftUnused()) : this.end([]);
    const when =
      this.version === null ? 'before the server answered' : from === this.client ? "after the server's certificate" : 'half-way';
    const hint = this.version !== null && from === 'guest' && from === this.client ? `: ${LATE_REFUSAL}` : '';
    return this.end(this.failed(`ended by ${by(from)}, which closed the connection ${when} without an alert${hint}`));
  }

  private failed(how: string): Words {
    return [{ protocol: 'tls', failure: true, text: `handshake${this.withWhom()} ${how}` }];
  }

  private succeed(type: number): Words {
    if (type === APPLICATION_DATA) this.over = true;
    this.unused = true;
    const protocols = this.offered?.protocols ?? [];
    const offer = protocols.length === 0 ? '' : `, offered ${protocols.join(', ')}`;
    const version = this.version === null ? 'TLS' : versionText(this.version);
    return [{ protocol: 'tls', failure: false, text: `${version} handshake${this.withWhom()} done${offer}` }];
  }

  private withWhom(): string {
    return this.serverName === null ? '' : ` with ${this.serverName}`;
  }

  private end(words: Words): Words {
    this.over = true;
    return words;
  }
}

function openHalf(): Half {
  return { stream: new ByteStream(), reader: new TlsReader(), sealed: 0 };
}

function by(side: Side): string {
  return side === 'guest' ? 'the guest' : 'the remote end';
}
