import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { layoutScreen } from '../../tui/layout.ts';
import { PANELS } from '../../tui/panels.ts';
import { openState, press } from './draw.ts';
import { makeSnapshot } from './guest.ts';

describe('the layout', () => {
  const anyState = fc.record({
    columns: fc.integer({ min: 1, max: 300 }),
    rows: fc.integer({ min: 1, max: 100 }),
    focus: fc.constantFrom(...PANELS.map(({ name }) => name)),
    expanded: fc.boolean(),
  });

  it('fills the body: no cell is in two panels, none but dividers in no panel, the focused panel is always there', () => {
    fc.assert(
      fc.property(anyState, ({ columns, rows, focus, expanded }) => {
        const state = {
          ...press(openState(columns, rows), makeSnapshot(), PANELS.find(({ name }) => name === focus)!.digit).state,
          expanded,
        };
        const layout = layoutScreen(state);
        if (layout === null) {
          expect(columns < 60 || rows < 15).toBe(true);
          return;
        }
        const cells = layout.panels.reduce((sum, { rect }) => sum + rect.width * rect.height, 0);
        const divider = layout.panels.filter(({ rect }) => rect.left > 0).reduce((sum, { rect }) => sum + rect.height, 0);
        expect(cells + divider).toBe(layout.body.width * layout.body.height);
        expect(layout.panels.some(({ panel }) => panel === focus)).toBe(true);
        for (const { rect } of layout.panels) expect(Math.min(rect.width, rect.height)).toBeGreaterThan(2);
      }),
    );
  });
});
