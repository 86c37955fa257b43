// What a dump is called unless told: the VM's name and when it was made.

/** `web-1-20260102T030405Z` for `web/1`; nothing in it leads out of a folder. */
export function dumpName(vm: string, at: number): string {
  const safe = vm.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[-.]+/, '');
  const time = new Date(at).toISOString().replace(/[-:]|\.\d+/g, '');
  return `${safe === '' ? 'vm' : safe.slice(0, 100)}-${time}`;
}
