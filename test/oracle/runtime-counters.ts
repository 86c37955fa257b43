// What the probes of JVM, GHC and Lua read of a running process, beside what the program says of itself at the same moment (it waits for
// our next line meanwhile). By hand: `node test/oracle/runtime-counters.ts [java] [ghc] [lua]`; needs javac, ghc, gcc with the
// liblua*-dev and libluajit packages, whichever are there. Prints a markdown table; ends with 1 where a number differs.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ghc } from '../../probes/agentless/ghc.ts';
import { jvm } from '../../probes/agentless/jvm.ts';
import { lua } from '../../probes/agentless/lua.ts';
import type { Probe, ProbeGuest } from '../../src/model/probe.ts';
import { type HostedImages, startHosted } from '../support/hosted-process.ts';

const JAVA = `
import java.lang.management.*;
import java.util.*;
public class Main {
  static volatile Object keep;
  public static void main(String[] a) throws Exception {
    Scanner in = new Scanner(System.in);
    List<byte[]> kept = new ArrayList<>();
    System.out.println("ready");
    while (in.hasNextLine()) {
      String line = in.nextLine();
      for (int i = 0; i < 4000; i++) { keep = new byte[10000]; if (i % 40 == 0) kept.add(new byte[20000]); }
      if (kept.size() > 500) kept.clear();
      if (line.equals("full")) System.gc();
      StringBuilder out = new StringBuilder();
      for (GarbageCollectorMXBean gc : ManagementFactory.getGarbageCollectorMXBeans())
        out.append(gc.getName().replace(' ', '_')).append('=').append(gc.getCollectionCount()).append('/').append(gc.getCollectionTime()).append(' ');
      ClassLoadingMXBean classes = ManagementFactory.getClassLoadingMXBean();
      ThreadMXBean threads = ManagementFactory.getThreadMXBean();
      out.append("classes=").append(classes.getLoadedClassCount());
      out.append(" threads=").append(threads.getThreadCount()).append(" daemons=").append(threads.getDaemonThreadCount());
      MemoryUsage heap = ManagementFactory.getMemoryMXBean().getHeapMemoryUsage();
      out.append(" used=").append(heap.getUsed()).append(" committed=").append(heap.getCommitted()).append(" max=").append(heap.getMax());
      Thread.sleep(300);
      System.out.println(out);
    }
  }
}`;

const HASKELL = `
import qualified Data.Map.Strict as M
import GHC.Stats
import System.Mem
import System.IO
import Control.Monad
main :: IO ()
main = do
  hSetBuffering stdout LineBuffering
  putStrLn "ready"
  let loop m n = do
        eof <- isEOF
        unless eof $ do
          l <- getLine
          let m' = foldr (\\k -> M.insert (k \`mod\` 5000) (k * n)) m [1 .. 40000]
          m' \`seq\` when (l == "full") performMajorGC
          s <- getRTSStats
          let d = gc s
          putStrLn (unwords (zipWith (\\k v -> k ++ "=" ++ v) ["minor","major","allocated","copied","live","peak","time","last"]
            [ show (gcs s - major_gcs s), show (major_gcs s), show (allocated_bytes s), show (copied_bytes s)
            , show (gcdetails_live_bytes d), show (max_mem_in_use_bytes s), show (gc_elapsed_ns s), show (gcdetails_elapsed_ns d)]))
          loop m' (n + 1)
  loop M.empty (1 :: Int)
`;

/** Nothing is allocated between its count and ours: LuaJIT's compiler is off, lines are read by C. */
const LUA_HOST = `
#include <lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
static const char program[] =
  "if jit then jit.off() end print('ready') io.stdout:flush() local keep = {} "
  "for line in lines do for i = 1, 20000 do keep[i % 3000] = { i, tostring(i) } end "
  "if line == 'full\\\\n' then collectgarbage() end "
  "io.write('used=', collectgarbage('count') * 1024, '\\\\n') io.stdout:flush() end";
static int lines(lua_State *state) {
  char line[16];
  lua_pushstring(state, fgets(line, sizeof line, stdin));
  return 1;
}
lua_State *L;
int main(void) {
  L = luaL_newstate();
  luaL_openlibs(L);
  lua_register(L, "lines", lines);
  return luaL_dostring(L, program);
}`;

type Numbers = Readonly<Record<string, number | null>>;

interface Subject {
  readonly title: string;
  readonly probe: Probe;
  readonly command: readonly [string, ...string[]];
  readonly images?: HostedImages;
  /** Metrics beside the program's own names for them. */
  readonly compare: Readonly<Record<string, (truth: Numbers) => number | null>>;
  /** How far a metric may be off, in its unit: zero unless told. */
  readonly slack?: Readonly<Record<string, number>>;
}

const folder = mkdtempSync(join(tmpdir(), 'unidbg-counters-'));
const wanted = new Set(process.argv.slice(2));

function isWanted(name: string, ...needs: readonly string[]): boolean {
  return (wanted.size === 0 || wanted.has(name)) && needs.every((path) => existsSync(path));
}

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** `a=1 b=2/3` as numbers: b is 2, b.time is 3. */
function numbersOf(line: string): Numbers {
  return Object.fromEntries(
    [...line.matchAll(/(\S+?)=(\d+(?:\.\d+)?)(?:\/(\d+))?/g)].flatMap(([, name, value, time]) => [
      [name!, Number(value)],
      [`${name!}.time`, time === undefined ? null : Number(time)],
    ]),
  );
}

function javaSubjects(): readonly Subject[] {
  if (!isWanted('java', '/usr/bin/javac')) return [];
  execFileSync('javac', ['-d', folder, write('Main.java', JAVA)]);
  const beans: Readonly<Record<string, readonly [young: string, full: string]>> = {
    SerialGC: ['Copy', 'MarkSweepCompact'],
    ParallelGC: ['PS_Scavenge', 'PS_MarkSweep'],
    G1GC: ['G1_Young_Generation', 'G1_Old_Generation'],
  };
  return Object.entries(beans).map(([name, [young, full]]) => ({
    title: `JVM, ${name}`,
    probe: jvm,
    command: ['java', '-Xmx96m', `-XX:+Use${name}`, '-cp', folder, 'Main'],
    images: { wanted: (path) => path.endsWith('/libjvm.so') },
    compare: {
      'jvm.gc.minor.cycles': (truth) => truth[young] ?? null,
      'jvm.gc.major.cycles': (truth) => truth[full] ?? null,
      'jvm.gc.pause.time': (truth) => ((truth[`${young}.time`] ?? 0) + (truth[`${full}.time`] ?? 0)) * 1e6,
      'jvm.memory.heap.used': (truth) => truth['used'] ?? null,
      'jvm.class.count': (truth) => truth['classes'] ?? null,
      'jvm.thread.count': (truth) => (truth['threads'] ?? 0) - (truth['daemons'] ?? 0),
    },
    // The program's times are whole milliseconds of each collector; its own look loads a class.
    slack: { 'jvm.gc.pause.time': 3e6, 'jvm.class.count': 2 },
  }));
}

function ghcSubjects(): readonly Subject[] {
  if (!isWanted('ghc', '/usr/bin/ghc')) return [];
  const build = (name: string, ...flags: readonly string[]): string => {
    execFileSync('ghc', [
      '-O1',
      '-rtsopts',
      ...flags,
      '-outputdir',
      join(folder, `${name}-o`),
      write(`${name}.hs`, HASKELL),
      '-o',
      join(folder, name),
    ]);
    return join(folder, name);
  };
  const [single, threaded] = [build('Main1'), build('Main2', '-threaded')];
  const compare: Subject['compare'] = {
    'ghc.gc.minor.cycles': (truth) => truth['minor'] ?? null,
    'ghc.gc.major.cycles': (truth) => truth['major'] ?? null,
    'ghc.memory.allocated': (truth) => truth['allocated'] ?? null,
    'ghc.gc.copied': (truth) => truth['copied'] ?? null,
    'ghc.memory.heap.live': (truth) => truth['live'] ?? null,
    'ghc.memory.heap.size.peak': (truth) => truth['peak'] ?? null,
    'ghc.gc.pause.time': (truth) => truth['time'] ?? null,
    'ghc.gc.pause.last': (truth) => truth['last'] ?? null,
  };
  return [
    { title: 'GHC', probe: ghc, command: [single, '+RTS', '-T'], compare },
    { title: 'GHC -threaded -N2', probe: ghc, command: [threaded, '+RTS', '-T', '-N2'], compare },
    { title: 'GHC, nonmoving', probe: ghc, command: [single, '+RTS', '-T', '-xn'], compare },
  ];
}

function luaSubjects(): readonly Subject[] {
  const libraries = ['lua5.1', 'lua5.2', 'lua5.3', 'lua5.4', 'luajit-2.1'];
  return libraries.flatMap((name): readonly Subject[] => {
    const library = `/usr/lib/x86_64-linux-gnu/lib${name.replace('jit-2.1', 'jit-5.1')}.a`;
    if (!isWanted('lua', library)) return [];
    const program = join(folder, name);
    const compare: Subject['compare'] = { 'lua.memory.used': (truth) => truth['used'] ?? null };
    // The buffer in which LuaJIT writes the number (LJ_MIN_SBUF, 32 bytes) is taken after it was counted.
    const slack = name.startsWith('luajit') ? { 'lua.memory.used': 32 } : {};
    execFileSync('gcc', ['-g', `-I/usr/include/${name}`, write(`${name}.c`, LUA_HOST), '-o', program, library, '-lm', '-ldl']);
    return [{ title: name, probe: lua, command: [program], compare, slack }];
  });
}

/** A metric's first value. */
function readingOf(readings: ReturnType<Probe['sample']>, name: string): number | null {
  const reading = readings[name];
  if (typeof reading === 'number' || typeof reading === 'bigint') return Number(reading);
  return reading === undefined || 'absent' in reading ? null : Number(reading[0]?.value ?? NaN);
}

async function check(subject: Subject, rounds: readonly string[]): Promise<number> {
  const program = await startHosted(subject.command, subject.images);
  const guest: ProbeGuest = { ...program.guest, images: program.symbolizer.images };
  const worst = new Map<string, { truth: number; read: number | null; off: number }>();
  try {
    for (const round of rounds) {
      const truth = numbersOf(await program.ask(round));
      const readings = subject.probe.sample(guest);
      for (const [name, expected] of Object.entries(subject.compare)) {
        const [own, read] = [expected(truth) ?? NaN, readingOf(readings, name)];
        const off = read === null || Number.isNaN(own) ? Infinity : Math.abs(read - own);
        if (off >= (worst.get(name)?.off ?? -1)) worst.set(name, { truth: own, read, off });
      }
    }
  } finally {
    program.close();
  }
  const judged = [...worst].map(([name, { truth, read, off }]) => {
    const isRight = off <= (subject.slack?.[name] ?? 0);
    process.stdout.write(
      `| ${subject.title} | \`${name}\` | ${truth} | ${String(read)} | ${off === 0 ? 'equal' : `off by ${off}`}${isRight ? '' : ' **wrong**'} |\n`,
    );
    return isRight;
  });
  return judged.filter((isRight) => !isRight).length;
}

try {
  process.stdout.write('| program | metric | its own number | read from memory | worst of all rounds |\n|---|---|---|---|---|\n');
  let wrong = 0;
  for (const subject of [...javaSubjects(), ...ghcSubjects(), ...luaSubjects()]) {
    wrong += await check(subject, ['a', 'b', 'full', 'c', 'd', 'e', 'full', 'f']);
  }
  process.exitCode = wrong === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
