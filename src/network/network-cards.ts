// A VM's network backends, the cards on them and the filters between, from HMP `info network` (net/net.c, qmp `query-netdev`
// does not exist): the text is the same since QEMU 2.x.

import type { Monitor } from '../qemu/monitor.ts';

/** A network backend with at least one card of the guest on it. */
export interface NetworkCard {
  /** The backend's id: `n0`, or `#net081` where nobody gave one. What a filter attaches to. */
  readonly netdev: string;
  /** `user`, `tap`, `socket`, `stream`, `vhost-user`, … */
  readonly type: string;
  /** The guest's cards on it: more than one on a hub. */
  readonly cards: readonly { readonly name: string; readonly model: string; readonly mac: string }[];
}

/** What the VM has. */
export interface NetworkSetup {
  readonly cards: readonly NetworkCard[];
  /** Ids of filters that are attached now. */
  readonly filters: readonly string[];
}

/** Nobody has more; the text is QEMU's, but QEMU may be a guest's prey. */
const MAX_LINES = 4096;

/** Asks a monitor of either kind. */
export async function readNetworkSetup(monitor: Pick<Monitor, 'hmp'>): Promise<NetworkSetup> {
  return parseNetworkSetup(await monitor.hmp('info network'));
}

interface Client {
  readonly name: string;
  readonly options: ReadonlyMap<string, string>;
}

/** Parses the text: a line that begins at the margin is a card or a hub, ` \ ` begins its backend or a hub's port. */
export function parseNetworkSetup(text: string): NetworkSetup {
  const groups: Client[][] = [];
  const filters: string[] = [];
  for (const line of text.split(/\r?\n/, MAX_LINES)) {
    const filter = /^\s+- ([^:\s]+): type=/.exec(line)?.[1];
    if (filter !== undefined) filters.push(filter);
    if (/^hub \d+$/.test(line)) groups.push([]);
    const client = /^( \\ )?(?:hub\d+port\d+: )?([^:\s]+): (index=.*)$/.exec(line);
    if (client === null) continue;
    if (client[1] === undefined) groups.push([]);
    groups.at(-1)?.push({ name: client[2]!, options: parseOptions(client[3]!) });
  }
  return { cards: cardsOf(groups), filters };
}

function cardsOf(groups: readonly (readonly Client[])[]): NetworkCard[] {
  const found = new Map<string, NetworkCard>();
  for (const group of groups) {
    const cards = group.filter(({ options }) => options.get('type') === 'nic').map(cardOf);
    // A card of many queues is listed once for each of them, with its names only at the first.
    for (const { name, options } of cards.length === 0 ? [] : group) {
      const type = options.get('type') ?? '';
      if (type !== 'nic' && !found.has(name)) found.set(name, { netdev: name, type, cards });
    }
  }
  return [...found.values()];
}

function cardOf({ name, options }: Client): NetworkCard['cards'][number] {
  return { name, model: options.get('model') ?? '', mac: options.get('macaddr') ?? '' };
}

function parseOptions(text: string): ReadonlyMap<string, string> {
  const pairs = text.split(',').map((pair) => {
    const equals = pair.indexOf('=');
    return [pair.slice(0, Math.max(equals, 0)), pair.slice(equals + 1)] as const;
  });
  return new Map(pairs);
}
