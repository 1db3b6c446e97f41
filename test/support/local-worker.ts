/** A pool's worker in this thread: what a Web Worker does, with messages that are copied or transferred as between threads. */
import { MessageChannel } from 'node:worker_threads'
import { serve } from '../../src/pool/serve.js'
import type { WebWorker } from '../../src/pool.js'

export interface LocalWorker extends WebWorker {
  /** Has it end as a worker does whose script throws. */
  die(why: string): void
  readonly ended: boolean
}

export function localWorker(): LocalWorker {
  const { port1, port2 } = new MessageChannel()
  let ended = false
  const end = () => {
    ended = true
    port1.close()
  }
  const worker: LocalWorker = {
    onmessage: null,
    onerror: null,
    postMessage: (message, transfer) => port1.postMessage(message, transfer),
    terminate: end,
    die(why) {
      end()
      worker.onerror?.({ message: why })
    },
    get ended() { return ended },
  }
  port1.on('message', data => worker.onmessage?.({ data }))
  serve({ postMessage: (message, transfer) => port2.postMessage(message, transfer), listen: heard => port2.on('message', heard) })
  port1.unref()
  return worker
}
