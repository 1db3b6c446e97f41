/** `connections --json` and `events --json`: the SDK's objects as one JSON object a line. */
import type { Connection, ConnectionEvent, Expectation, ExpectationEvent } from '../types.js'
import { nanosecondsText } from './time.js'

/** An entry; its times are decimal seconds, as everywhere in the JSON. */
export function connectionJson(connection: Connection): string {
  const { start, stop } = connection
  // A function that is asked about every value takes as long as all the rest.
  if (start === null && stop === null) return JSON.stringify(connection)
  return JSON.stringify(connection, timesAsText)
}

/** An event with its entry. */
export function eventJson({ kind, time, packet, changes, connection }: ConnectionEvent): string {
  return JSON.stringify({ kind, time, packet, changes, connection }, timesAsText)
}

/** An expectation. */
export function expectationJson(expectation: Expectation): string {
  return JSON.stringify(expectation)
}

/** An event with its expectation. */
export function expectationEventJson({ kind, time, packet, expectation }: ExpectationEvent): string {
  return JSON.stringify({ kind, time, packet, expectation }, timesAsText)
}

/** JSON has no bigint; every one here is a time. */
function timesAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? nanosecondsText(value) : value
}
