// One image: unidbg's answers beside those of the peers and beside the debug info itself, every difference put into a class.

import { openImage } from '../../src/symbolize/image.ts';
import { evenAddresses } from './addresses.ts';
import { type Answer, firstDifference, formatAnswer, ownAnswer } from './answers.ts';
import { Claims } from './claims.ts';
import { DumpedAranges } from './dumped-aranges.ts';
import { DumpedSymbols } from './dumped-symbols.ts';
import { isClaimed, saysLess } from './judge.ts';
import { answersOf, PEERS, type Peer } from './peers.ts';
import { explain } from './rules.ts';

/** A kind of difference with how often it was met and one instance of it. */
export interface Found {
  count: number;
  readonly example: string;
}

/** What a peer says beside us. `classes` is by rule; `unexplained` holds differences without one, written out. */
export interface PeerResult {
  readonly peer: Peer['name'];
  equal: number;
  readonly classes: Map<string, Found>;
  readonly unexplained: string[];
}

export interface ImageResult {
  readonly name: string;
  readonly addresses: number;
  /** Addresses where llvm-symbolizer or eu-addr2line gives our answer, function, file, line, column and calls. */
  equalToOne: number;
  /** Addresses where neither llvm-symbolizer nor eu-addr2line gives our answer, and a difference from them has no rule. */
  unexplained: number;
  /** Addresses where the debug info itself, dumped by other tools, says what we say. */
  claimed: number;
  readonly unclaimed: string[];
  readonly peers: readonly PeerResult[];
  readonly diagnostics: readonly string[];
}

export interface ImageToCompare {
  readonly name: string;
  readonly path: string;
  /** Names its bytes in the cache. */
  readonly identity: string;
  /** An image with the same code at the same addresses whose debug info the dumping tools can read; itself by default. */
  readonly twin?: string;
  /** Peers that cannot read it, and are asked about the twin. */
  readonly unread?: readonly Peer['name'][];
}

export async function compareImage(
  image: ImageToCompare,
  count: number,
  cache: string,
  peers: readonly Peer[] = PEERS,
): Promise<ImageResult> {
  const { addresses, answers, diagnostics } = ownAnswers(image.path, count);
  const evidence = image.twin ?? image.path;
  const claims = await Claims.read(evidence, addresses);
  const symbols = await DumpedSymbols.read(evidence);
  const aranges = await DumpedAranges.read(evidence);
  const results = peers.map(({ name }): PeerResult => ({ peer: name, equal: 0, classes: new Map(), unexplained: [] }));
  const result: ImageResult = {
    ...{ name: image.name, addresses: addresses.length, equalToOne: 0, unexplained: 0, claimed: 0 },
    ...{ unclaimed: [], peers: results, diagnostics },
  };
  const theirs = await inTurn(peers, (peer) => {
    const isTwin = image.unread?.includes(peer.name) === true;
    const [path, identity] = isTwin ? [evidence, `twin of ${image.identity}`] : [image.path, image.identity];
    return answersOf(peer, { path, identity, addresses }, cache);
  });
  addresses.forEach((address, index) => {
    const ours = answers[index]!;
    const said = claims.at(address);
    if (isClaimed(ours, said, symbols, address) || saysLess(ours, said)) result.claimed += 1;
    else
      result.unclaimed.push(
        describe(
          address,
          ours,
          said.map(({ frames }) => frames.map((frame) => ({ ...frame, function: frame.names.linkage ?? frame.names.plain }))),
        ),
      );
    let [isEqual, isUnexplained] = [false, false];
    results.forEach((peer, at) => {
      const answer = theirs[at]![index]!;
      const isThird = peer.peer === 'addr2line';
      if (firstDifference(ours, answer) === null) {
        peer.equal += 1;
        isEqual ||= !isThird;
        return;
      }
      const rules = explain({ address, ours, theirs: answer, peer: peer.peer, claims: said, symbols, aranges });
      const text = describe(address, ours, [answer]);
      if (rules === null) {
        peer.unexplained.push(text);
        isUnexplained ||= !isThird;
      } else {
        const kind = rules.map(({ name }) => name).join(' + ');
        const found = peer.classes.get(kind);
        if (found === undefined) peer.classes.set(kind, { count: 1, example: text });
        else found.count += 1;
      }
    });
    if (isEqual) result.equalToOne += 1;
    if (isUnexplained && !isEqual) result.unexplained += 1;
  });
  return result;
}

function ownAnswers(path: string, count: number): { addresses: bigint[]; answers: Answer[]; diagnostics: string[] } {
  const image = openImage(path);
  try {
    const addresses = evenAddresses(image.elf, count);
    const answers = addresses.map((address) => ownAnswer(image, address));
    return { addresses, answers, diagnostics: image.diagnostics.map(({ message }) => message) };
  } finally {
    image.close();
  }
}

/** One after the other: each peer may take all the memory and a core for itself. */
async function inTurn<T, U>(items: readonly T[], body: (item: T) => Promise<U>): Promise<U[]> {
  const results: U[] = [];
  for (const item of items) results.push(await body(item));
  return results;
}

function describe(address: bigint, ours: Answer, theirs: readonly Answer[]): string {
  return [
    `0x${address.toString(16)}`,
    `unidbg: ${formatAnswer(ours)}`,
    ...theirs.map((answer) => `  them: ${formatAnswer(answer)}`),
  ].join('\n  ');
}
