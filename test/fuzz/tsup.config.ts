import { defineConfig } from 'tsup'

// The package under test is not bundled: it is imported by its name at run time, from dist/.
export default defineConfig({
  entry: {
    packets: 'test/fuzz/packets.ts', api: 'test/fuzz/api.ts',
    capture: 'test/fuzz/capture.ts', snapshot: 'test/fuzz/snapshot.ts', ci: 'test/fuzz/ci.ts',

  },
  outDir: 'build/fuzz',
  format: 'esm',
  target: 'node20',
  platform: 'node',
  external: [/^conntrack-wasm/],
  clean: false,
})
