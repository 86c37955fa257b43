// What the censuses read of real heaps beside what the runtimes say of themselves: a Go program's runtime.MemStats at the same moment, with
// as many releases of Go as are given. Prints Markdown.
//
//   node bench/truth-census.ts [/path/to/go …]

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { go } from '../probes/agentless/go.ts';
import { startHosted } from '../test/support/hosted-process.ts';

const SOURCE = `package main
import ("bufio"; "fmt"; "os"; "runtime")
type node struct { next *node; text []byte }
var ring *node
var kept = map[int]*node{}
var stats runtime.MemStats
func work() {
	for i := 0; i < 5000; i++ {
		n := &node{text: make([]byte, 10+i%3000)}
		if i%2 == 0 { n.next = ring; ring = n } else { kept[i] = n }
		_ = make([]byte, 100+i)
	}
}
func main() {
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for in.Scan() {
		work(); runtime.GC(); runtime.GC(); runtime.ReadMemStats(&stats)
		fmt.Println(stats.HeapAlloc, stats.HeapObjects)
	}
}
`;

const folder = mkdtempSync(join(tmpdir(), 'truth-census-'));
try {
  console.log(
    '| Go | HeapAlloc | census | HeapObjects | census | main.ring and main.kept hold | ms |\n| - | -: | -: | -: | -: | -: | -: |',
  );
  for (const compiler of process.argv.length > 2 ? process.argv.slice(2) : ['go']) await compare(compiler);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function compare(compiler: string): Promise<void> {
  writeFileSync(join(folder, 'main.go'), SOURCE);
  const environment = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod', GOTOOLCHAIN: 'local' };
  execFileSync(compiler, ['build', '-o', join(folder, 'program'), join(folder, 'main.go')], { env: environment });
  const release = execFileSync(compiler, ['env', 'GOVERSION'], { env: environment, encoding: 'utf8' }).trim();
  const program = await startHosted([join(folder, 'program')]);
  try {
    await program.ask('');
    const [bytes, objects] = (await program.ask('')).split(' ').map(Number);
    const from = performance.now();
    const census = go.census?.(program.guest) ?? null;
    const ms = Math.round(performance.now() - from);
    const counted = census?.rows.reduce((sum, { count }) => sum + (count ?? 0), 0);
    const held = census?.roots
      ?.filter(({ name }) => name === 'main.ring' || name === 'main.kept')
      .reduce((sum, row) => sum + row.bytes, 0);
    console.log(`| ${release} | ${bytes} | ${census?.totalBytes} | ${objects} | ${counted} | ${held} | ${ms} |`);
  } finally {
    program.close();
  }
}
