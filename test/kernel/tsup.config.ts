import { defineConfig } from 'tsup'

// The package under test is not bundled: it is imported by its name at run time, from dist/.
export default defineConfig({
  entry: {
    fuzz: 'test/kernel/fuzz.ts', record: 'test/kernel/record.ts', 'rules-fuzz': 'test/kernel/rules-fuzz.ts',
    'rules-record': 'test/kernel/rules-record.ts',
  },
  // As deep below the project as test/support, from where ../shared is looked for.
  outDir: 'build/kernel',
  format: 'esm',
  target: 'node20',
  platform: 'node',
  external: [/^conntrack-wasm/],
  clean: false,
})
