/** `conntrack-wasm/format`: verdicts, connections and events as text, the same in every runtime. */
export { connectionLine, countersLine, eventLine } from './format/conntrack.js'
export type { OutputFlags } from './format/conntrack.js'
export { connectionJson, eventJson } from './format/json.js'
export { parseLabelNames } from './format/labels.js'
export type { LabelNames } from './format/labels.js'
export { classifyLines } from './format/ndjson.js'
export { procLine } from './format/proc.js'
export type { ProcContext } from './format/proc.js'
