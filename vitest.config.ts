import { readFileSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

/** Imports of `.wasm` files give their bytes, as the bundle has them. */
const wasmBytes = {
  name: 'wasm-bytes',
  enforce: 'pre' as const,
  load(id: string) {
    if (!id.endsWith('.wasm')) return null
    return `export default Uint8Array.from(atob('${readFileSync(id).toString('base64')}'), c => c.charCodeAt(0))`
  },
}

/** Heavier tests are of what is published: the built package. */
const built = (file: string) => new URL(`dist/${file}`, import.meta.url).pathname
const builtPackage = [
  { find: /^conntrack-wasm$/, replacement: built('index.js') },
  { find: /^conntrack-wasm\/(capture|format|helpers|node|rules|testing)$/, replacement: built('$1.js') },
]

/** Unit tests are of the sources. */
const source = (file: string) => new URL(`src/${file}`, import.meta.url).pathname
const sources = [
  { find: /^conntrack-wasm$/, replacement: source('index.ts') },
  { find: /^conntrack-wasm\/(capture|format|node|rules|testing)$/, replacement: source('$1.ts') },
  { find: /^conntrack-wasm\/helpers$/, replacement: source('helpers/index.ts') },
]

const project = (name: string, options: object = {}) => ({
  plugins: [wasmBytes],
  define: { __VERSION__: '"test"' },
  resolve: { alias: name === 'unit' ? sources : builtPackage },
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout: 60_000, ...options },
})

export default defineConfig({
  test: {
    projects: [project('unit', { isolate: false }), project('conformance', { testTimeout: 600_000, fileParallelism: false }), project('kernel', { testTimeout: 3_600_000 }), project('browser'), project('fuzz'), project('package'), project('cli', { testTimeout: 600_000 })],
  },
})
