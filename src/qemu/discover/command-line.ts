// A QEMU command line → its options (system/vl.c, qemu-options.hx): `-name value` or `--name value`, some without a value,
// words without a dash are disk images.

/** One option as written; `value` is null for those that take none. A bare word is `{ name: 'disk', value }`. */
export interface QemuOption {
  readonly name: string;
  readonly value: string | null;
}

/** Options without an argument (qemu-options.hx, those not marked HAS_ARG, of QEMU 4 to 10). All others take one. */
const WITHOUT_VALUE = new Set(
  (
    'h help version S s nographic no-reboot no-shutdown daemonize enable-kvm snapshot nodefaults no-user-config nodefconfig ' +
    'no-acpi no-hpet no-fd-bootchk win2k-hack singlestep one-insn-per-tb portrait full-screen no-frame no-quit alt-grab ctrl-grab ' +
    'usb only-migratable mem-prealloc semihosting old-param no-kvm xen-attach xen-create xen-domid-restrict preconfig curses sdl ' +
    'enable-fips enable-sync-profile no-kvm-irqchip no-kvm-pit kvm-no-irqchip run-with-default'
  ).split(' '),
);

/** The options of a command line without its program name. Cannot fail. */
export function parseCommandLine(argv: readonly string[]): QemuOption[] {
  const options: QemuOption[] = [];
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at]!;
    if (!word.startsWith('-') || word === '-') {
      options.push({ name: 'disk', value: word });
      continue;
    }
    const name = word.replace(/^--?/, '');
    if (WITHOUT_VALUE.has(name)) {
      options.push({ name, value: null });
      continue;
    }
    at += 1;
    options.push({ name, value: argv[at] ?? '' });
  }
  return options;
}

/** Values of every option called one of `names`, in order. */
export function findValues(options: readonly QemuOption[], ...names: readonly string[]): string[] {
  return options.filter(({ name }) => names.includes(name)).map(({ value }) => value ?? '');
}

/** The last value of an option called one of `names`, or null. */
export function findLastValue(options: readonly QemuOption[], ...names: readonly string[]): string | null {
  return findValues(options, ...names).at(-1) ?? null;
}

/** True when the option is there. */
export function hasOption(options: readonly QemuOption[], ...names: readonly string[]): boolean {
  return options.some(({ name }) => names.includes(name));
}

/**
 * Where the QEMU program stands in a process's argument list, or −1. It is the first word, but for a program started
 * through its dynamic loader (`ld-linux-x86-64.so.2 --library-path … qemu-system-x86_64 …`, as wrappers outside a chroot do).
 */
export function findProgram(argv: readonly string[]): number {
  const first = argv[0] ?? '';
  if (isQemu(first)) return 0;
  return /(^|\/)ld-[^/]*\.so[^/]*$/.test(first)
    ? argv.slice(0, 16).findIndex((word, index) => index > 0 && word.includes('/') && isQemu(word))
    : -1;
}

function isQemu(path: string): boolean {
  return /(^|\/)(qemu-system-[a-z0-9_]+|qemu-kvm|kvm)$/.test(path);
}
