/** Vite's `?worker&inline`: the worker's code inside this file, started from a blob. */
declare module "*?worker&inline" {
  const InlineWorker: new () => Worker
  export default InlineWorker
}
