// Words of the guest, made harmless: its scripts choose names, messages and paths, and all of them end on somebody's terminal.

/** Controls, what reorders or hides text, and halves of letters. */
const HARMFUL = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** One line, at most `most` UTF-16 units: what a terminal would act upon or not show is written as `\x1b` or `\u{202e}`. */
export function safeText(text: string, most: number): string {
  const shown = text.slice(0, most * 2).replace(HARMFUL, escapeLetter);
  return shown.length <= most ? shown : `${shown.slice(0, most - 1).toWellFormed()}…`;
}

/** The same for text of several lines, at most `mostLines` of them. */
export function safeLines(text: string, most: number, mostLines: number): string {
  return text
    .slice(0, most)
    .split(/\r?\n/, mostLines)
    .map((line) => safeText(line, most))
    .join('\n');
}

function escapeLetter(letter: string): string {
  const code = letter.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}
