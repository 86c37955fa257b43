// What both ends can do: `qSupported`, then `QStartNoAckMode`. GDB manual, E.4 "General Query Packets".

/** A stub's features: `+` true, `-` false, `name=value` its text; `?` is left out. */
export type Features = ReadonlyMap<string, string | boolean>;

/** We take swbreak/hwbreak reasons and XML; not `multiprocess`, since one guest is one process. */
export const ASK_FEATURES = 'qSupported:swbreak+;hwbreak+;vContSupported+;xmlRegisters=i386;binary-upload+';

export const START_NO_ACK = 'QStartNoAckMode';

/** The manual's default where a stub does not say: 400 bytes are sure to fit. */
const DEFAULT_PACKET_SIZE = 400;
const LARGEST_PACKET_SIZE = 1 << 16;

export function decodeFeatures(text: string): Features {
  const features = new Map<string, string | boolean>();
  for (const item of text.split(';')) {
    const equals = item.indexOf('=');
    if (equals > 0) features.set(item.slice(0, equals), item.slice(equals + 1));
    else if (item.endsWith('+') || item.endsWith('-')) features.set(item.slice(0, -1), item.endsWith('+'));
  }
  return features;
}

/** Longest packet the stub takes, in bytes. */
export function packetSize(features: Features): number {
  const text = features.get('PacketSize');
  const size = typeof text === 'string' && /^[0-9a-f]{1,8}$/i.test(text) ? Number.parseInt(text, 16) : 0;
  return size < 64 ? DEFAULT_PACKET_SIZE : Math.min(size, LARGEST_PACKET_SIZE);
}
