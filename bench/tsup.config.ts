import { defineConfig } from 'tsup'

// The benchmark imports the package at run time, from dist/: figures are those of what users get.
export default defineConfig({
  entry: {
    run: 'bench/run.ts', pool: 'bench/pool.ts', 'pool-compare': 'bench/pool-compare.ts', soak: 'bench/soak.ts', table: 'bench/table.ts',
    attacks: 'bench/attacks.ts', helpers: 'bench/helpers.ts', rules: 'bench/rules.ts', peers: 'bench/peers/index.ts', peak: 'bench/peak.ts',
    'read-pcap': 'bench/peers/read-pcap.ts',
  },
  // The peers are loaded several times (load.ts), each time with all that they use.
  splitting: false,
  outDir: 'build/bench',
  format: 'esm',
  target: 'node20',
  platform: 'node',
  external: ['esbuild', 'playwright-core', /^conntrack-wasm/],
  clean: false,
})
