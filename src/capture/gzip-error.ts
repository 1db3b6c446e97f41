/** What is wrong with the compressed data; the reader knows where in the capture that is. */
export class GzipError extends Error {}
