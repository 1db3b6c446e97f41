/** What `explain` says of packets that helpers had a hand in. */
import { createTracker, type Tracker } from 'conntrack-wasm'
import { beforeEach, describe, expect, test } from 'vitest'
import { ftp } from '../../../src/helpers/ftp.js'
import { tcp } from '../../support/build.js'

const CONTROL = { src: '192.0.2.1', dst: '198.51.100.2', sport: 1000, dport: 21 }
const BACK = { src: '198.51.100.2', dst: '192.0.2.1', sport: 21, dport: 1000 }
const DATA = { src: '198.51.100.2', dst: '192.0.2.1', sport: 20, dport: 5001 }

const bytes = (text: string) => Buffer.from(text, 'latin1')

let tracker: Tracker

/** Packets 1 to 4: a control connection whose greeting has been read. */
beforeEach(() => {
  tracker = createTracker({ helpers: [ftp()], explain: true })
  tracker.track(tcp(CONTROL, { flags: 'S', seq: 100 }))
  tracker.track(tcp(BACK, { flags: 'SA', seq: 500, ack: 101 }))
  tracker.track(tcp(CONTROL, { flags: 'A', seq: 101, ack: 501 }))
  tracker.track(tcp(CONTROL, { flags: 'PA', seq: 101, ack: 501, payload: bytes('USER x\r\n') }))
})

function command(text: string) {
  return tracker.track(tcp(CONTROL, { flags: 'PA', seq: 109, ack: 501, payload: bytes(text) }))
}

describe('explain', () => {
  test('names the connection and the packet that announced a RELATED one', () => {
    command('PORT 192,0,2,1,19,137\r\n')
    const { text, setBy, steps } = tracker.explain(tracker.track(tcp(DATA, { flags: 'S', seq: 9 })))
    expect(text).toBe('Packet 6 is RELATED in the original direction: it opens a connection that connection 1 announced in packet 5.')
    expect(setBy).toEqual([5])
    expect(steps[0]).toBe('It opens connection 2: 198.51.100.2:20 to 192.0.2.1:5001.')
  })

  test('says of its next packets that no reply has been seen', () => {
    command('PORT 192,0,2,1,19,137\r\n')
    tracker.track(tcp(DATA, { flags: 'S', seq: 9 }))
    const again = tracker.track(tcp(DATA, { flags: 'S', seq: 9 }))
    expect(again.state).toBe('RELATED')
    expect(tracker.explain(again).setBy).toEqual([])
  })

  test('says that a helper has a packet dropped', () => {
    const dropped = command('PORT 192,0,2\n')
    expect(dropped).toMatchObject({ state: 'ESTABLISHED', dropped: true })
    expect(tracker.explain(dropped).steps.join(' ')).toContain('Its helper ftp has Linux drop it')
  })

  test('an expectation knows the packet that announced it', () => {
    command('PORT 192,0,2,1,19,137\r\n')
    expect(tracker.expectations()).toMatchObject([{ packet: 5, master: 1, helper: 'ftp' }])
  })
})
