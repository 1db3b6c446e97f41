/** A worker of whatever runtime this is: a Web Worker where there are any, else one of Node's threads. */
import { ConntrackError } from '../errors.js'
import type { Answer, Request } from './protocol.js'

/** The part of a Web Worker that is used. */
export interface WebWorker {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void
  terminate(): void
  onmessage: ((event: { data: unknown }) => void) | null
  onerror: ((event: { message?: string; preventDefault?(): void }) => void) | null
}

export interface Thread {
  post(request: Request, transfer?: ArrayBuffer[]): void
  end(): void
}

interface Listeners {
  readonly answered: (answer: Answer) => void
  readonly failed: (why: string) => void
}

/** Starts a worker; `make` gives a Web Worker of the caller's own. */
export async function startThread(make: (() => WebWorker) | undefined, listeners: Listeners): Promise<Thread> {
  if (make) return webThread(make(), listeners)
  const { Worker } = globalThis as unknown as { Worker?: new (url: URL, options: { type: 'module' }) => WebWorker }
  if (Worker) return webThread(new Worker(new URL('./pool-worker.js', import.meta.url), { type: 'module' }), listeners)
  return nodeThread(listeners)
}

function webThread(worker: WebWorker, { answered, failed }: Listeners): Thread {
  worker.onmessage = ({ data }) => answered(data as Answer)
  worker.onerror = event => {
    event.preventDefault?.()
    failed(event.message ?? 'it could not be started')
  }
  return { post: (request, transfer = []) => worker.postMessage(request, transfer), end: () => worker.terminate() }
}

/** The name is not one that bundlers for browsers try to follow. */
const NODE_THREADS = ['node', 'worker_threads'].join(':')

async function nodeThread({ answered, failed }: Listeners): Promise<Thread> {
  const threads = await import(/* @vite-ignore */ NODE_THREADS).catch(() => null) as typeof import('node:worker_threads') | null
  if (!threads) throw new ConntrackError('invalid-argument', 'this runtime has no workers; the option worker makes one')
  const worker = new threads.Worker(new URL('./pool-worker.js', import.meta.url))
  let asked = 0
  worker.on('message', (answer: Answer) => {
    if (--asked === 0) worker.unref()
    answered(answer)
  })
  worker.on('error', error => failed(String(error)))
  worker.on('exit', code => failed(`it ended with code ${code}`))
  worker.unref()
  return {
    post(request, transfer = []) {
      if (asked++ === 0) worker.ref() // it keeps the process alive while it works
      worker.postMessage(request, transfer)
    },
    end() {
      worker.removeAllListeners('exit')
      void worker.terminate()
    },
  }
}
