// What a guest wrote (its console, its symbols' names, its metrics) made fit for documents: nothing that a terminal, an XML parser or a
// reader's eye takes for something else than text.

/** Control, format (bidirectional overrides, zero widths) and unassigned characters, lone surrogates; not the end of line, not the tab. */
const UNPRINTABLE = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Cn}\u2028\u2029]/gu;

/** The text with U+FFFD for each character that is none to be seen. All that is left is legal in XML 1.0. */
export function toPrintable(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(UNPRINTABLE, '\ufffd');
}

/** The same on one line, at most `most` UTF-16 units of it. */
export function toPrintableLine(text: string, most = 1000): string {
  const line = toPrintable(cut(text, most)).replaceAll(/[\n\t]/g, ' ');
  return text.length > most ? `${line}…` : line;
}

function cut(text: string, most: number): string {
  return text.length > most ? text.slice(0, most) : text;
}

const MARKUP: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Printable text for HTML's and XML's elements and quoted attributes. */
export function escapeMarkup(text: string): string {
  return toPrintable(text).replaceAll(/[&<>"']/g, (character) => MARKUP[character]!);
}
