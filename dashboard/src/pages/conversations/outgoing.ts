// What a person wrote and the server has not confirmed yet. It is shown at once, and nothing typed is ever lost.
import { useSyncExternalStore } from 'react';
import { api, call, NoAnswer } from '../../api/client';
import { queries } from '../../app/queries';
import { kindOf } from './file-kind';

export interface Outgoing {
  /** Ours; the server hears it as the idempotency key, so that another try says nothing twice. */
  key: string;
  conversation: string;
  text: string;
  /** Goes with the words; uploaded first. */
  file?: File;
  /** The server's name for the file, once it has it. */
  uploaded?: string;
  at: string;
  state: 'sending' | 'failed' | 'taken';
  error?: unknown;
  /** The server's, once it took it. */
  messageId?: string;
}

let all: Outgoing[] = [];
const listeners = new Set<() => void>();

function change(next: Outgoing[]) {
  all = next;
  listeners.forEach((tell) => tell());
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => { listeners.delete(listener); };
};

export const useOutgoing = (conversation: string) =>
  useSyncExternalStore(subscribe, () => all).filter((one) => one.conversation === conversation);

export function write(conversation: string, text: string, file?: File) {
  const one: Outgoing = {
    key: crypto.randomUUID(), conversation, text, at: new Date().toISOString(), state: 'sending', ...(file ? { file } : {}),
  };
  change([...all, one]);
  void attempt(one);
}

export function again(one: Outgoing) {
  change(all.map((other) => (other.key === one.key ? { ...other, state: 'sending' as const, error: undefined } : other)));
  void attempt(one);
}

export const discard = (key: string) => change(all.filter((one) => one.key !== key));

/** Those that are among the conversation's messages now are shown by them. */
export function settle(messageIds: ReadonlySet<string>) {
  const left = all.filter((one) => one.messageId === undefined || !messageIds.has(one.messageId));
  if (left.length !== all.length) change(left);
}

/** The file's name at the server; it is sent there once. */
async function upload(file: File): Promise<string> {
  const answer = await call('post', '/api/v1/media', { query: { filename: file.name }, file }) as { data: { id: string } };
  return answer.data.id;
}

/** The message as the API takes it. */
function bodyOf({ text, file, uploaded }: Outgoing) {
  if (!file || uploaded === undefined) return { message: text };
  const kind = kindOf(file);
  const caption = text.trim() === '' || kind === 'audio' ? {} : { caption: text };
  return { type: kind, [kind]: { id: uploaded, ...caption, ...(kind === 'document' ? { filename: file.name } : {}) } };
}

async function attempt(one: Outgoing) {
  const { key, conversation } = one;
  const put = (part: Partial<Outgoing>) => change(all.map((other) => (other.key === key ? { ...other, ...part } : other)));
  for (let tries = 0; ; tries++) {
    try {
      if (one.file && one.uploaded === undefined) {
        one = { ...one, uploaded: await upload(one.file) };
        put({ uploaded: one.uploaded! });
      }
      const answer = await api('post', '/api/v1/conversations/{id}/messages', {
        params: { id: conversation }, body: bodyOf(one) as never, idempotencyKey: key,
      });
      put({ state: 'taken', messageId: answer.data.messageId });
      void queries.invalidateQueries({ queryKey: ['messages', conversation] });
      void queries.invalidateQueries({ queryKey: ['conversation', conversation] });
      return;
    } catch (error) {
      // The same key makes another try harmless; after a minute without a line a person decides.
      if (!(error instanceof NoAnswer) || tries >= 20) return put({ state: 'failed', error });
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  }
}
