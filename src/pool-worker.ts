/** The file that a pool's worker runs, in Node's threads and in Web Workers. */
import type { Request } from './pool/protocol.js'
import { Work } from './pool/work.js'

interface Port {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void
}

const work = new Work()

function serve(port: Port, request: Request): void {
  const answer = work.answer(request)
  // What cannot be shared goes back the way it came.
  const back = request.kind === 'track' && request.buffer instanceof ArrayBuffer ? [request.buffer] : []
  port.postMessage(back.length > 0 ? { ...answer, buffer: back[0] } : answer, back)
}

const NODE_THREADS = ['node', 'worker_threads'].join(':')
const scope = globalThis as unknown as Port & { WorkerGlobalScope?: unknown; onmessage: ((event: { data: Request }) => void) | null }
if (scope.WorkerGlobalScope !== undefined) {
  scope.onmessage = ({ data }) => serve(scope, data)
} else {
  void import(/* @vite-ignore */ NODE_THREADS).then(({ parentPort }: typeof import('node:worker_threads')) => {
    parentPort!.on('message', (request: Request) => serve(parentPort as unknown as Port, request))
  })
}
