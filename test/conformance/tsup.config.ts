import { defineConfig } from 'tsup'

// As test/kernel/tsup.config.ts: the package is imported from dist/ at run time, and ../shared is looked for from here.
export default defineConfig({
  entry: { helpers: 'test/conformance/helpers.ts', document: 'test/conformance/document.ts' },
  outDir: 'build/conformance',
  format: 'esm',
  target: 'node20',
  platform: 'node',
  external: [/^conntrack-wasm/],
  clean: false,
})
