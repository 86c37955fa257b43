// HTML from templates in which every value is escaped: what is markup is so by its type, never by how it looks.

import { escapeMarkup } from '../printable.ts';

/** A piece of HTML. Only `html` and `trusted` make one. */
export interface Markup {
  readonly markup: string;
}

/** What may stand in a template. */
export type Piece = string | number | Markup | null | readonly Markup[];

/** Markup with the values in it escaped, fit for elements and for quoted attributes; null = nothing. */
export function html(parts: TemplateStringsArray, ...values: readonly Piece[]): Markup {
  return { markup: parts.map((part, index) => (index === 0 ? part : `${textOf(values[index - 1] ?? null)}${part}`)).join('') };
}

/** Text of our own that is markup: a style sheet. Never what came from a guest. */
export function trusted(markup: string): Markup {
  return { markup };
}

function textOf(piece: Piece): string {
  if (piece === null) return '';
  if (typeof piece === 'string') return escapeMarkup(piece);
  if (typeof piece === 'number') return String(piece);
  return 'markup' in piece ? piece.markup : piece.map(({ markup }) => markup).join('');
}

/** A folded part of the page. */
export function folded(title: Piece, body: Piece, options: { readonly open?: boolean; readonly kind?: string } = {}): Markup {
  const open = options.open === true ? trusted(' open') : null;
  return html`<details class="${options.kind ?? 'part'}"${open}><summary>${title}</summary>${body}</details>
`;
}

/** A part of the page with a heading; null where there is nothing to say. */
export function section(id: string, title: string, body: Piece): Markup | null {
  if (body === null || (Array.isArray(body) && body.length === 0)) return null;
  return html`<section class="${id}"><h2>${title}</h2>
${body}</section>
`;
}

/** A table that scrolls by itself where the page is narrow; null without rows. */
export function table(heads: readonly string[], rows: readonly (readonly Piece[])[], kind = ''): Markup | null {
  if (rows.length === 0) return null;
  const head = heads.some((name) => name !== '')
    ? html`<thead><tr>${heads.map((name) => html`<th>${name}</th>`)}</tr></thead>`
    : null;
  return html`<div class="wide"><table class="${kind}">${head}<tbody>
${rows.map(
  (row) => html`<tr>${row.map((cell) => html`<td>${cell}</td>`)}</tr>
`,
)}</tbody></table></div>
`;
}
