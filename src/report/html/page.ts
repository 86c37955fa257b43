// The whole page: one file that needs no network, and runs nothing but its own few lines.

import { createHash } from 'node:crypto';
import { html, type Markup, trusted } from './markup.ts';
import { SCRIPT, STYLE } from './style.ts';

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
const POLICY = `default-src 'none'; style-src ${hashOf(STYLE)}; script-src ${hashOf(SCRIPT)}; base-uri 'none'; form-action 'none'`;

// The bundler of the published package gives a tagged template with this closing tag in it to a package that users do not have.
const SCRIPT_ELEMENT = trusted(`<script>${SCRIPT}` + '</script>');

/** A document. */
export function page(title: string, head: Markup, body: readonly (Markup | null)[], foot: Markup): string {
  const { markup } = html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${trusted(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<style>${trusted(STYLE)}</style>
</head>
<body>
<header>
${head}
<div class="tools" hidden><button id="open">Unfold all</button><button id="fold">Fold all</button><input id="find" type="search" placeholder="find in the console"></div>
</header>
<main>
${body.filter((part) => part !== null)}
</main>
<footer>${foot}</footer>
${SCRIPT_ELEMENT}
</body>
</html>
`;
  return markup;
}
