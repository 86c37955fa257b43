import { describe, expect, it } from 'vitest';
import { groupCrashes, type SeenCrash } from '../../src/report/groups.ts';

function seen(signature: string, alternatives: readonly string[], source: string, at: number | null = null): SeenCrash {
  return { crash: { kind: 'fault', title: `crash ${signature}`, signature, alternatives }, seen: { source, at } };
}

const summary = (crashes: readonly SeenCrash[]): readonly string[] =>
  groupCrashes(crashes).map(({ signature, count, sources }) => `${signature} ${count} ${sources.join(',')}`);

describe('groups of crashes', () => {
  it('are by signature, the most frequent first, each run named once', () => {
    expect(summary([seen('a', [], '1'), seen('b', [], '2'), seen('b', [], '3'), seen('b', [], '3')])).toEqual([
      'b 3 2,3',
      'a 1 1',
    ]);
  });

  it('take in the text that knows less of the same bug, whichever was seen first', () => {
    expect(summary([seen('weak', [], '1'), seen('strong', ['weak'], '2')])).toEqual(['strong 2 1,2']);
    expect(summary([seen('strong', ['weak'], '2'), seen('weak', [], '1')])).toEqual(['strong 2 2,1']);
  });

  it('follow a chain of less and less to the one that knows most', () => {
    expect(summary([seen('least', [], '1'), seen('less', ['least'], '2'), seen('most', ['less', 'least'], '3')])).toEqual([
      'most 3 1,2,3',
    ]);
  });

  it('do not guess where two bugs could have said so little, nor make one of these two', () => {
    expect(summary([seen('weak', [], '1'), seen('p', ['weak'], '2'), seen('q', ['weak'], '3')]).toSorted()).toEqual([
      'p 1 2',
      'q 1 3',
      'weak 1 1',
    ]);
  });

  it('say when they were first and last seen; what has no time is last', () => {
    const [group] = groupCrashes([seen('a', [], 'late', 300), seen('a', [], 'early', 100), seen('a', [], 'unknown')]);
    expect(group?.first).toEqual({ source: 'early', at: 100 });
    expect(group?.last).toEqual({ source: 'unknown', at: null });
  });

  it('of nothing are none', () => {
    expect(groupCrashes([])).toEqual([]);
  });
});
