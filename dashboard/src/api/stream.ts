// Server-sent events over fetch, because the browser's own cannot name the tenant. Reconnects by itself.
import { raw } from './client';

/** Longest pause before the line is tried again, in milliseconds. */
const LONGEST = 15_000;

export interface Event { name: string; data: string }

/** Calls back for every event until it is stopped; `onOpen` says whether the line stands. */
export function listen(url: string, onEvent: (event: Event) => void, onOpen: (open: boolean) => void = () => {}): () => void {
  const stop = new AbortController();
  void (async () => {
    for (let pause = 1000; !stop.signal.aborted; pause = Math.min(pause * 2, LONGEST)) {
      try {
        const response = await raw('get', url, { signal: stop.signal });
        onOpen(true);
        pause = 1000;
        await read(response, onEvent);
      } catch {
        // Said by the line's state; here it only means another try.
      }
      onOpen(false);
      if (!stop.signal.aborted) await new Promise((resolve) => setTimeout(resolve, pause));
    }
  })();
  return () => stop.abort();
}

async function read(response: Response, onEvent: (event: Event) => void) {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return;
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value.replaceAll('\r\n', '\n');
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text.slice(0, end).split('\n');
      text = text.slice(end + 2);
      const of = (field: string) =>
        lines.filter((line) => line.startsWith(`${field}:`)).map((line) => line.slice(field.length + 1).trimStart());
      const data = of('data').join('\n');
      if (data !== '') onEvent({ name: of('event')[0] ?? 'message', data });
    }
  }
}
