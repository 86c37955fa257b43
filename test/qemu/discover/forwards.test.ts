// Ports that QEMU's user network forwards are read from its command line.

import { describe, expect, it } from 'vitest';
import { readForwards } from '../../../src/qemu/discover/forwards.ts';

function forwardsOf(...args: readonly string[]): readonly string[] {
  return readForwards({ argv: ['qemu-system-x86_64', ...args], cwd: '/vm' }).map(({ endpoint, guestPort }) => {
    const where = endpoint.kind === 'unix' ? endpoint.path : `${endpoint.host}:${endpoint.port}`;
    return `${where} → ${guestPort}`;
  });
}

describe('forwarded ports', () => {
  it('are those of -netdev, -nic and -net, in order', () => {
    expect(
      forwardsOf(
        '-netdev',
        'user,id=n0,hostfwd=tcp::8080-:80,hostfwd=tcp:127.0.0.1:9229-10.0.2.15:9229',
        '-nic',
        'user,hostfwd=::7000-:7',
      ),
    ).toEqual(['127.0.0.1:8080 → 80', '127.0.0.1:9229 → 9229', '127.0.0.1:7000 → 7']);
    expect(forwardsOf('-net', 'nic', '-net', 'user,hostfwd=tcp:0.0.0.0:1-:2')).toEqual(['127.0.0.1:1 → 2']);
  });

  it('may be addresses with colons, or sockets', () => {
    expect(
      forwardsOf('-nic', 'user,hostfwd=tcp:[::1]:5-[fec0::15]:6,hostfwd=unix:/run/n-1.sock-:9229,hostfwd=unix:n.sock-:1'),
    ).toEqual(['::1:5 → 6', '/run/n-1.sock → 9229', '/vm/n.sock → 1']);
  });

  it('are not those of UDP, of other networks, or nonsense', () => {
    expect(
      forwardsOf('-netdev', 'user,id=a,hostfwd=udp::1-:2,hostfwd=tcp:x,hostfwd=', '-netdev', 'tap,id=b,hostfwd=tcp::1-:2'),
    ).toEqual([]);
  });

  it('are bounded', () => {
    const rules = Array.from({ length: 500 }, (_, index) => `hostfwd=tcp::${index + 1}-:1`);
    expect(forwardsOf('-nic', `user,${rules.join(',')}`)).toHaveLength(64);
  });
});
