// Another try for what failed: of one delivery, or of many with progress. What may have gone out needs a person's yes.
import { Button, Group, Modal, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useQueryClient } from '@tanstack/react-query';
import { createContext, useContext, useState, type ReactNode } from 'react';
import { api } from '../../api/client';
import { useSpeech } from '../../i18n';
import { useSentence } from '../../ui/error-note';

interface Item { id: string; status: string }
export interface Progress { done: number; failed: number; of: number }
interface Retry {
  one: (id: string, status: string) => Promise<void>;
  many: (items: Item[]) => Promise<void>;
  busy: (id: string) => boolean;
  progress: Progress | null;
  stop: () => void;
}

const Context = createContext<Retry | null>(null);
/** Tries under way at once. */
const TOGETHER = 4;

export function RetryProvider({ children }: { children: ReactNode }) {
  const { t } = useSpeech();
  const client = useQueryClient();
  const sentence = useSentence();
  const [running, setRunning] = useState<ReadonlySet<string>>(new Set());
  const [progress, setProgress] = useState<Progress | null>(null);
  const [question, setQuestion] = useState<{ count: number; answer: (yes: boolean) => void } | null>(null);
  const [halt] = useState({ wanted: false });

  const confirmed = (items: Item[]) => {
    const doubtful = items.filter((item) => item.status === 'unknown').length;
    if (doubtful === 0) return Promise.resolve(true);
    return new Promise<boolean>((answer) => setQuestion({ count: doubtful, answer }));
  };
  const call = (item: Item) =>
    api('post', '/api/v1/deliveries/{id}/retry', { params: { id: item.id }, body: { confirm: item.status === 'unknown' } });
  const refresh = () => {
    for (const queryKey of [['deliveries'], ['messages'], ['overview']]) void client.invalidateQueries({ queryKey });
  };
  const retry: Retry = {
    progress,
    busy: (id) => running.has(id),
    stop: () => { halt.wanted = true; },
    async one(id, status) {
      if (!(await confirmed([{ id, status }]))) return;
      setRunning((before) => new Set(before).add(id));
      try {
        await call({ id, status });
        notifications.show({ color: 'brand', message: t('failures.retried', { count: 1 }) });
      } catch (error) {
        notifications.show({ color: 'red', message: sentence(error) });
      } finally {
        setRunning((before) => new Set([...before].filter((other) => other !== id)));
        refresh();
      }
    },
    async many(items) {
      if (!(await confirmed(items))) return;
      halt.wanted = false;
      const left = [...items];
      const count: Progress = { done: 0, failed: 0, of: items.length };
      setProgress({ ...count });
      const work = async () => {
        for (let item = left.shift(); item !== undefined && !halt.wanted; item = left.shift()) {
          try { await call(item); } catch { count.failed++; }
          count.done++;
          setProgress({ ...count });
        }
      };
      await Promise.all(Array.from({ length: TOGETHER }, work));
      setProgress(null);
      refresh();
      notifications.show({ color: count.failed === 0 ? 'brand' : 'yellow', message: t('failures.retriedMany', { done: count.done - count.failed, of: count.of }) });
    },
  };
  const answer = (yes: boolean) => {
    question?.answer(yes);
    setQuestion(null);
  };
  return (
    <Context.Provider value={retry}>
      {children}
      <Modal opened={question !== null} onClose={() => answer(false)} title={t('failures.doubtTitle')} centered>
        <Text size="sm">{t('failures.doubt', { count: question?.count ?? 0 })}</Text>
        <Group justify="flex-end" mt="md" gap="xs">
          <Button variant="default" onClick={() => answer(false)}>{t('action.cancel')}</Button>
          <Button color="red" onClick={() => answer(true)}>{t('failures.doubtYes')}</Button>
        </Group>
      </Modal>
    </Context.Provider>
  );
}

export function useRetry(): Retry {
  const retry = useContext(Context);
  if (retry === null) throw new Error('no retry above this component');
  return retry;
}
