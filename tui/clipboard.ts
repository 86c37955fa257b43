// Copying through the terminal: OSC 52 (xterm's "Manipulate Selection Data"), also through tmux's passthrough, which wraps a
// sequence in a DCS and doubles its escapes. The text travels as base64, so it cannot end the sequence.

/** Terminals drop longer sequences (xterm's own limit is about 100 000 bytes of base64). */
const MOST_BYTES = 74_000;

/** The bytes to write; text beyond 74 000 bytes is left out. Control characters but line ends and tabs are taken out: what is pasted must not act. */
export function encodeClipboard(text: string, { tmux }: { readonly tmux: boolean }): string {
  const safe = text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '');
  const base64 = Buffer.from(safe).subarray(0, MOST_BYTES).toString('base64');
  const osc = `\x1b]52;c;${base64}\x07`;
  // Both under tmux: it takes the plain one with `set-clipboard on`, the wrapped one with `allow-passthrough on`.
  return tmux ? `${osc}\x1bPtmux;${osc.replaceAll('\x1b', '\x1b\x1b')}\x1b\\` : osc;
}
