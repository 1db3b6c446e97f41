/** The peers as one module, which the benchmark loads once for each candidate: see `load.ts`. */
export { MapTracker } from './map-tracker.js'
export { TypedTracker } from './typed-tracker.js'
