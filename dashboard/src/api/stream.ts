// Server-sent events over fetch, because the browser's own cannot name the tenant. Reconnects by itself.
import { raw } from './client';

/** Longest pause before the line is tried again, in milliseconds. */
const LONGEST = 15_000;
/** The server says something every 15 seconds: a line that is silent for longer than this is dead. */
const SILENCE = 40_000;

export interface Event { name: string; data: string }

/** Calls back for every event until it is stopped; `onOpen` says whether the line stands. */
export function listen(url: string, onEvent: (event: Event) => void, onOpen: (open: boolean) => void = () => {}): () => void {
  const stop = new AbortController();
  void (async () => {
    for (let pause = 1000; !stop.signal.aborted; pause = Math.min(pause * 2, LONGEST)) {
      try {
        const response = await raw('get', url, { signal: stop.signal });
        if (!stop.signal.aborted) onOpen(true);
        pause = 1000;
        await read(response, onEvent);
      } catch {
        // Said by the line's state; here it only means another try.
      }
      if (stop.signal.aborted) return;
      onOpen(false);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  })();
  return () => stop.abort();
}

async function read(response: Response, onEvent: (event: Event) => void) {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return;
  let text = '';
  for (;;) {
    const { done, value } = await inTime(reader);
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

/** The next piece, unless the line is dead. */
async function inTime(reader: ReadableStreamDefaultReader<string>) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => { timer = setTimeout(() => reject(new Error('silence')), SILENCE); });
  try {
    return await Promise.race([reader.read(), silence]);
  } catch (error) {
    void reader.cancel().catch(() => {});
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
