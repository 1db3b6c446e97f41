/** The file that a pool's worker runs, in Node's threads and in Web Workers. */
import { serve } from './pool/serve.js'

const NODE_THREADS = ['node', 'worker_threads'].join(':')
const scope = globalThis as unknown as {
  WorkerGlobalScope?: unknown
  onmessage: ((event: { data: unknown }) => void) | null
  postMessage(message: unknown, transfer: ArrayBuffer[]): void
}
if (scope.WorkerGlobalScope !== undefined) {
  serve({
    postMessage: (message, transfer) => scope.postMessage(message, transfer),
    listen: heard => { scope.onmessage = ({ data }) => heard(data) },
  })
} else {
  void import(/* @vite-ignore */ NODE_THREADS).then(({ parentPort }: typeof import('node:worker_threads')) => {
    serve({
      postMessage: (message, transfer) => parentPort!.postMessage(message, transfer),
      listen: heard => parentPort!.on('message', heard),
    })
  })
}
