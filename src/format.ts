/** `conntrack-wasm/format`: verdicts and connections as text, the same in every runtime. */
export { classifyLines } from './format/ndjson.js'
