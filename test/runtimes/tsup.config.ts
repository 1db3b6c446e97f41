import { defineConfig } from 'tsup'

export default defineConfig({
  entry: { run: 'test/runtimes/run.ts' },
  outDir: 'build/runtimes',
  format: 'esm',
  target: 'node20',
  platform: 'node',
  external: ['playwright-core'],
  clean: false,
})
